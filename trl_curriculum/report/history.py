"""What was drawn, with what probability, and what came of it: one row per draw, as parquet beside the checkpoints."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from ..curricula.draw import Draw
from ..disk.atomic import atomic_write
from ..signals import Feedback, IntArray, group_mean


FOLDER = "curriculum_history"


def read_history(output_dir: str | Path) -> pd.DataFrame:
    """
    Reads a run's history.

    Returns:
        `pandas.DataFrame`, one row per draw: `step` (optimizer step), `draw`, `row` (position in the dataset), `arm`
        (name), `probability` (marginal, of the row; NaN where the method has none) and `length` (mean tokens, as in
        [`Feedback`]). From GRPO also `reward` (mean of the group), `advantage` (mean |A|), `zero_variance` (whether
        all rewards of the group were equal) and `scored` (rollouts with a reward); from SFT `loss` and `entropy`
        (nats per trained token).
    """
    files = sorted((Path(output_dir) / FOLDER).glob("draws-*.parquet"))
    if not files:
        return pd.DataFrame(columns=["step", "draw", "row", "arm", "probability", "length"])
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def drawn_rows(output_dir: str | Path) -> pd.DataFrame:
    """`row` and `arm` of every draw that has been written, without the other columns of [`read_history`]."""
    files = sorted((Path(output_dir) / FOLDER).glob("draws-*.parquet"))
    parts = [pd.read_parquet(file, columns=["row", "arm"]) for file in files]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["row", "arm"])


def _shown_by_rollouts(feedback: Feedback, group: IntArray, n: int) -> dict[str, np.ndarray]:
    reward, advantage = feedback.reward, feedback.advantage
    assert reward is not None and advantage is not None
    seen = np.isfinite(reward)
    scored = np.bincount(group[seen], minlength=n)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, group[seen], reward[seen])
    np.maximum.at(high, group[seen], reward[seen])
    return {
        "reward": group_mean(reward, group, n),
        "advantage": group_mean(np.abs(advantage), group, n),
        "zero_variance": (scored > 0) & (high - low <= 1e-8),
        "scored": scored,
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
    """

    def __init__(self, output_dir: str | Path, write: bool, every: int = 4096) -> None:
        self.folder = Path(output_dir) / FOLDER
        self.write = write
        self.every = every
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

    def flush(self) -> None:
        """Writes what is pending as one more segment, atomically."""
        if not self.pending:
            return
        frame = pd.DataFrame({name: np.concatenate([part[name] for part in self.pending]) for name in self.pending[0]})
        last = max((int(file.stem.split("-")[1]) for file in self.folder.glob("draws-*.parquet")), default=-1)
        self._write(frame, self.folder / f"draws-{last + 1:012d}.parquet")
        self.pending = []

    def rewind(self, draws: int, waiting: IntArray) -> int:
        """
        Forgets what a resumed run does again: all draws from number `draws` on, and those that were `waiting` to be
        trained on; returns how many are left.
        """
        self.pending = []
        left = 0
        if not self.write:
            return left
        for file in sorted(self.folder.glob("draws-*.parquet")):
            frame = pd.read_parquet(file)
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
        if self.write and self.folder.exists() and any(self.folder.iterdir()):
            n = 1
            while (moved := self.folder.with_name(f"{FOLDER}.{n}")).exists():
                n += 1
            os.rename(self.folder, moved)

    def _write(self, frame: pd.DataFrame, file: Path) -> None:
        with atomic_write(file) as draft:
            frame.to_parquet(draft, index=False)


def summary(history: pd.DataFrame) -> pd.DataFrame:
    """Per arm: draws and their share; mean reward (GRPO) or loss (SFT) over the first and the last third; more."""
    if history.empty:
        return pd.DataFrame()
    third = pd.Series(np.arange(len(history)) * 3 // len(history), index=history.index)
    signal = "reward" if "reward" in history else "loss"
    rows = []
    for arm, part in history.groupby("arm", sort=False):
        phase = third.loc[part.index]
        row = {
            "arm": arm,
            "draws": len(part),
            "share": len(part) / len(history),
            f"{signal}, first third": part.loc[phase == 0, signal].mean(),
            f"{signal}, last third": part.loc[phase == 2, signal].mean(),
        }
        if signal == "reward":
            row |= {"mean |A|": part["advantage"].mean(), "zero variance": part["zero_variance"].mean()}
        else:
            row |= {"rows": part["row"].nunique(), "share of tokens": part["length"].sum() / history["length"].sum()}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("arm").set_index("arm")


def print_summary(history: pd.DataFrame, title: str) -> None:
    """Prints the table that a run closes with."""
    table = Table(title=f"Where the draws went ({title})")
    frame = summary(history).reset_index()
    for column in frame.columns:
        table.add_column(column, justify="left" if column == "arm" else "right", no_wrap=column == "arm")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    Console().print(table)
