from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .rows import RowCurriculum, RowMethod


@CURRICULA.add(
    "cyclical",
    paper="arXiv 2202.05531",
    signal="1 / loss of a row, in a part of the pool that grows and shrinks",
    cost="free; with measure: probe, 1 forward over the pool before each part",
)
@dataclass(frozen=True)
class Cyclical(RowMethod):
    r"""
    Cyclical curriculum learning: the part of the pool that is trained on grows to all of it, shrinks again, and so on.

    Part e of the training takes n_e N of the N rows, where n_0 = start,

    $$ n \leftarrow \min(n / \alpha, \text{end}) \;\text{up to the end, then}\;
    n \leftarrow \max(n \alpha, \text{start}) \;\text{down to the start, and up again;} $$

    its rows are drawn without replacement with probability ∝ 1 / loss, so mostly easy ones, and then come in random
    order, each once. A part ends with the batch in which it is used up, so a few of its first rows may come twice. The
    probability of a draw is that among the rows of the part.

    The paper's losses are those of a model that was trained before without a curriculum; its code also has a variant
    that measures them anew before each part, which is `measure="probe"`. With free losses the first part is a random
    one. A row without a loss counts as if it had the mean loss of the others; a loss counts as at least .001.

    Source: Kesgin & Amasyali 2022, arXiv 2202.05531, and its code.

    Example:

    ```python
    >>> from trl_curriculum.curricula import Cyclical
    >>> [Cyclical().part(e) for e in range(6)]
    [0.25, 0.5, 1.0, 0.5, 0.25, 0.5]

    ```
    """

    start: float = option(0.25, "Smallest part of the pool.", "the paper's code", above=0, most=1)
    end: float = option(1.0, "Largest part of the pool.", "the paper's code", above=0, most=1)
    alpha: float = option(0.5, "Factor from one part to the next.", "the paper's code", above=0, below=1)

    refresh_steps: ClassVar[None] = None  # type: ignore[misc]  # a part says how long it is

    def check(self) -> None:
        if self.start > self.end:
            raise ValueError(f"start={self.start} is a larger part of the pool than end={self.end}.")

    def part(self, e: int) -> float:
        """Share n_e of the pool."""
        steps = int(np.ceil(np.log(self.start / self.end) / np.log(self.alpha) - 1e-9))  # from the start to the end
        place = e % max(2 * steps, 1)
        if place <= steps:
            return min(self.start / self.alpha**place, self.end)
        return max(self.end * self.alpha ** (place - steps), self.start)

    def rows_in(self, e: int, size: int) -> int:
        """Rows of part e."""
        return max(1, int(self.part(e) * size))

    def draws_per_refresh(self, now: RowCurriculum) -> int:
        return self.rows_in(now.refreshes - (self.measure == "probe"), now.pool.size)

    def weights(self, now: RowCurriculum, row: IntArray, loss: FloatArray, inclusion_weight: FloatArray) -> FloatArray:
        known, size = np.isfinite(now.loss), now.pool.size
        value = np.where(known, now.loss, now.loss[known].mean(dtype=float))
        key = now.rng.gumbel(size=size) - np.log(np.maximum(value, 1e-3))  # the k largest: ∝ 1 / loss
        k = self.rows_in(now.refreshes + (self.measure == "free"), size)
        weight = np.zeros(size)
        weight[np.argpartition(-key, k - 1)[:k]] = 1
        return weight
