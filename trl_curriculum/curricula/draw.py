"""What a curriculum hands out: rows to train on next, and what happened when they were drawn."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..signals import FloatArray, IntArray


@dataclass(frozen=True)
class RoundBegan:
    """
    A round began with this draw.

    Args:
        number (`int`):
            Counted from 1.
        fresh_optimizer (`bool`):
            Whether the optimizer forgets what it has gathered.
    """

    number: int
    fresh_optimizer: bool = False


@dataclass(frozen=True)
class Draw:
    """
    Rows to train on next, one entry per draw.

    Args:
        row (`IntArray`, shape `(n,)`):
            Positions in the pool.
        arm (`IntArray`, shape `(n,)`):
            Arm of each draw at the time it was drawn, a position in the curriculum's `arm_names`.
        probability (`FloatArray`, shape `(n,)`):
            Marginal probability of the row: its own, or that of its arm over the arm's rows, which come in turn where
            a method draws without replacement. NaN where the method has none.
        id (`IntArray`, shape `(n,)`):
            Number of the draw, counted from the start of the run.
        events (`tuple[RoundBegan, ...]`, *optional*):
            What a trainer has to know that happened with this draw.
    """

    row: IntArray
    arm: IntArray
    probability: FloatArray
    id: IntArray
    events: tuple[RoundBegan, ...] = ()

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, which: slice | np.ndarray) -> "Draw":
        return Draw(self.row[which], self.arm[which], self.probability[which], self.id[which])

    def repeated(self, times: IntArray, first_id: int) -> "Draw":
        """Each row so many `times`, one after the other, as draws of their own: ids from `first_id` on are added."""
        again = np.repeat(np.arange(len(self)), times)
        ids = np.r_[np.sort(self.id), first_id + np.arange(len(again) - len(self))]
        return Draw(self.row[again], self.arm[again], self.probability[again], ids, self.events)

    def __add__(self, other: "Draw") -> "Draw":
        joined = {name: np.concatenate([value, other.columns()[name]]) for name, value in self.columns().items()}
        return Draw(**joined, events=self.events + other.events)

    def columns(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {name: value for name, value in vars(self).items() if name != "events"}


def check_picked(picked: Any, n: int, curriculum: Any) -> tuple[IntArray, IntArray, FloatArray]:
    """
    What a curriculum's `_pick` gave: rows of the pool, their arms and probabilities, of shape `(n,)` each.

    Raises:
        `TypeError` or `ValueError`: in one sentence, where it is something else.
    """
    what = f"_pick({n}) of curriculum {curriculum.name!r}"
    if not isinstance(picked, tuple) or len(picked) != 3:
        given = f"{len(picked)} values" if isinstance(picked, tuple | list) else f"a {type(picked).__name__}"
        raise TypeError(f"{what} returned {given}: return rows, their arms and their probabilities.")
    row, arm, probability = map(np.asarray, picked)
    for name, value in (("rows", row), ("arms", arm), ("probabilities", probability)):
        if value.shape != (n,):
            raise ValueError(f"{what} returned {name} of shape {value.shape}: return shape ({n},).")
    for name, value, size in (("row", row, curriculum.pool.size), ("arm", arm, len(curriculum.arm_names))):
        if value.dtype.kind not in "iu":
            raise TypeError(f"{what} returned {name}s of type {value.dtype}: return whole numbers.")
        if value.min() < 0 or value.max() >= size:
            wrong = value[(value < 0) | (value >= size)][0]
            raise ValueError(f"{what} returned the {name} {wrong}, of {size}: count them from 0.")
    return row, arm, probability


NOTHING = Draw(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
