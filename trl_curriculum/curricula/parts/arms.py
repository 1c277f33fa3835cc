"""Arms as a bandit sees them: their names, the arm of each row, and the rows of each in the order of their draws."""

from abc import abstractmethod
from typing import Any

import numpy as np

from ...records import Stateful
from ...signals import Feedback, IntArray
from .queues import Queues, StreamQueues, queues_of


class Arms(Stateful):
    """Arms of a pool. Those that are estimated change with what `observe` shows them."""

    names: tuple[str, ...]
    arm: IntArray  # of each row
    queues: Queues | StreamQueues
    regroupings: int  # how often rows were put into other arms
    by_rows: bool  # whether an arm is drawn in proportion to its rows where nothing is known

    @property
    def first_change(self) -> int | None:
        """The first batch, counted from 1, for which arms may be others than at the start; `None` for fixed ones."""
        return None

    def remedy(self, batches: int | None) -> str:
        """What to set so that arms change within so many batches."""
        return ""

    @abstractmethod
    def observe(self, feedback: Feedback) -> None:
        """Learns where rows belong."""


class FixedArms(Arms):
    """Arms that are given with the pool."""

    by_rows = False
    regroupings = 0

    def __init__(self, pool: Any, rng: np.random.Generator) -> None:
        self.names, self.arm = pool.arm_names, pool.arm
        self.queues = queues_of(pool, rng)

    def observe(self, feedback: Feedback) -> None:
        pass


def arms_of(pool: Any, rng: np.random.Generator) -> Arms:
    """The arms of a pool: those it came with, or those that its source estimates."""
    return FixedArms(pool, rng) if pool.estimated is None else pool.estimated.bind(pool.size, rng)
