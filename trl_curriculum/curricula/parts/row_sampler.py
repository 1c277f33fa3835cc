"""Draws of rows in proportion to weights that change only now and then."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...records import PoolMapping, Stateful, check_array
from ...signals import FloatArray, IntArray


class RowSampler(Stateful):
    """
    Draws rows by their weights from a cumulative sum: 8 bytes a row (9 to 13 without replacement) and
    O(n log N) a draw, with no tree to maintain.

    Without replacement, a row comes again only when all rows that have a weight were drawn, or the weights are set
    anew. Draws with replacement that repeat a row are rejected, which is exact: the next row has the probability that
    its weight has among the rows left (Plackett-Luce). Where many would be rejected, the rows left are lined up by
    Gumbel top-k, which has the same distribution.

    Args:
        size (`int`):
            Number of rows; they start with equal weights.
        rng (`np.random.Generator`):
            The curriculum's generator.
        replacement (`bool`):
            Whether a row can come again.
    """

    def __init__(self, size: int, rng: np.random.Generator, replacement: bool) -> None:
        self.size, self.rng, self.replacement = size, rng, replacement
        self.cumulative: FloatArray | None = None  # equal weights need none
        self.taken = None if replacement else np.zeros(size, bool)
        self.queue: NDArray[np.int32] | None = None  # rows that are left, in the order in which they will come
        self.line: NDArray[np.int32] | None = None  # the order of every pass, where it is fixed

    def set(self, weight: FloatArray, line: IntArray | None = None) -> None:
        """
        Takes weights over, shape `(size,)` and not all 0: the array is reused. `line` has the rows with a weight, each
        once, in the order in which every pass takes them; default: at random. It needs draws without replacement.
        """
        self.line = None if line is None else line.astype(np.int32)
        self.cumulative = np.cumsum(weight, out=weight)
        if not self.cumulative[-1] > 0:
            raise ValueError("All rows have weight 0: nothing could be drawn.")
        self.start_over()

    def probability(self, row: IntArray) -> FloatArray:
        """Probability of each row to be drawn next, were nothing taken yet; shape `(n,)`."""
        if self.cumulative is None:
            return np.full(len(row), 1 / self.size)
        below = np.where(row > 0, self.cumulative[row - 1], 0)
        return (self.cumulative[row] - below) / self.cumulative[-1]

    def inclusion(self, row: IntArray, n: int) -> FloatArray:
        """
        Probability that each row is among `n` draws, shape `(len(row),)`.

        With replacement it is 1 - (1 - p)^n. Without, rows come as if each had a clock that rings at rate p, and n
        draws end at the time t at which n rings are expected: 1 - exp(-p t), within 1/n of the exact value.
        """
        p = self.probability(row)
        if self.replacement:
            return -np.expm1(n * np.log1p(-np.minimum(p, 1 - 1e-12)))
        rates = self.probability(np.arange(self.size))
        rates = rates[rates > 0]
        if n >= len(rates):
            return (p > 0).astype(float)
        low, high = 0.0, float(n)  # 1 - exp(-p t) <= p t: fewer than t rings are expected before t
        while -np.expm1(-rates * high).sum() < n:
            low, high = high, 2 * high
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if -np.expm1(-rates * middle).sum() < n else (low, middle)
        return -np.expm1(-p * high)

    def draw(self, n: int) -> IntArray:
        """`n` rows, shape `(n,)`."""
        if self.taken is None:
            return self._with_replacement(n)
        parts: list[IntArray] = []
        while (missing := n - sum(map(len, parts))) > 0:
            if self.queue is None:
                parts.append(self._by_rejection(missing))
            else:
                parts.append(self.queue[:missing].astype(np.int64))
                self.taken[parts[-1]] = True
                self.queue = self.queue[missing:]
                if len(self.queue) == 0:
                    self.start_over()
        return np.concatenate(parts)

    def start_over(self) -> None:
        """Forgets what was drawn."""
        self.queue = None if self.line is None else self.line.copy()
        if self.taken is not None:
            self.taken[:] = False

    def _by_rejection(self, n: int) -> IntArray:
        """Up to `n` new rows; where too many draws are rejected, the rows that are left are lined up for later."""
        assert self.taken is not None
        found = self._with_replacement(n + n // 4 + 16)
        found = found[np.sort(np.unique(found, return_index=True)[1])]
        found = found[~self.taken[found]][:n]
        self.taken[found] = True
        if len(found) < n:
            left = np.flatnonzero(~self.taken)
            weight = self.probability(left)
            left, weight = left[weight > 0], weight[weight > 0]
            if len(left):
                keys = np.log(weight) + self.rng.gumbel(size=len(left))
                self.queue = left[np.argsort(-keys)].astype(np.int32)
            else:
                self.start_over()
        return found

    def _with_replacement(self, n: int) -> IntArray:
        if self.cumulative is None:
            return self.rng.integers(self.size, size=n)
        at = self.rng.random(n) * self.cumulative[-1]
        order = np.argsort(at)  # neighbours are looked up one after the other, which large pools need to be fast
        row = np.empty(n, np.int64)
        row[order] = np.searchsorted(self.cumulative, at[order], side="right")
        return np.minimum(row, self._last)

    @property
    def _last(self) -> int:
        """The last row that has a weight: rounding may reach past it."""
        assert self.cumulative is not None
        return int(np.searchsorted(self.cumulative, self.cumulative[-1], side="left"))

    def state_dict(self) -> dict[str, Any]:
        held = {name: getattr(self, name) for name in ("cumulative", "taken", "queue", "line")}
        return {name: value.copy() for name, value in held.items() if value is not None}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        """Continues; with changed rows only `taken` is kept, and weights are equal until they are set."""
        if self.taken is not None:
            check_array("taken", state.get("taken"), bool, self.taken.shape if mapping is None else None)
        if mapping is not None:
            self.cumulative = self.queue = self.line = None
            if self.taken is not None:
                self.taken = mapping.rows(state["taken"], False)
            return
        self.cumulative = self.queue = self.line = None
        if "cumulative" in state:
            check_array("cumulative", state["cumulative"], float, (self.size,), 0)
            if (np.diff(state["cumulative"]) < 0).any() or not state["cumulative"][-1] > 0:
                raise self.damaged("cumulative")
            self.cumulative = state["cumulative"].copy()
        for name in ("queue", "line"):
            if name in state:
                check_array(name, state[name], np.int32, None, 0, self.size - 1)
                setattr(self, name, state[name].copy())
        if self.taken is not None:
            self.taken = state["taken"].copy()
