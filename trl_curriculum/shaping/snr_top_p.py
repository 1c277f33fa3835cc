from dataclasses import dataclass

import numpy as np

from ..registry import option
from ..signals import FloatArray, Rollouts
from .base import SHAPING, Shaper


@SHAPING.add("snr_top_p", paper="arXiv 2604.06268")
@dataclass(frozen=True)
class SNRTopP(Shaper):
    """
    Trains on the smallest set of groups that holds a share of the batch's variance of rewards (RAGEN-2).

    With v the variance of each group's rewards (n - 1), in descending order, the first k groups keep their advantages,
    and all others get 0, where k is the smallest number with

        v_1 + ... + v_k >= share (v_1 + ... + v_n)

    Of groups with equal variances the earlier draws come first. Where no rewards of a group differ nothing is changed.
    A group of little variance says little about what is better, and its noise, which `scale_rewards: group` blows up
    to the same size, is as large as that of others. With rewards of 0 and 1 in small groups there are few
    different variances, so that hardly more is left out than groups without any.

    The paper's code takes the other groups out of the batch. Here they stay in it: they cost a forward and a backward,
    and the denominators of the loss count their tokens, so that steps are smaller. For fresh groups in the place of
    those without any variance see `rollouts: refill`.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.shaping import SNRTopP
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward = np.repeat([0, 1, 2, 3], 2), np.array([1.0, 0, 0, 0, 0.4, 0.8, 0, 0.2])
    >>> rollouts = Rollouts(group, group, 0, reward=reward, advantage=np.tile([1.0, -1.0], 4), length=group)
    >>> SNRTopP(share=0.9).advantage(rollouts)  # variances .5, 0, .08 and .02: the first and the third hold .967
    array([ 1., -1.,  0., -0.,  1., -1.,  0., -0.])

    ```
    """

    share: float = option(0.9, "Share of the batch's variance of rewards that is kept.", "its code", above=0, most=1)
    outcome: str | None = option(None, "Reward function whose variance counts; by default the weighted sum.")

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        _, first = np.unique(rollouts.draw, return_index=True)  # in the order of `rollouts.group`
        variance = rollouts.std(rollouts.outcome(self.outcome))[first] ** 2
        by_variance = np.argsort(-variance, kind="stable")
        held = np.cumsum(variance[by_variance])
        if held[-1] <= 1e-16:
            return rollouts.advantage
        n_kept = 1 + np.searchsorted(held, self.share * held[-1] * (1 - 1e-12))
        kept = np.zeros(len(first))
        kept[by_variance[:n_kept]] = 1
        return rollouts.advantage * kept[rollouts.group]
