"""What we believe of an arm, from the signals that its rollouts showed."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...records import Stateful, arm_state
from ...signals import FloatArray, IntArray, group_mean


@dataclass(frozen=True)
class Belief:
    """Belief about each arm: `mean` of its signal and `count` of its rollouts so far, each of shape `(n_arms,)`."""

    mean: FloatArray
    count: IntArray


class Estimator(Stateful):
    """Turns signals per rollout into a belief per arm. A rollout whose signal is NaN counts, but teaches nothing."""

    mean: FloatArray = arm_state(0.0)
    count: IntArray = arm_state(0, np.int64, 0)

    @property
    def belief(self) -> Belief:
        return Belief(self.mean, self.count)

    def update(self, arm: IntArray, value: FloatArray) -> None:
        """Learns from the rollouts of one batch: their arms and signals, each of shape `(n,)`."""
        self.count += np.bincount(arm, minlength=len(self.count))
        self._learn(arm, value)

    @abstractmethod
    def _learn(self, arm: IntArray, value: FloatArray) -> None:
        """Moves `self.mean`."""


class TD(Estimator):
    """
    Exponential moving average per arm: Q ← (1 - α) Q + α r, r = mean signal of the arm in the batch, Q₀ = 0.

    Args:
        alpha (`float`):
            Step size in (0, 1].
        unsampled (`str`, *optional*, defaults to `"keep"`):
            What happens to an arm without rollouts in the batch: `"keep"` leaves Q, `"decay"` updates it with r = 0.
    """

    def __init__(self, alpha: float, unsampled: Literal["keep", "decay"] = "keep") -> None:
        self.alpha, self.unsampled = alpha, unsampled

    def _learn(self, arm: IntArray, value: FloatArray) -> None:
        reward = group_mean(value, arm, len(self.mean))
        if self.unsampled == "decay":
            reward[np.bincount(arm, minlength=len(reward)) == 0] = 0
        moved = np.isfinite(reward)
        self.mean[moved] += self.alpha * (reward[moved] - self.mean[moved])


class SlidingWindow(Estimator):
    """
    Mean of the last `window` signals of each arm; 0 for an arm without any.

    Args:
        window (`int`):
            Rollouts that are remembered per arm.
    """

    last: FloatArray = arm_state(0.0, np.float32, width="window")
    seen: IntArray = arm_state(0, np.int64, 0)

    def __init__(self, window: int) -> None:
        self.window = window

    def _learn(self, arm: IntArray, value: FloatArray) -> None:
        observed = np.isfinite(value)
        arm, value = arm[observed], value[observed]
        by_arm = np.argsort(arm, kind="stable")
        moved, first, count = np.unique(arm[by_arm], return_index=True, return_counts=True)
        place = np.repeat(self.seen[moved], count) + np.arange(len(arm)) - np.repeat(first, count)
        self.last[arm[by_arm], place % self.window] = value[by_arm]
        self.seen[moved] += count
        self.mean[moved] = self.last[moved].sum(axis=1) / np.minimum(self.seen[moved], self.window)
