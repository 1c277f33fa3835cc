"""A run as its report reads it: the folder that it has left, whoever looks at it and whatever is missing."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.names import keys, listed
from ..disk.checkpoint import FOLDER as STATE_FOLDER
from ..disk.checkpoint import STATE, newest_first
from ..disk.state import PLAIN
from .history import is_there, read_history
from .kept import read_facts, read_texts
from .over_time import signal_of, tokens_of


EXPLORED = "rollouts/explored_tokens"
NUMBERS = ("probability", "length", "reward", "advantage", "scored", "truncated", "loss", "entropy")


@dataclass(frozen=True)
class Run:
    """
    What one run has left.

    Args:
        folder (`Path`):
            Its output folder.
        name (`str`):
            What it is called in a report that has several.
        history (`pandas.DataFrame`):
            As [`read_history`] returns it, in the order of the draws; NaN in place of what is not finite.
        logs (`pandas.DataFrame`):
            Logged numbers, one row per log, with the column `step`; empty where there are none.
        texts (`pandas.DataFrame`):
            As [`read_texts`] returns them.
        facts (`dict`):
            As the run has written them, or as far as its last checkpoint tells.
        notes (`tuple[str, ...]`):
            What is missing or was left out, in sentences.
        clock (`float`, *optional*):
            Seconds of training over all resumes until the newest checkpoint, where the trainer has counted them.
    """

    folder: Path
    name: str
    history: pd.DataFrame
    logs: pd.DataFrame
    texts: pd.DataFrame
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    clock: float | None = None

    @property
    def signal(self) -> str:
        """`"reward"` (GRPO) or `"loss"` (SFT)."""
        return signal_of(self.history)

    @property
    def rows(self) -> int | None:
        """Rows of the pool; `None` where it is not known."""
        known = self.facts.get("rows")
        return max(int(known), self.history["row"].nunique()) if _is_count(known) and known else None

    @property
    def generations(self) -> int | None:
        """Rollouts of a group, where they are known."""
        known = self.facts.get("generations")
        return known if _is_count(known) else None

    @property
    def arms(self) -> dict[str, int]:
        """Rows of each arm, where they are given and known."""
        known = self.facts.get("arms")
        return {str(arm): size for arm, size in known.items() if _is_count(size)} if isinstance(known, dict) else {}

    @property
    def tokens(self) -> float:
        """Tokens of all draws, and of prompts that were asked once more; NaN where one is missing."""
        explored = self.logs[EXPLORED].sum() if EXPLORED in self.logs else 0.0
        return float(np.sum(tokens_of(self.history, self.generations)) + explored)

    @property
    def seconds(self) -> float | None:
        """
        Seconds of training over all resumes, as the trainer has counted them, or as its steps took; `None` where it
        has not. What it logs at the end, `train_runtime`, is without what came before the last resume.
        """
        logs = self.logs
        logged = logs["train_runtime"].sum() if "train_runtime" in logs else 0.0
        counted = max(float(logged), self.clock or 0.0)
        if counted > 0 or "step_time" not in logs:
            return counted or None
        timed = logs[logs["step_time"].notna()]
        return float((timed["step_time"] * timed["step"].diff().fillna(timed["step"])).sum())


def read_runs(folders: list[str]) -> list[Run]:
    """
    Runs by their output folders.

    Raises:
        `ValueError`: in one sentence, for a folder without a history, one that is named twice, or a history that
            cannot be read.
    """
    paths = [Path(one) for one in folders]
    for k, path in enumerate(paths):
        if path.resolve() in [one.resolve() for one in paths[:k]]:
            raise ValueError(f"{path} is named twice: name each run once.")
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    labels = keys(names)  # no two alike
    return [read_run(path, labels[name]) for path, name in zip(paths, names, strict=True)]


def read_run(folder: Path, name: str) -> Run:
    """A run by its output folder; see [`read_runs`]."""
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}: give the output_dir of a run.")
    if not is_there(folder):
        found = [*folder.glob("*/"), *folder.glob("*/*/")]  # of a comparison, whose cells are method/seed-n
        below = [str(one) for one in sorted(found) if is_there(one)]
        above = [str(folder.parent)] if is_there(folder.parent) else []
        hint = f"; there is one in {listed(below or above, few=3)}" if below or above else ""
        raise ValueError(
            f"{folder} holds no history of draws (curriculum_history){hint}: give the output_dir of a run."
        )
    history, notes = _checked(read_history(folder), folder)
    facts = read_facts(folder) or _facts_of_checkpoint(folder)
    logs, clock, said = _logs(folder)
    texts = read_texts(folder)
    if not _is_count(facts.get("rows")):
        notes.append("How many rows the pool has is not known, so shares of the pool are left out.")
    if texts.empty:
        notes.append("The run has kept no texts of its rows, so rows are named by their numbers.")
    return Run(folder, name, history, logs, texts, facts, (*notes, *said), clock)


def _checked(history: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """The history in the order of its draws, without what is not finite, and how much that was."""
    if not {"reward", "loss"} & {*history}:
        raise ValueError(f"The history in {folder} has neither rewards nor losses: another version has written it.")
    history, notes = history.sort_values("draw", kind="stable").reset_index(drop=True), []
    for name in NUMBERS:
        if name not in history:
            continue
        if history[name].dtype.kind not in "iufb":
            raise ValueError(f"The history in {folder} holds a {name} that is no number: something else changed it.")
        value = history[name].to_numpy(float, copy=True)
        infinite = np.isinf(value)
        value[infinite] = np.nan
        history[name] = value
        missing = int(np.isnan(value).sum())
        if (missing and name in ("reward", "loss", "length")) or infinite.any():
            notes.append(f"{missing:,} of {len(value):,} draws have no {name} that is a number: they are gaps.")
    if "reward" in history:
        zero = history.get("zero_variance", pd.Series(False, index=history.index))
        history["zero_variance"] = zero.fillna(False).astype(bool)
    return history, notes


def _logs(folder: Path) -> tuple[pd.DataFrame, float | None, list[str]]:
    """The longest log in the folder or in one of its checkpoints, and the seconds until the newest of these."""
    newest = [path / STATE for path in newest_first(folder)]
    best: list[dict[str, Any]] = []
    unread, clocks = [], [0.0]
    for file in [folder / STATE, *newest]:
        if not file.is_file():
            continue
        try:
            state = json.loads(file.read_text())
            logs = [one for one in state["log_history"] if _is_count(one["step"])]
        except (OSError, ValueError, KeyError, TypeError):
            unread.append(file.relative_to(folder).as_posix())
            continue
        clocks.append(_clock(state))
        best = logs if not best or (logs[-1:] and logs[-1]["step"] > best[-1]["step"]) else best
    notes = [f"{', '.join(unread)} cannot be read."] if unread else []
    clock = max(clocks) or None
    if not best:
        notes.append("There is no log: no checkpoint is left with trainer_state.json.")
        return pd.DataFrame({"step": []}), clock, notes
    rows = [{name: _number(value) for name, value in one.items() if _is_number(value)} for one in best]
    bad = sum(math.isnan(value) for one in rows for value in one.values())
    if bad:
        notes.append(f"{bad:,} logged numbers are not finite: they are gaps.")
    return pd.DataFrame(rows), clock, notes


def _clock(state: dict[str, Any]) -> float:
    """Seconds that [`~trl_curriculum.trainers.clock.TrainingClock`] has saved; 0 where there are none."""
    try:
        seconds = state["stateful_callbacks"]["TrainingClock"]["attributes"]["before"]
    except (KeyError, TypeError):
        return 0.0
    return float(seconds) if _is_number(seconds) and math.isfinite(seconds) else 0.0


def _facts_of_checkpoint(folder: Path) -> dict[str, Any]:
    """Method, options and rows as the newest checkpoint has them, of a run that wrote no facts."""
    for path in newest_first(folder):
        try:
            state = json.loads((path / STATE_FOLDER / PLAIN).read_text())["curriculum"]
            method = {"role": "curriculum", "name": str(state["method"]), "options": dict(state["options"])}
            return {"methods": [method], "rows": state["pool"]["size"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> float:
    return float(value) if math.isfinite(value) else math.nan
