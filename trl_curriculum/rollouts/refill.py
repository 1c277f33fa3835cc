from dataclasses import dataclass
from typing import Any

from ..registry import option
from ..signals import BoolArray, Rollouts
from .base import ROLLOUTS, RolloutMethod


@ROLLOUTS.add("refill", paper="arXiv 2503.14476")
@dataclass(frozen=True)
class Refill(RolloutMethod):
    """
    Draws rows anew in place of those whose rollouts all earned the same (DAPO's dynamic sampling).

    Where all rewards of a group are equal, its advantages and its gradient are 0. A group is kept where

        standard deviation of the group's rewards > 0

    and as many rows as are missing are drawn in its place, by a curriculum that has observed all earlier ones, and
    again at most `tries` times. What is missing then is filled up with groups of equal rewards. All draws are in the
    run's history, and `rollouts/generated_per_kept` says what a batch costs.

    The mean gradient points where it did before and is longer, by one over the share of groups that are kept: with
    `loss_type` `grpo` and `dr_grpo` this is a larger learning rate. Terms of KL and entropy lose the groups that were
    left out. Steps cost more, so compare runs at equal numbers of generated tokens (`num_tokens` in the log). With a
    curriculum that already prefers rows of middling success there is little left to do.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.rollouts import Refill
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward = np.repeat([0, 1, 2], 2), np.array([1., 0, 1, 1, 0, np.nan])
    >>> Refill().keep(Rollouts(group, group, step=0, reward=reward, advantage=np.zeros(6), length=group))
    array([ True, False, False])

    ```
    """

    tries: int = option(
        4, "Generations at most to fill a batch, the first included.", "ours; DAPO's code: 10", least=1
    )
    outcome: str | None = option(None, "Reward function whose values decide; by default the weighted sum.")

    def refuse(self, args: Any) -> None:
        if args.multi_objective_aggregation == "normalize_then_sum":
            raise ValueError(
                "refill fills a batch in several tries, but multi_objective_aggregation='normalize_then_sum' scales "
                "the advantages of each try on its own: use 'sum_then_normalize'."
            )

    def keep(self, rollouts: Rollouts) -> BoolArray:
        return rollouts.std(rollouts.outcome(self.outcome))[rollouts.starts] > 1e-8
