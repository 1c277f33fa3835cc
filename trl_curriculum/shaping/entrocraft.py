from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ..registry import option
from ..signals import FloatArray, Rollouts, Tokens
from .base import SHAPING, Shaper


@SHAPING.add("entrocraft", paper="arXiv 2604.26326")
@dataclass(frozen=True)
class Entrocraft(Shaper):
    """
    Holds the policy's entropy in a band: above it only rollouts that did well are trained on, below it only those
    that did badly.

    With H the mean entropy of all tokens of the generation batch, a rollout keeps its advantage A where

        m A >= 0,   m = 1[H > high] - 1[H < low]

    and gets 0 otherwise. Both bounds fall linearly over the training, from `low`, `high` to `last_low`, `last_high`.

    The paper's code is coarser: outside the band it trains on the rewards themselves, above it on positive ones alone,
    below it on negative ones alone, of which there are none where wrong answers earn 0. This is the rule of the text,
    which keeps the baseline of the group. Denominators of the loss count the rollouts that were set to 0, so outside
    the band steps become smaller. The bounds are those of Qwen3-4B: look at `entropy` in a run's log before setting
    others. Not beside another control of the entropy.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.shaping import Entrocraft
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward = np.zeros(4, int), np.array([1.0, 0, 0, 0])
    >>> for entropy in (1.0, 0.1, 0.65):
    ...     measured = {"entropy": np.full(4, 5 * entropy), "tokens": np.full(4, 5.0)}
    ...     advantage = np.array([1.5, -0.5, -0.5, -0.5])
    ...     seen = Rollouts(group, group, 0, reward=reward, advantage=advantage, length=group, measured=measured)
    ...     print(Entrocraft().advantage(seen))
    [1.5 0.  0.  0. ]
    [ 0.  -0.5 -0.5 -0.5]
    [ 1.5 -0.5 -0.5 -0.5]

    ```
    """

    steers_entropy = True
    undone_by: ClassVar[dict[str, str]] = {"remember": "puts stored rollouts in the place of those that {} leaves out"}

    low: float = option(0.6, "Lower bound of the entropy at the start, in nats per token.", "paper", least=0)
    high: float = option(0.7, "Upper bound at the start.", "paper", least=0)
    last_low: float = option(0.4, "Lower bound at the end.", "paper", least=0)
    last_high: float = option(0.5, "Upper bound at the end.", "paper", least=0)

    def check(self) -> None:
        for name, low, high in (("", self.low, self.high), ("last_", self.last_low, self.last_high)):
            if low > high:
                raise ValueError(f"{name}low={low} of entrocraft must not be above {name}high={high}.")

    def measure(self, tokens: Tokens) -> dict[str, torch.Tensor]:
        return {"entropy": (tokens.entropy * tokens.mask).sum(1), "tokens": tokens.mask.sum(1)}

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        entropy, tokens = rollouts.measured["entropy"].sum(), rollouts.measured["tokens"].sum()
        if tokens == 0:
            return rollouts.advantage
        done, mean = rollouts.progress, entropy / tokens
        low = (1 - done) * self.low + done * self.last_low
        high = (1 - done) * self.high + done * self.last_high
        sign = int(mean > high) - int(mean < low)
        return np.where(sign * rollouts.advantage >= 0, rollouts.advantage, 0.0)
