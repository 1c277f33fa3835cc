import numpy as np

from ..pool import Pool
from ..signals import FloatArray, IntArray
from .rows import Measure, RowCurriculum


class Cyclical(RowCurriculum):
    r"""
    Cyclical curriculum learning: the part of the pool that is trained on grows to all of it, shrinks again, and so on.

    Part e of the training takes n_e N of the N rows, where n_0 = start,

    $$ n \leftarrow \min(n / \alpha, \text{end}) \;\text{up to the end, then}\;
    n \leftarrow \max(n \alpha, \text{start}) \;\text{down to the start, and up again;} $$

    its rows are drawn without replacement with probability ∝ 1 / loss, so mostly easy ones, and then come in random
    order, each once.

    The paper's losses are those of a model that was trained before without a curriculum; its code also has a variant
    that measures them anew before each part, which is `measure="probe"`. With free losses the first part is a random
    one. A row without a loss counts as if it had the mean loss of the others; a loss counts as at least .001.

    Args:
        pool ([`Pool`]):
            Rows; its arms are only reported.
        start (`float`, *optional*, defaults to `0.25`):
            Smallest part of the pool (the paper's code).
        end (`float`, *optional*, defaults to `1.0`):
            Largest part of the pool (the paper's code).
        alpha (`float`, *optional*, defaults to `0.5`):
            Factor from one part to the next (the paper's code).
        measure (`str`, *optional*, defaults to `"free"`):
            `"free"`: losses that training shows anyway; `"probe"`: a forward over the pool before each part.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    A part ends with the batch in which it is used up, so a few of its first rows may come twice. The probability of
    a draw is that among the rows of the part.

    Source: Kesgin & Amasyali 2022, arXiv 2202.05531, and its code.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import Cyclical
    >>> [Cyclical(Pool(4)).part(e) for e in range(6)]
    [0.25, 0.5, 1.0, 0.5, 0.25, 0.5]

    ```
    """

    name = "cyclical"
    signal = "1 / loss of a row, in a part of the pool that grows and shrinks"
    cost = "none, or a forward over the pool before each part"
    paper = "arXiv 2202.05531"

    def __init__(
        self,
        pool: Pool,
        start: float = 0.25,
        end: float = 1.0,
        alpha: float = 0.5,
        measure: Measure = "free",
        seed: int = 0,
    ) -> None:
        if not 0 < start <= end <= 1:
            raise ValueError(f"start={start} and end={end} must be shares of the rows with 0 < start <= end <= 1.")
        if not 0 < alpha < 1:
            raise ValueError(f"alpha={alpha} is not a factor in (0, 1).")
        self.start, self.end, self.alpha = start, end, alpha
        super().__init__(pool, measure=measure, replacement=False, seed=seed)

    def part(self, e: int) -> float:
        """Share n_e of the pool."""
        steps = int(np.ceil(np.log(self.start / self.end) / np.log(self.alpha) - 1e-9))  # from the start to the end
        place = e % max(2 * steps, 1)
        if place <= steps:
            return min(self.start / self.alpha**place, self.end)
        return max(self.end * self.alpha ** (place - steps), self.start)

    def _rows_in(self, e: int) -> int:
        return max(1, int(self.part(e) * self.pool.size))

    def _draws_per_refresh(self) -> int:
        return self._rows_in(self.refreshes - (self.measure == "probe"))

    def _weights(self, row: IntArray, loss: FloatArray, stands_for: FloatArray) -> FloatArray:
        known = np.isfinite(self.loss)
        value = np.where(known, self.loss, self.loss[known].mean(dtype=float))
        key = self.rng.gumbel(size=self.pool.size) - np.log(np.maximum(value, 1e-3))  # the k largest: ∝ 1 / loss
        k = self._rows_in(self.refreshes + (self.measure == "free"))
        weight = np.zeros(self.pool.size)
        weight[np.argpartition(-key, k - 1)[:k]] = 1
        return weight
