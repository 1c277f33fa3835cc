"""Arms without labels: rows grouped by their own running success rate, regrouped as the model changes."""

from itertools import pairwise
from typing import Any

import numpy as np

from ...signals import Feedback
from ..base import Carried
from .queues import Queues


class SuccessBuckets:
    """
    Buckets of equal width over the running success rate, and one arm for rows that were never tried.

    After PipelineRL's estimated categories (5 bins, regrouped every 5 batches). A row's rate is the mean of its last
    group and its rate before (equal weights: ours). A row that was tried and never scored joins the lowest bucket,
    so that unscorable rows cannot fill the untried arm for ever (ours). Within a bucket the rows that were drawn
    least often come first.

    Args:
        size (`int`):
            Rows in the pool.
        bins (`int`):
            Buckets over [0, 1].
        every (`int`):
            Batches between two regroupings.
        rng (`np.random.Generator`):
            The curriculum's generator.
    """

    def __init__(self, size: int, bins: int, every: int, rng: np.random.Generator) -> None:
        self.bins, self.every, self.rng = bins, every, rng
        edges = np.linspace(0, 1, bins + 1)
        self.names = ("untried", *(f"{a:.2g}-{b:.2g}" for a, b in pairwise(edges)))
        self.success = np.full(size, np.nan, np.float32)
        self.visits = np.zeros(size, np.int32)
        self.batches = 0
        self.regroup()

    def regroup(self) -> None:
        """Puts every row into the bucket that its success rate has reached."""
        rate = np.where(np.isnan(self.success), 0, self.success)
        bucket = 1 + np.minimum((rate * self.bins).astype(np.int32), self.bins - 1)
        self.arm = np.where(self.visits > 0, bucket, 0).astype(np.int32)
        by_visits = np.lexsort((self.rng.random(len(self.arm)), self.visits, self.arm))
        self.queues = Queues(self.arm, len(self.names), self.rng, order=by_visits)

    def observe(self, feedback: Feedback) -> None:
        """Moves the success rates of the batch's rows, and regroups all rows every `every` batches."""
        rows, success = feedback.per_row(feedback.signal("success"))
        old = self.success[rows]
        new = np.where(np.isnan(old), success, (old + success) / 2)
        self.success[rows] = np.where(np.isnan(success), old, new)
        self.visits[rows] += 1
        self.batches += 1
        if self.batches % self.every == 0:
            self.regroup()

    def state_dict(self) -> dict[str, Any]:
        return {
            "success": self.success.copy(),
            "visits": self.visits.copy(),
            "arm": self.arm.copy(),
            "batches": self.batches,
            "queues": self.queues.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], carried: Carried | None = None) -> None:
        self.batches = state["batches"]
        if carried is not None:
            self.success = carried.rows(state["success"], np.nan)
            self.visits = carried.rows(state["visits"], 0)
            self.regroup()
            return
        self.success, self.visits, self.arm = state["success"].copy(), state["visits"].copy(), state["arm"].copy()
        self.queues = Queues(self.arm, len(self.names), self.rng)
        self.queues.load_state_dict(state["queues"])
