from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..signals import FloatArray, IntArray
from .base import Carried
from .difficulty import DifficultyCurriculum
from .parts.row_sampler import RowSampler


class BabySteps(DifficultyCurriculum):
    r"""
    Baby steps: training goes through stages, and each adds the next harder part of the rows to those before.

    In stage s = 0, …, S - 1, each an equal share of the training, rows come in random order from the easiest

    $$ \frac{s + 1}{S} N $$

    of the N rows, each of them once before any comes again. Rows of equal difficulty are ranked at random.

    Args:
        pool ([`Pool`]):
            Rows and their difficulty.
        stages (`int`, *optional*, defaults to `4`):
            Number of stages S (POCL's GPT-2 script; the same authors' SRD has 3).
        difficulty (`str`, *optional*, defaults to `"column"`):
            `"column"`: the pool's difficulties; `"probe"`: every row's loss, measured before the first draw. A row
            without one is as hard as the median.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Learning rate and temperature stay the trainer's: POCL restarts the one and raises the other at each stage.

    Source: Bengio et al. 2009 (ICML); cumulative stages as in POCL, arXiv 2506.05695, and its code.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import BabySteps
    >>> baby = BabySteps(Pool(4, difficulty=[4, 1, 3, 2]), stages=2)
    >>> sorted(baby.select(2, progress=0.1).row.tolist()), sorted(baby.select(4, progress=0.6).row.tolist())
    ([1, 3], [0, 1, 2, 3])

    ```
    """

    name = "baby_steps"
    signal = "static difficulty, in cumulative stages"
    cost = "none, or one forward over the pool"
    paper = "arXiv 2506.05695"
    probabilistic = True
    replaces = True

    def __init__(
        self, pool: Pool, stages: int = 4, difficulty: Literal["column", "probe"] = "column", seed: int = 0
    ) -> None:
        if stages < 1:
            raise ValueError(f"stages={stages} must be at least 1.")
        self.stages = stages
        self.stage = -1  # not begun
        self.rank: NDArray[np.int32] | None = None  # 0: the easiest row
        super().__init__(pool, difficulty, seed)
        self.sampler = RowSampler(pool.size, self.rng, replacement=False)

    def _sort(self, hardness: FloatArray) -> None:
        order = np.lexsort((self.rng.random(self.pool.size), hardness))
        self.rank = np.empty(self.pool.size, np.int32)
        self.rank[order] = np.arange(self.pool.size)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        assert self.rank is not None
        stage = min(int(self.progress * self.stages), self.stages - 1)
        if stage != self.stage:
            self.stage = stage
            admitted = -(-(stage + 1) * self.pool.size // self.stages)  # rounded up: never none
            self.sampler.set((self.rank < admitted).astype(float))
        row = self.sampler.draw(n)
        return row, self.pool.arm[row], self.sampler.probability(row)

    def metrics(self) -> dict[str, float]:
        return {"stage": float(self.stage)} if self.stage >= 0 else {}

    def _state(self) -> dict[str, Any]:
        state = super()._state() | {"stage": self.stage, "sampler": self.sampler.state_dict()}
        return state | ({"rank": self.rank.copy()} if self.rank is not None else {})

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        super()._load(state, carried)
        self.sampler.load_state_dict(state["sampler"], carried)
        if carried is None:
            self.stage = state["stage"]
            self.rank = state["rank"].copy() if "rank" in state else None
        else:
            self.stage = -1  # ranks changed: the stage starts over with the next draw
