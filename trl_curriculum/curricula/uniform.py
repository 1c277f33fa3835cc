from dataclasses import dataclass

import numpy as np

from ..pool import Pool
from ..records import PoolMapping
from ..signals import FloatArray, IntArray
from .base import CURRICULA, Curriculum, CurriculumMethod
from .parts.queues import Queues


@CURRICULA.add("uniform")
@dataclass(frozen=True)
class Uniform(CurriculumMethod):
    """
    Every row once in random order, then again in another: what TRL's shuffling does, and the baseline of all others.

    Arms are only reported.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import Uniform
    >>> sorted(Uniform().bind(Pool(4)).select(4).row.tolist())
    [0, 1, 2, 3]

    ```
    """


class UniformCurriculum(Curriculum, of=Uniform):
    """[`Uniform`] over a pool."""

    def __init__(self, method: Uniform, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.queues = Queues(np.broadcast_to(np.int32(0), pool.size), 1, self.rng)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        row = self.queues.pop(np.zeros(n, np.int64))
        return row, self.pool.arm[row], np.full(n, 1 / self.pool.size)

    def own_mapping(self, mapping: PoolMapping) -> PoolMapping:
        return mapping.with_arms(np.zeros(1, np.int64))
