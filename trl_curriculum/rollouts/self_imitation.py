from dataclasses import dataclass
from typing import Any

import numpy as np

from ..records import PoolMapping, check_array
from ..registry import option
from ..signals import BoolArray, FloatArray, Rollouts
from .base import ROLLOUTS, RolloutMethod
from .memory import Memory, refuse_unreplayable


@ROLLOUTS.add("self_imitation", paper="arXiv 2509.22601")
@dataclass(frozen=True)
class SelfImitation(RolloutMethod):
    """
    Trains again on rollouts that did well, as long as they are better than what the model does now (SPEAR).

    Rollouts with a positive advantage are stored. Later they take the place of rollouts whose advantage is 0, with

        A = c(t) max(0, R - median of the last `means` group means),   c(t) = (1 - cos(pi min(t, steps) / steps)) / 2

    where R is what the rollout earned and t the optimizer step: the better the model does on the whole, the fewer are
    still worth imitating, and at first none is. They keep the log-probabilities under the model that made them,
    so that PPO's ratio and clip hold; one is thrown away after `max_age` optimizer steps.

    SPEAR adds the loss of stored rollouts to that of the batch once they fill one and a half; here a batch stays as
    large as it is, they are drawn at random, at most once a batch, and there are as many as its rollouts without an
    advantage leave room for. Of its other parts, Clip-Cov is the shaper `clip_cov`, and its reward of tool calls is
    left out. On-policy without vLLM this costs a forward over each batch, without gradient. The median is that
    of all rows: with rows of very different difficulty it is no baseline for a single one.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.rollouts import SelfImitation
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward = np.repeat([0, 1, 2], 2), np.array([1.0, 0, 0, 0, 1, 1])
    >>> memory = SelfImitation(steps=200).remember()
    >>> memory.observe(Rollouts(group, group, 0, reward=reward, advantage=reward, length=group))  # median .5
    >>> memory.advantage(reward=np.array([1.0, 0.2]), advantage=np.ones(2), step=100)
    array([0.25, 0.  ])

    ```
    """

    size: int = option(2048, "Rollouts that are stored at most, over all processes.", "its code", least=1)
    max_age: int = option(10, "Optimizer steps after which one is thrown away.", "its code: 5 to 10", least=1)
    steps: int = option(200, "Optimizer steps until stored rollouts count in full.", "its code", least=1)
    means: int = option(10240, "Group means of which the median is taken.", "its code", least=1, most=10**7)

    def refuse(self, args: Any) -> None:
        refuse_unreplayable("self_imitation", self.max_age, args)

    def remember(self) -> Memory:
        return _Successes(self)


class _Successes(Memory):
    def __init__(self, method: SelfImitation) -> None:
        super().__init__(method.size, method.max_age)
        self.method = method
        self.means = np.zeros(0)

    def worth(self, rollouts: Rollouts) -> BoolArray:
        return rollouts.advantage > 0

    def advantage(self, reward: FloatArray, advantage: FloatArray, step: int) -> FloatArray:
        if not len(self.means):
            return np.zeros_like(reward)
        done = min(step, self.method.steps) / self.method.steps
        return 0.5 * (1 - np.cos(np.pi * done)) * np.maximum(0.0, reward - np.median(self.means))

    def observe(self, rollouts: Rollouts) -> None:
        _, first = np.unique(rollouts.draw, return_index=True)
        mean = rollouts.mean(rollouts.reward)[first]
        self.means = np.r_[self.means, mean[np.isfinite(mean)]][-self.method.means :]

    def state_dict(self) -> dict[str, Any]:
        return {"means": self.means.copy()}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        check_array("means", state.get("means"), np.float64)
        self.means = state["means"].copy()
