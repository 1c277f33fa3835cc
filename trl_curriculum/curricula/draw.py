"""What a curriculum hands out: rows to train on next, and what happened when they were drawn."""

from dataclasses import dataclass

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

    def __add__(self, other: "Draw") -> "Draw":
        joined = {name: np.concatenate([value, other.columns()[name]]) for name, value in self.columns().items()}
        return Draw(**joined, events=self.events + other.events)

    def columns(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {name: value for name, value in vars(self).items() if name != "events"}


NOTHING = Draw(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
