from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..signals import FloatArray, IntArray
from .base import Carried
from .difficulty import DifficultyCurriculum


class Competence(DifficultyCurriculum):
    r"""
    Competence-based curriculum: batches come from the rows that are no harder than the model's competence.

    With t the share of training done, T the share after which all rows are in, and rows ranked by difficulty,

    $$ c(t) = \min\left(1, \sqrt{\tfrac{t}{T} (1 - c_0^2) + c_0^2}\right), $$

    a batch is drawn uniformly, without a row twice, from the easiest c(t) N of the N rows: the square root adds new
    rows ever more slowly, so that each batch shows an equal share of them. Rows of equal difficulty are ranked at
    random.

    Args:
        pool ([`Pool`]):
            Rows and their difficulty.
        initial (`float`, *optional*, defaults to `0.01`):
            Competence c0 at the start (the paper's). At least as many rows as are drawn at once are in (ours).
        duration (`float`, *optional*, defaults to `0.5`):
            T, as a share of the training. Ours: the paper takes the steps that plain training needs to 90% of its
            final score, which has to be measured first.
        difficulty (`str`, *optional*, defaults to `"column"`):
            `"column"`: the pool's difficulties (the paper: sentence length or word rarity); `"probe"`: every row's
            loss, measured before the first draw. A row without one is as hard as the median.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Source: Platanios et al. 2019, arXiv 1903.09848.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import Competence
    >>> Competence(Pool(100, difficulty=range(100)), duration=1.0).competence(0.25)  # a quarter of the way: half
    0.50...

    ```
    """

    name = "competence"
    signal = "static difficulty, up to a growing limit"
    cost = "none, or one forward over the pool"
    paper = "arXiv 1903.09848"
    probabilistic = True
    replaces = True

    def __init__(
        self,
        pool: Pool,
        initial: float = 0.01,
        duration: float = 0.5,
        difficulty: Literal["column", "probe"] = "column",
        seed: int = 0,
    ) -> None:
        if not 0 < initial <= 1:
            raise ValueError(f"initial={initial} is not a share of the rows in (0, 1].")
        if not 0 < duration <= 1:
            raise ValueError(f"duration={duration} is not a share of the training in (0, 1].")
        self.initial, self.duration = initial, duration
        self.order: NDArray[np.int32] | None = None  # rows, the easiest first
        super().__init__(pool, difficulty, seed)

    def _sort(self, hardness: FloatArray) -> None:
        self.order = np.lexsort((self.rng.random(self.pool.size), hardness)).astype(np.int32)

    def competence(self, progress: float) -> float:
        """c: the share of the rows that is in."""
        return min(1.0, float(np.sqrt(progress / self.duration * (1 - self.initial**2) + self.initial**2)))

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        assert self.order is not None
        size = self.pool.size
        admitted = max(int(self.competence(self.progress) * size), min(n, size))
        row = self.order[self.rng.choice(admitted, n, replace=n > admitted)]
        return row, self.pool.arm[row], np.full(n, 1 / admitted)

    def metrics(self) -> dict[str, float]:
        return {"competence": self.competence(self.progress)}

    def _state(self) -> dict[str, Any]:
        return super()._state() | ({"order": self.order.copy()} if self.order is not None else {})

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        super()._load(state, carried)
        if carried is None and "order" in state:
            self.order = state["order"].copy()
