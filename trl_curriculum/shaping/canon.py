from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..registry import option
from ..signals import FloatArray, Rollouts, Tokens
from .base import SHAPING, Shaper
from .token_statistics import mean_of


@SHAPING.add("canon", paper="arXiv 2509.23962")
@dataclass(frozen=True)
class Canon(Shaper):
    """
    Compares a rollout with the half of its group that is more, or less, certain or long than its own.

    A group is ordered by the mean entropy of its rollouts, or by their length, and split in the middle. With r the
    reward, the advantage is

        A = mu (r - mean of the other half) + (1 - mu) (r - mean of the own half)

    The first part prefers the half that does better, whichever that is; the second compares like with like. With
    mu = .5 and halves of one size they are TRL's own advantages for `scale_rewards: none`; nothing is divided by a
    standard deviation here.

    Rollouts that are tied in the middle belong to both halves in equal parts; in its code their order decides. The
    paper also lets mu follow the batch's accuracy or a cosine, and has a directed form that favours one half; both are
    left out. Its code divides by the largest length, which TRL's `dr_grpo` does by itself. Not for groups of fewer
    than about 8.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.shaping import Canon
    >>> from trl_curriculum.signals import Rollouts
    >>> group, length, reward = np.zeros(4, int), np.array([10, 20, 30, 40]), np.array([1.0, 1, 1, 0])
    >>> rollouts = Rollouts(group, group, 0, reward=reward, advantage=reward, length=length)
    >>> for mu in (0.0, 0.5, 1.0):
    ...     print(Canon(by="length", mu=mu).advantage(rollouts))
    [ 0.   0.   0.5 -0.5]
    [ 0.25  0.25  0.25 -0.75]
    [ 0.5  0.5  0.  -1. ]

    ```
    """

    replaces = True

    by: Literal["entropy", "length"] = option("entropy", "What a group is ordered by.", "paper (both)")
    mu: float = option(
        1.0, "Share of the comparison with the other half.", "paper (1, 0 or schedules)", least=0, most=1
    )

    @property
    def measures(self) -> bool:
        return self.by == "entropy"

    def measure(self, tokens: Tokens) -> dict[str, torch.Tensor]:
        return {"entropy": mean_of(tokens.entropy, tokens.mask)}

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        value = rollouts.measured["entropy"] if self.by == "entropy" else rollouts.length.astype(float)
        advantage, group = np.zeros(len(rollouts)), rollouts.group
        known = np.isfinite(rollouts.reward) & np.isfinite(value)
        for number in np.unique(group[known]):
            members = np.flatnonzero((group == number) & known)
            if len(members) > 1:
                reward, upper = rollouts.reward[members], share_above(value[members])
                high, low = np.average(reward, weights=upper), np.average(reward, weights=1 - upper)
                own, other = upper * high + (1 - upper) * low, upper * low + (1 - upper) * high
                advantage[members] = reward - self.mu * other - (1 - self.mu) * own
        return advantage


def share_above(value: FloatArray) -> FloatArray:
    """To what part each of `n` values, in any order, is among the `n - n // 2` largest: 0, 1, or between for ties."""
    n_below = len(value) // 2
    middle = np.sort(value)[n_below]
    tied = value == middle
    below = (n_below - (value < middle).sum()) / tied.sum()
    return np.where(tied, 1 - below, (value > middle).astype(float))
