"""What we believe of an arm, from the signals that its rollouts showed."""

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...signals import FloatArray, IntArray, group_mean
from ..base import Carried


@dataclass(frozen=True)
class Belief:
    """Belief about each arm: `mean` of its signal and `count` of its rollouts so far, each of shape `(n_arms,)`."""

    mean: FloatArray
    count: IntArray


class Estimator(ABC):
    """Turns signals per rollout into a belief per arm. A rollout whose signal is NaN counts, but teaches nothing."""

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in inspect.signature(type(self)).parameters)
        return f"{type(self).__name__}({options})"

    def start(self, n_arms: int) -> None:
        """Forgets everything."""
        self.mean = np.zeros(n_arms)
        self.count = np.zeros(n_arms, np.int64)

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

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean.copy(), "count": self.count.copy()}

    def load_state_dict(self, state: dict[str, Any], carried: Carried | None = None) -> None:
        for name, old in state.items():
            setattr(self, name, carried.arms(old, 0) if carried is not None else old.copy())


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
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha={alpha} is not a step size in (0, 1].")
        self.alpha = alpha
        self.unsampled = unsampled

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

    def __init__(self, window: int) -> None:
        if window < 1:
            raise ValueError(f"window={window} must remember at least one rollout.")
        self.window = window

    def start(self, n_arms: int) -> None:
        super().start(n_arms)
        self.last = np.zeros((n_arms, self.window), np.float32)
        self.seen = np.zeros(n_arms, np.int64)

    def _learn(self, arm: IntArray, value: FloatArray) -> None:
        observed = np.isfinite(value)
        arm, value = arm[observed], value[observed]
        by_arm = np.argsort(arm, kind="stable")
        moved, first, count = np.unique(arm[by_arm], return_index=True, return_counts=True)
        place = np.repeat(self.seen[moved], count) + np.arange(len(arm)) - np.repeat(first, count)
        self.last[arm[by_arm], place % self.window] = value[by_arm]
        self.seen[moved] += count
        self.mean[moved] = self.last[moved].sum(axis=1) / np.minimum(self.seen[moved], self.window)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"last": self.last.copy(), "seen": self.seen.copy()}
