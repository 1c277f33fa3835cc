"""Arms without labels: rows grouped by their own running success rate, regrouped as the model changes."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ...arms import ARMS, ArmSource
from ...records import PoolMapping, Stateful, row_state, value_state
from ...registry import option
from ...signals import Feedback, IntArray
from .arms import Arms
from .queues import Queues


@ARMS.add("success_rate", paper="PipelineRL's estimated categories")
@dataclass(frozen=True)
class SuccessRate(ArmSource):
    """
    Arms are buckets of equal width over the rows' running success rates, and one for rows that were never tried.

    A row's rate is the mean of its last group and of its rate before; success is the mean reward (ours), which must
    lie in [0, 1]. Rows that were never tried have an arm of their own (ours). A row that was tried and never scored
    joins the lowest bucket, so that unscorable rows cannot fill the untried arm for ever (ours). Within a bucket the
    rows that were drawn least often come first (ours). That buckets weigh alike is PipelineRL's.
    """

    bins: int = option(5, "Buckets over [0, 1].", "PipelineRL", least=2, most=1000)
    every: int = option(5, "Batches between two regroupings.", "PipelineRL", least=1)
    outcome: str | None = option(None, "Reward function that says what success is; default: the weighted sum.")

    estimated = True

    def bind(self, size: int, rng: np.random.Generator) -> "SuccessBuckets":
        return SuccessBuckets(size, self, rng)


class SuccessBuckets(Arms):
    """
    The buckets of [`SuccessRate`] over a pool.

    Args:
        size (`int`):
            Rows in the pool.
        source ([`SuccessRate`]):
            How many buckets, and how often they are made anew.
        rng (`np.random.Generator`):
            The curriculum's generator.
    """

    success = row_state(np.nan, np.float32, 0, 1)
    visits = row_state(0, np.int32, 0)
    arm: IntArray = row_state(0, np.int32, 0)
    batches = value_state(0, least=0)

    by_rows = True  # a bucket may hold a handful of rows, which would otherwise be drawn over and over

    def __init__(self, size: int, source: SuccessRate, rng: np.random.Generator) -> None:
        self.source, self.rng = source, rng
        edges = np.linspace(0, 1, source.bins + 1)
        self.names = ("untried", *(f"{a:.2g}-{b:.2g}" for a, b in pairwise(edges)))
        self.start(size, len(self.names))
        self.regroup()

    def regroup(self) -> None:
        """Puts every row into the bucket that its success rate has reached."""
        rate = np.where(np.isnan(self.success), 0, self.success)
        bucket = 1 + np.minimum((rate * self.source.bins).astype(np.int32), self.source.bins - 1)
        self.arm = np.where(self.visits > 0, bucket, 0).astype(np.int32)
        by_visits = np.lexsort((self.rng.random(len(self.arm)), self.visits, self.arm))
        self.queues = Queues(self.arm, len(self.names), self.rng, order=by_visits)

    @property
    def regroupings(self) -> int:  # type: ignore[override]
        return self.batches // self.source.every

    @property
    def first_change(self) -> int | None:
        return self.source.every + 1

    def remedy(self, batches: int | None) -> str:
        least = (batches or 0) - 1
        return f"set every of success_rate to at most {least}" if least > 0 else "train for more steps"

    def observe(self, feedback: Feedback) -> None:
        """Moves the success rates of the batch's rows, and regroups all rows every few batches."""
        rows, success = feedback.per_row(feedback.success(self.source.outcome))
        old = self.success[rows]
        new = np.where(np.isnan(old), success, (old + success) / 2)
        self.success[rows] = np.where(np.isnan(success), old, new)
        self.visits[rows] += 1
        self.batches += 1
        if self.batches % self.source.every == 0:
            self.regroup()

    def parts(self) -> dict[str, Stateful]:
        return {}  # queues are made anew from the arms

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"queues": self.queues.state_dict()}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        super().load_state_dict(state, mapping)
        if mapping is not None:
            self.regroup()
            return
        if self.arm.max(initial=0) >= len(self.names):
            raise self.damaged("arm")
        self.queues = Queues(self.arm, len(self.names), self.rng)
        self.queues.load_state_dict(self._part(state, "queues"))
