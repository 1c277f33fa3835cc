from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..records import PoolMapping, row_state, value_state
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .difficulty import DifficultyCurriculum, DifficultyMethod
from .outlook import Outlook, parts
from .parts.row_sampler import RowSampler


@CURRICULA.add("baby_steps", paper="arXiv 2506.05695", signal="static difficulty, in cumulative stages")
@dataclass(frozen=True)
class BabySteps(DifficultyMethod):
    r"""
    Baby steps: training goes through stages, and each adds the next harder part of the rows to those before.

    In stage s = 0, …, S - 1, each an equal share of the training, rows come in random order from the easiest

    $$ \frac{s + 1}{S} N $$

    of the N rows, each of them once before any comes again. Rows of equal difficulty are ranked at random.

    Learning rate and temperature stay the trainer's: POCL restarts the one and raises the other at each stage.

    Source: Bengio et al. 2009 (ICML); cumulative stages as in POCL, arXiv 2506.05695, and its code.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import BabySteps
    >>> baby = BabySteps(stages=2).bind(Pool(4, difficulty=[4, 1, 3, 2]))
    >>> sorted(baby.select(2, progress=0.1).row.tolist()), sorted(baby.select(4, progress=0.6).row.tolist())
    ([1, 3], [0, 1, 2, 3])

    ```
    """

    stages: int = option(4, "Number of stages S.", "POCL's GPT-2 script (the same authors' SRD: 3)", least=1)


class BabyStepsCurriculum(DifficultyCurriculum, of=BabySteps):
    """[`BabySteps`] over a pool."""

    method: BabySteps
    stage: int = value_state(-1, least=-1)  # -1: not begun
    rank: NDArray[np.int32] | None = row_state(0, np.int32, 0, optional=True)  # 0: the easiest row

    def __init__(self, method: BabySteps, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.sampler = RowSampler(pool.size, self.rng, replacement=False)

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        seen, stages = super().outlook(batches, rows), self.method.stages
        begins = parts(stages, batches)
        few = batches is not None and len(begins) < stages
        odd = (f"stages={stages} are asked for and only {len(begins)} begin: train for more steps",) if few else ()
        return replace(seen, event="stage", events=begins, odd=seen.odd + odd)

    def _sort(self, hardness: FloatArray) -> None:
        order = np.lexsort((self.rng.random(self.pool.size), hardness))
        self.rank = np.empty(self.pool.size, np.int32)
        self.rank[order] = np.arange(self.pool.size)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        assert self.rank is not None
        stage = min(int(self.progress * self.method.stages), self.method.stages - 1)
        if stage != self.stage:
            self.stage = stage
            admitted = -(-(stage + 1) * self.pool.size // self.method.stages)  # rounded up: never none
            self.sampler.set((self.rank < admitted).astype(float))
        row = self.sampler.draw(n)
        return row, self.pool.arm[row], self.sampler.probability(row)

    def metrics(self) -> dict[str, float]:
        return {"stage": float(self.stage)} if self.stage >= 0 else {}

    def before_parts(self, mapping: PoolMapping | None) -> None:
        saved = self.rank
        super().before_parts(mapping)  # which ranks anew, and breaks ties anew
        if mapping is None and saved is not None:
            if not np.array_equal(np.sort(saved), np.arange(self.pool.size)):
                raise self.damaged("rank")
            self.rank = saved
        elif mapping is not None:
            self.stage = -1  # ranks change: the stage starts over with the next draw
