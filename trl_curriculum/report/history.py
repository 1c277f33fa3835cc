"""What was drawn, with what probability, and what came of it: one row per draw, as parquet beside the checkpoints."""

import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..curricula.draw import Draw
from ..data.names import natural
from ..disk.atomic import atomic_write, check_kind
from ..disk.state import StateError
from ..signals import Feedback, IntArray, group_mean
from .kept import RowTexts, move_aside
from .terminal import LONGEST, show, table


logger = logging.getLogger(__name__)

FOLDER = "curriculum_history"
COLUMNS = ("step", "draw", "row", "arm", "probability", "length")


def segments(folder: Path) -> list[Path]:
    """The files of a history, in the order of their draws."""
    check_kind(folder, folder=True)
    return sorted(file for file in folder.glob("draws-*.parquet") if re.fullmatch(r"draws-\d+", file.stem))


def is_there(output_dir: str | Path) -> bool:
    """Whether a run has left a history."""
    return bool(segments(Path(output_dir) / FOLDER))


def read_segment(file: Path) -> pd.DataFrame:
    """
    A file of a history.

    Raises:
        [`StateError`]: where it is cut off, or something else has written it. `OSError`: where it is a folder.
    """
    check_kind(file)
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise _unusable(file, f"cannot be read ({str(error).splitlines()[0][:100]})") from error
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise _unusable(file, f"has no column {missing[0]!r}, so something else has written it")
    for name in ("step", "draw", "row"):
        if frame[name].dtype.kind not in "iu" or (frame[name] < 0).any():
            raise _unusable(file, f"holds a {name} that is no number from 0 on, so something else has changed it")
    if not frame["arm"].map(lambda arm: isinstance(arm, str)).all():
        raise _unusable(file, "holds an arm that is no name, so something else has changed it")
    return frame


def _unusable(file: Path, why: str) -> StateError:
    return StateError(f"{file} {why}: move it elsewhere; its draws are then missing from the history.")


def read_history(output_dir: str | Path) -> pd.DataFrame:
    """
    Reads a run's history.

    Returns:
        `pandas.DataFrame`, one row per draw: `step` (optimizer step), `draw`, `row` (position in the dataset), `arm`
        (name), `probability` (marginal, of the row; NaN where the method has none) and `length` (mean tokens, as in
        [`Feedback`]). From GRPO also `reward` (mean of the group), `advantage` (mean |A|), `zero_variance` (whether
        all rewards of the group were equal, of which two at least were given), `scored` (rollouts with a reward) and
        `truncated` (share of completions that were cut off; NaN in histories of versions that did not note it); from
        SFT `loss` and `entropy` (nats per trained token).

    Raises:
        [`StateError`]: where a file is cut off, or something else has written it.
    """
    files = segments(Path(output_dir) / FOLDER)
    if not files:
        return pd.DataFrame(columns=[*COLUMNS])
    frame = pd.concat([read_segment(file) for file in files], ignore_index=True)
    return frame.assign(truncated=np.nan) if "reward" in frame and "truncated" not in frame else frame


def _shown_by_rollouts(feedback: Feedback, group: IntArray, n: int) -> dict[str, np.ndarray]:
    reward, advantage, cut = feedback.reward, feedback.advantage, feedback.truncated
    assert reward is not None and advantage is not None
    seen = np.isfinite(reward)
    scored = np.bincount(group[seen], minlength=n)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, group[seen], reward[seen])
    np.maximum.at(high, group[seen], reward[seen])
    return {
        "reward": group_mean(reward, group, n),
        "advantage": group_mean(np.abs(advantage), group, n),
        "zero_variance": (scored > 1) & (high - low <= 1e-8),
        "scored": scored,
        "truncated": np.full(n, np.nan) if cut is None else group_mean(cut.astype(float), group, n),
    }


def _shown_by_sequences(feedback: Feedback, group: IntArray, n: int) -> dict[str, np.ndarray]:
    assert feedback.loss is not None and feedback.entropy is not None
    return {"loss": group_mean(feedback.loss, group, n), "entropy": group_mean(feedback.entropy, group, n)}


