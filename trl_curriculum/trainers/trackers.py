"""What Trackio is told besides the log: where the draws went, what became of the rows, and when something is wrong."""

import html
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import TrainerCallback

from ..data.names import shown
from ..report.alarms import FEWEST, alarms
from ..report.figures import draws_png
from ..report.history import summary
from ..report.rows_over_time import sequences
from ..report.waste import wasted


logger = logging.getLogger(__name__)

MOST = 30  # arms of a table


def report_to_trackers(trainer: Any) -> None:
    """Adds what tells Trackio of the curriculum, where `report_to` has it, behind what tells it of the log."""
    if "trackio" in (trainer.args.report_to or ()):
        trainer.add_callback(TrackioReport(trainer))


class TrackioReport(TrainerCallback):
    """
    Logs tables of arms, of rows by their states and of kinds of waste, and the figure of the draws, at each checkpoint
    and at the end of a training; raises an alert when an alarm begins. Texts of rows stay on this machine.

    Args:
        trainer ([`~trl_curriculum.trainers.mixin.CurriculumMixin`]):
            Whose history is told.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self._looked_at = 0  # draws
        self._ringing: set[str] = set()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Looks for alarms where enough was drawn since; tells of everything with the last log of a training."""
        if not state.is_world_process_zero:
            return
        drawn = self.trainer.curriculum.drawn
        if "train_runtime" in (logs or {}):
            self._tell(lambda: self._log(self._history()))
        elif drawn >= self._looked_at + max(FEWEST, self._looked_at // 10):  # so that reading costs little in all
            self._tell(lambda: self._alert(self._history()))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tells of everything."""
        if state.is_world_process_zero:
            self._tell(lambda: self._log(self._history()))

    def _tell(self, tell: Any) -> None:
        try:
            tell()
        except Exception as error:  # a tracker, its disk and its network may fail as they like: training goes on
            logger.warning("Trackio was not told of the curriculum: %s: %s.", type(error).__name__, error)

    def _rows(self, history: pd.DataFrame) -> int:
        """Rows that there are; of streams those that were drawn."""
        pool = self.trainer.pool
        return history["row"].nunique() if pool.is_stream else pool.size

    def _history(self) -> pd.DataFrame:
        self._looked_at = self.trainer.curriculum.drawn
        return self.trainer.conductor.history.so_far()

    def _alert(self, history: pd.DataFrame) -> None:
        import trackio

        now = alarms(history, len(self.trainer.curriculum.arm_names))
        for one in now:
            if one.title not in self._ringing:
                trackio.alert(title=one.title, text=one.text, level=trackio.AlertLevel.WARN)
        self._ringing = {one.title for one in now}

    def _log(self, history: pd.DataFrame) -> None:
        import trackio

        if history.empty:
            return
        self._alert(history)
        told: dict[str, Any] = {
            "curriculum/arms": trackio.Table(dataframe=_arms(history)),
            "curriculum/rows": trackio.Table(dataframe=_states(history, self._rows(history))),
            "curriculum/waste": trackio.Table(dataframe=_waste(history, self.trainer.args)),
        }
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "draws.png"
            if draws_png(history, file):
                told["curriculum/draws"] = trackio.Image(str(file))
            trackio.log(told)


def _arms(history: pd.DataFrame) -> pd.DataFrame:
    """The most drawn arms; what Trackio shows is Markdown."""
    frame = summary(history)
    frame = frame[frame["draws"].rank(method="first", ascending=False) <= MOST]
    return frame.rename(index=lambda arm: html.escape(shown(arm))).reset_index()


def _states(history: pd.DataFrame, rows: int) -> pd.DataFrame:
    found = sequences(history)
    count = np.bincount(found.after[found.last], minlength=len(found.names))
    count[0] = rows - count.sum()
    return pd.DataFrame({"state": found.names, "rows": count, "share": count / rows})


def _waste(history: pd.DataFrame, args: Any) -> pd.DataFrame:
    kinds = wasted(history, getattr(args, "num_generations", None))
    rows = [(one.title, one.n, one.share, ", ".join(map(str, one.rows.index))) for one in kinds]
    return pd.DataFrame(rows, columns=["kind", "rows", "share of tokens", "dearest rows"])
