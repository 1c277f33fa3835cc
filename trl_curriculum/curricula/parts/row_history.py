"""What each row has shown so far."""

import numpy as np
from numpy.typing import NDArray

from ...records import Stateful, row_state
from ...signals import CHUNK, FloatArray, IntArray


class RowHistory(Stateful):
    """
    First, previous and last value of each row, and the variance of its whole history, in 22 bytes a row.

    The mean and the sum of squares leave the first value out (Welford's update), because the first loss is often the
    one before any training; with it they are put together again when asked for.

    Args:
        size (`int`):
            Number of rows.
    """

    count: NDArray = row_state(0, np.uint16)
    first: NDArray = row_state(np.nan)
    previous: NDArray = row_state(np.nan)
    last: NDArray = row_state(np.nan)
    mean: NDArray = row_state(0.0)  # of all but the first, as the next
    squares: NDArray = row_state(0.0)

    def __init__(self, size: int) -> None:
        self.start(size, 0)

    def update(self, row: IntArray, value: NDArray) -> None:
        """Adds one finite value to each of some distinct rows; both of shape `(n,)`."""
        before, value = self.count[row], value.astype(np.float32)  # like the rest, or rounding makes squares negative
        self.first[row] = np.where(before == 0, value, self.first[row])
        later = before > 0
        again = row[later]
        away = value[later] - self.mean[again]
        self.mean[again] += away / before[later]
        self.squares[again] += away * (value[later] - self.mean[again])
        self.previous[row] = self.last[row]
        self.last[row] = value
        self.count[row] = np.minimum(before, 2**16 - 2) + 1

    def std(self, skip_first: bool = False) -> NDArray:
        """Standard deviation (n - 1) of each row's values, shape `(size,)`; NaN where there are fewer than two."""
        n = self.count.astype(np.float32) - skip_first
        squares = self.squares
        if not skip_first:
            with np.errstate(invalid="ignore", divide="ignore"):
                squares = squares + (self.first - self.mean) ** 2 * (n - 1) / n
        return np.sqrt(np.divide(squares, n - 1, out=np.full_like(squares, np.nan), where=n >= 2))

    def average(self) -> NDArray:
        """Mean of each row's values, shape `(size,)`; NaN where there are none."""
        n = self.count.astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.first + (n - 1) * self.mean) / n

    def progress(self) -> NDArray[np.float32]:
        """Previous value minus last value, shape `(size,)`: how far a loss has just fallen; NaN before the second."""
        return self.previous - self.last


def percentile_rank(value: NDArray, weight: FloatArray | None = None) -> NDArray[np.float32]:
    """
    Share of the others that lie below each value, ties counted half: in (0, 1), unchanged by any monotone map.

    Args:
        value (`NDArray`, shape `(n,)`):
            Finite values.
        weight (`FloatArray`, shape `(n,)`, *optional*):
            How many rows each value stands for.
    """
    if weight is None:
        ordered, rank = np.sort(value), np.empty(len(value), np.float32)
        for begin in range(0, len(value), CHUNK):  # temporary arrays stay small
            part = value[begin : begin + CHUNK]
            below, upto = (np.searchsorted(ordered, part, side=side) for side in ("left", "right"))
            rank[begin : begin + CHUNK] = (below + upto) / (2 * len(value))
        return rank
    order = np.argsort(value, kind="stable")
    ordered = value[order]
    start = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # of each run of equal values
    run = np.cumsum(np.r_[False, ordered[1:] != ordered[:-1]])
    mass = np.add.reduceat(weight[order], start)
    rank = np.empty(len(order), np.float32)
    rank[order] = ((np.cumsum(mass) - mass / 2) / mass.sum())[run]
    return rank