class History:
    """
    Collects draws and writes them in segments, so that a kill costs at most what the last checkpoint did not hold.

    Args:
        output_dir (`str` or `Path`):
            The run's output directory.
        write (`bool`):
            Whether this process writes (the main process does).
        every (`int`, *optional*, defaults to `4096`):
            Draws after which a segment is written without waiting for a checkpoint.
        texts ([`RowTexts`], *optional*):
            Writes the texts of drawn rows beside it.
    """

    def __init__(self, output_dir: str | Path, write: bool, every: int = 4096, texts: RowTexts | None = None) -> None:
        self.folder = Path(output_dir) / FOLDER
        self.write = write
        self.every = every
        self.texts = texts
        self.pending: list[dict[str, np.ndarray]] = []

    def add(
        self, draw: Draw, arm_names: tuple[str, ...], feedback: Feedback, position: IntArray | None = None
    ) -> dict[str, np.ndarray]:
        """
        Adds the draws of one batch and what they showed; returns them as columns of the history.

        `position` says where each row of the pool lies in the user's dataset, where rows were left out.
        """
        n = len(draw)
        by_id = np.argsort(draw.id)  # packing trains on draws in another order than they were made
        group = by_id[np.searchsorted(draw.id[by_id], feedback.draw)]
        assert feedback.length is not None
        columns = {
            "step": np.full(n, feedback.step),
            "draw": draw.id,
            "row": draw.row if position is None else position[draw.row],
            "arm": np.array([arm_names[k] for k in draw.arm], dtype=object),
            "probability": draw.probability,
            "length": group_mean(feedback.length.astype(float), group, n),
        }
        shown = _shown_by_rollouts if feedback.reward is not None else _shown_by_sequences
        columns |= shown(feedback, group, n)
        if self.write:
            self.pending.append(columns)
            if len(self.pending) * n >= self.every:
                self.flush()
        return columns

    def so_far(self) -> pd.DataFrame:
        """All draws, also those that are not written yet, as [`read_history`] returns them."""
        written = read_history(self.folder.parent)
        if not self.pending:
            return written
        return self._pending() if written.empty else pd.concat([written, self._pending()], ignore_index=True)

    def _pending(self) -> pd.DataFrame:
        return pd.DataFrame({name: np.concatenate([part[name] for part in self.pending]) for name in self.pending[0]})

    def flush(self) -> None:
        """Writes what is pending as one more segment, atomically."""
        if not self.pending:
            return
        frame = self._pending()
        if self.texts is not None:
            self.texts.write(frame["row"].to_numpy(), frame["draw"].to_numpy())
        last = max((int(file.stem.split("-")[1]) for file in segments(self.folder)), default=-1)
        self._write(frame, self.folder / f"draws-{last + 1:012d}.parquet")
        self.pending = []

    def rewind(self, draws: int, waiting: IntArray, changed: bool = False) -> int:
        """
        Forgets what a resumed run does again: all draws from number `draws` on, and those that were `waiting` to be
        trained on; returns how many are left. Texts of rows go too where the data `changed`: numbers mean others now.
        """
        self.pending = []
        left = 0
        if not self.write:
            return left
        if self.texts is not None:
            self.texts.rewind(draws, changed)
        for file in segments(self.folder):
            frame = read_segment(file)
            kept = frame[(frame["draw"] < draws) & ~frame["draw"].isin(waiting)]
            left += len(kept)
            if len(kept) == len(frame):
                continue
            if len(kept):
                self._write(kept, file)
            else:
                file.unlink()
        return left

    def start_over(self) -> None:
        """Moves the history of an earlier run in the same folder out of the way; nothing is deleted."""
        self.pending = []
        if not self.write:
            return
        if self.texts is not None:
            self.texts.start_over()
        if (moved := move_aside(self.folder)) is not None:
            logger.warning("The history of an earlier run in %s is moved to %s.", self.folder.parent, moved.name)

    def _write(self, frame: pd.DataFrame, file: Path) -> None:
        with atomic_write(file) as draft:
            frame.to_parquet(draft, index=False)


def summary(history: pd.DataFrame) -> pd.DataFrame:
    """Per arm: draws and their share; mean reward (GRPO) or loss (SFT) over the first and the last third; more."""
    if history.empty:
        return pd.DataFrame()
    third = pd.Series(np.arange(len(history)) * 3 // len(history), index=history.index)
    signal = "reward" if "reward" in history else "loss"
    arms = history.groupby("arm", sort=False)
    made = {"draws": arms.size(), "share": arms.size() / len(history)}
    for name, k in (("first", 0), ("last", 2)):
        made[f"{signal}, {name} third"] = history[third == k].groupby("arm")[signal].mean()
    if signal == "reward":
        made |= {"mean |A|": arms["advantage"].mean(), "zero variance": arms["zero_variance"].mean()}
    else:
        made |= {"rows": arms["row"].nunique(), "share of tokens": arms["length"].sum() / history["length"].sum()}
    frame = pd.DataFrame(made).rename_axis("arm")
    return frame.iloc[natural([str(arm) for arm in frame.index])]


def print_summary(history: pd.DataFrame, title: str) -> None:
    """Prints the table that a run closes with: the arms with the most draws, in their order."""
    frame = summary(history)
    n, first = len(frame), "arm"
    if n > LONGEST + 1:
        frame = frame[frame["draws"].rank(method="first", ascending=False) <= LONGEST]
        first = f"arm ({LONGEST} of {n:,})"
    columns = {first: "name"} | dict.fromkeys(frame.columns, "number")
    rows = [(str(arm), *row) for arm, row in zip(frame.index, frame.itertuples(index=False), strict=True)]
    show(table(f"Where the draws went ({title})", columns, rows, boxed=True))
