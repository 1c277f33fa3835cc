from dataclasses import dataclass
from typing import Any

import numpy as np

from ..registry import option
from ..signals import BoolArray, FloatArray, Rollouts
from .base import ROLLOUTS, RolloutMethod
from .memory import Memory, refuse_unreplayable


@ROLLOUTS.add("replay", paper="arXiv 2509.19803")
@dataclass(frozen=True)
class Replay(RolloutMethod):
    """
    Trains again on earlier rollouts, in the place of those that teach nothing: experience replay.

    Rollouts are stored whose group has rewards that differ enough. With k of G right that is VCRL's normalised
    variance,

        k (G - k) / (floor(G / 2) ceil(G / 2)) >= variance

    so that 1 stands for groups that are half right, and 0 for all in which two rewards differ. Rollouts of a batch
    whose advantage is 0 are replaced by stored ones, drawn at random, at most once a batch, and a batch stays as large
    as it is. A stored rollout keeps its advantage and the log-probabilities under the model that made it, so that
    the loss weighs it by how much likelier it has become, within PPO's clip; a fresh one counts as ever. One is
    thrown away after `max_age` optimizer steps.

    On-policy without vLLM this costs a forward over each batch, without gradient. Rollouts that are far from what the
    model would write now are clipped and teach little, and old advantages speak of an older model: not for
    large learning rates. VCRL ranks what it stores, and raises its bound in the training. Beside `refill` little is
    left to be replaced.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.rollouts import Replay
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward = np.repeat([0, 1, 2], 4), np.array([1.0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1])
    >>> rollouts = Rollouts(group, group, 0, reward=reward, advantage=reward, length=group)
    >>> Replay(variance=0.8).remember().worth(rollouts)[::4]  # .75, 1 and 0
    array([False,  True, False])

    ```
    """

    size: int = option(2048, "Rollouts that are stored at most, over all processes.", "ours; SPEAR: 2048", least=1)
    max_age: int = option(10, "Optimizer steps after which one is thrown away.", "ours; SPEAR: 10", least=1)
    variance: float = option(
        0.0, "Least variance of a group's rewards, 1 being the largest there is.", "ours", least=0, most=1
    )
    outcome: str | None = option(None, "Reward function whose variance decides; by default the weighted sum.")

    def refuse(self, args: Any) -> None:
        refuse_unreplayable("replay", self.max_age, args)

    def remember(self) -> Memory:
        return _Experience(self)


class _Experience(Memory):
    def __init__(self, method: Replay) -> None:
        super().__init__(method.size, method.max_age)
        self.method = method

    def worth(self, rollouts: Rollouts) -> BoolArray:
        if self.method.variance == 0:
            return rollouts.std(rollouts.outcome(self.method.outcome)) > 1e-8
        success = rollouts.success(self.method.outcome)
        n = np.bincount(rollouts.group, np.isfinite(success))[rollouts.group]
        largest = np.floor(n / 2) * np.ceil(n / 2) / np.maximum(n * (n - 1), 1)  # half right, half wrong
        share = rollouts.std(success) ** 2 / np.where(largest > 0, largest, 1)
        return share >= self.method.variance * (1 - 1e-12)

    def advantage(self, reward: FloatArray, advantage: FloatArray, step: int) -> FloatArray:
        return advantage
