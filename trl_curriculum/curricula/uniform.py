from dataclasses import dataclass

import numpy as np

from ..pool import Pool
from ..records import PoolMapping
from ..signals import FloatArray, IntArray
from .base import CURRICULA, Curriculum, CurriculumMethod
from .parts.queues import Queues, StreamQueues


@CURRICULA.add("uniform")
@dataclass(frozen=True)
class Uniform(CurriculumMethod):
    """
    Every row once in random order, then again in another: what TRL's shuffling does, and the baseline of all others.

    Arms are only reported. Of streams, rows come from one after the other in turn, each in its order.

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

    takes_streams = True

    def __init__(self, method: Uniform, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        one = np.broadcast_to(np.int32(0), pool.size)
        self.queues = StreamQueues(np.array([pool.size])) if pool.is_stream else Queues(one, 1, self.rng)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        one = np.zeros(n, np.int64)
        row = self.queues.pop(one)
        return row, self.pool.arm[row], self.queues.chance(np.ones(1), one)

    def own_mapping(self, mapping: PoolMapping) -> PoolMapping:
        return mapping.with_arms(np.zeros(1, np.int64))
