from typing import Any

import numpy as np

from ..pool import Pool
from ..signals import FloatArray, IntArray
from .base import Carried, Curriculum
from .parts.queues import Queues


class Uniform(Curriculum):
    """
    Every row once in random order, then again in another: what TRL's shuffling does, and the baseline of all others.

    Args:
        pool ([`Pool`]):
            Rows to choose from; its arms are only reported.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import Uniform
    >>> sorted(Uniform(Pool(4)).select(4).row.tolist())
    [0, 1, 2, 3]

    ```
    """

    name = "uniform"
    probabilistic = True
    has_floor = True

    def __init__(self, pool: Pool, seed: int = 0) -> None:
        super().__init__(pool, seed)
        self.queues = Queues(np.broadcast_to(np.int32(0), pool.size), 1, self.rng)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        row = self.queues.pop(np.zeros(n, np.int64))
        return row, self.pool.arm[row], np.full(n, 1 / self.pool.size)

    def _state(self) -> dict[str, Any]:
        return self.queues.state_dict()

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        if carried is not None:
            carried = Carried(carried.row, np.zeros(1, np.int64), carried.old_size)
        self.queues.load_state_dict(state, carried)
