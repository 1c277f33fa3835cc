"""Draws of rows in proportion to weights of which some change after every batch."""

from typing import Any

import numpy as np

from ...records import PoolMapping, Stateful, check_array
from ...signals import FloatArray, IntArray


class SumTree(Stateful):
    """
    Weights of rows, and above them the sums of each sixteen: 8.5 bytes a row, O(n log N) for n draws and for n new
    weights.

    A sum is always added up anew from its sixteen, never moved by a difference, so that no rounding gathers: the tree
    is the one that its weights alone would give.

    Args:
        weight (`FloatArray`, shape `(size,)`):
            Weight of each row, 0 or more.
    """

    FAN = 16

    def __init__(self, weight: FloatArray) -> None:
        self.size = len(weight)
        self._build(weight)

    def _build(self, weight: FloatArray) -> None:
        self.levels = [_padded(weight, self.FAN)]
        while len(self.levels[-1]) > self.FAN:
            self.levels.append(_padded(self.levels[-1].reshape(-1, self.FAN).sum(axis=1), self.FAN))

    @property
    def weight(self) -> FloatArray:
        """Weight of each row, shape `(size,)`."""
        return self.levels[0][: self.size]

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self.levels[-1].sum())

    def probability(self, row: IntArray) -> FloatArray:
        """Probability of each row to be drawn next, shape `(n,)`."""
        return self.levels[0][row] / self.total

    def set(self, row: IntArray, weight: FloatArray | float) -> None:
        """Gives rows other weights; both of shape `(n,)`, in O(n log N)."""
        self.levels[0][row] = weight
        for below, above in zip(self.levels, self.levels[1:], strict=False):
            row = np.unique(row // self.FAN)
            above[row] = below.reshape(-1, self.FAN)[row].sum(axis=1)

    def draw(self, rng: np.random.Generator, n: int) -> IntArray:
        """`n` independent draws, shape `(n,)`; not all weights may be 0."""
        row = np.zeros(n, np.int64)
        at = rng.random(n) * self.total
        for level in reversed(self.levels):
            below = np.cumsum(level.reshape(-1, self.FAN)[row], axis=1)
            child = (below <= at[:, None]).sum(axis=1)
            past = np.flatnonzero(child == self.FAN)  # rounding: the last one that has a weight is where they reach
            child[past] = below[past].argmax(axis=1)
            at -= np.where(child > 0, below[np.arange(n), child - 1], 0)
            row = row * self.FAN + child
        return row

    def draw_distinct(self, rng: np.random.Generator, n: int) -> IntArray:
        """
        `n` rows, none of them twice, or all that have a weight where these are fewer.

        Draws that repeat a row are rejected, which is exact: the next row has the probability that its weight has
        among the rows left (Plackett-Luce).
        """
        found = _first_of_each(self.draw(rng, n + n // 8 + 8))[:n] if self.total > 0 else np.empty(0, np.int64)
        if len(found) == n:
            return found
        taken, weight = [found], [self.levels[0][found]]
        self.set(found, 0.0)
        while (missing := n - sum(map(len, taken))) > 0 and self.total > 0:
            found = _first_of_each(self.draw(rng, 2 * missing))[:missing]
            taken.append(found)
            weight.append(self.levels[0][found])
            self.set(found, 0.0)
        rows = np.concatenate(taken)
        self.set(rows, np.concatenate(weight))
        return rows

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight.copy()}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        """Continues; with changed rows whoever owns it has to set all weights."""
        check_array("weight", state.get("weight"), float, (self.size,) if mapping is None else None, 0)
        if mapping is None:
            self._build(state["weight"])


def _padded(value: FloatArray, multiple: int) -> FloatArray:
    whole = np.zeros(-(-len(value) // multiple) * multiple)
    whole[: len(value)] = value
    return whole


def _first_of_each(row: IntArray) -> IntArray:
    """The rows without repetitions, in the order in which they came."""
    first: IntArray = row[np.sort(np.unique(row, return_index=True)[1])]
    return first
