import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..registry import option
from ..signals import IntArray, Rollouts
from .base import ROLLOUTS, RolloutMethod


@ROLLOUTS.add("truncate", paper="arXiv 2601.03969")
@dataclass(frozen=True)
class Truncate(RolloutMethod):
    """
    Cuts rollouts that are far longer than the others of a group in which all are right (DOT's dynamic outlier
    truncation).

    Where every reward of a group is at least `right`, with lengths l in tokens and their standard deviation (n - 1),

        T = floor(mean l + alpha std l),   and a rollout is cut to T tokens where l - T >= least

    What is left is scored again, and mostly fails, so that the group has a gradient that speaks against the length.
    The curriculum, the history and the log of rewards have what was there before the cut; refilling and shaping see
    what is left.

    No length of G rollouts is more than (G - 1) / sqrt(G) standard deviations from their mean: 2.5 for TRL's
    `num_generations` of 8, so that alpha = 3 needs 11 at the very least and is of use from 16 on. This is one of the
    paper's three parts; the others are KL-Cov and dynamic sampling (`refill`). Reward functions run a second time in
    steps in which something is cut, and what they log by `log_metric` and `log_extra` stays that of the first. Not
    where rewards are no success; name the one that is in `outcome`. In its code exactly 1 is right.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.rollouts import Truncate
    >>> from trl_curriculum.signals import Rollouts
    >>> group, length = np.zeros(32, int), np.r_[np.full(31, 100), 1000]
    >>> right = np.ones(32)
    >>> Truncate().truncate(Rollouts(group, group, 0, reward=right, advantage=0 * right, length=length))[-2:]
    array([100, 605])

    ```
    """

    alpha: float = option(
        3.0, "Standard deviations above the mean from which on a rollout is cut.", "paper", above=0, most=100
    )
    least: int = option(32, "Tokens that a cut takes away at the least.", "paper", least=1)
    right: float = option(1.0, "Reward from which on a rollout is right.")
    outcome: str | None = option(None, "Reward function whose values decide; by default the weighted sum.")

    def refuse(self, args: Any) -> None:
        n, least = args.num_generations, self.least
        most = (n - 1) / math.sqrt(n)
        if most <= self.alpha:
            raise ValueError(
                f"truncate never cuts with alpha={self.alpha:g} and num_generations={n}: no length of {n} is more "
                f"than {most:.2f} standard deviations above their mean; lower alpha, or set num_generations to "
                f"{_enough(self.alpha):,} or more."
            )
        if self._outlier(n) > (args.max_completion_length or math.inf):
            raise ValueError(
                f"truncate never cuts with alpha={self.alpha:g}, num_generations={n} and max_completion_length="
                f"{args.max_completion_length}: a rollout would have to be {self._outlier(n):,} tokens longer than "
                f"the others; lower alpha or least={least}, or take more generations."
            )
        if args.multi_objective_aggregation == "normalize_then_sum":
            raise ValueError(
                "truncate scores some groups again, but multi_objective_aggregation='normalize_then_sum' scales the "
                "advantages of the whole batch: use 'sum_then_normalize'."
            )
        if args.use_vllm and args.vllm_importance_sampling_correction and "sequence" in _mode(args):
            raise ValueError(
                f"truncate cuts completions, and vllm_importance_sampling_mode={_mode(args)!r} weighs them by all "
                "their tokens: set it to 'token_truncate' or 'token_mask'."
            )

    def doubt(self, args: Any) -> str | None:
        needed, most = self._outlier(args.num_generations), args.max_completion_length
        if most is None or needed <= most / 2:
            return None
        return (
            f"truncate will seldom cut with alpha={self.alpha:g} and num_generations={args.num_generations}: beside "
            f"others of one length a rollout must be {needed:,} tokens longer, of max_completion_length={most}; "
            "lower alpha, or take more generations."
        )

    def _outlier(self, n: int) -> int:
        """Tokens by which one of n rollouts is longer when it is cut, the others being all of one length."""
        return math.floor((self.least - 1) / (1 - 1 / n - self.alpha / math.sqrt(n))) + 1  # as T is rounded down

    def truncate(self, rollouts: Rollouts) -> IntArray:
        length, right = rollouts.length, rollouts.outcome(self.outcome) >= self.right
        longest = np.floor(rollouts.mean(length.astype(float)) + self.alpha * rollouts.std(length.astype(float)))
        cut = (rollouts.mean(right.astype(float)) == 1) & (length - longest >= self.least)
        return np.where(cut, longest, length).astype(np.int64)


def _enough(alpha: float) -> int:
    """Rollouts of a group from which on one can be more than alpha standard deviations above their mean."""
    n = max(2, math.floor(((alpha + math.sqrt(alpha**2 + 4)) / 2) ** 2))  # root of n - alpha sqrt(n) - 1
    return n if (n - 1) / math.sqrt(n) > alpha else n + 1


def _mode(args: Any) -> str:
    return str(args.vllm_importance_sampling_mode)
