import math
from dataclasses import dataclass
from typing import Any

from ..registry import option
from ..signals import BoolArray, Rollouts
from .base import ROLLOUTS, RolloutMethod
from .made import Made


@ROLLOUTS.add("refill", paper="arXiv 2503.14476")
@dataclass(frozen=True)
class Refill(RolloutMethod):
    """
    Draws rows anew in place of those whose rollouts all earned the same (DAPO's dynamic sampling).

    Where all rewards of a group are equal, its advantages and its gradient are 0. A group is kept where

        standard deviation of the group's rewards > 0   and   least <= their mean <= most

    and as many rows as are missing are drawn in its place, by a curriculum that has observed all earlier ones, and
    again at most `tries` times, or until `max_tokens` have been generated for the batch. What is missing then is
    filled up with other groups. All draws are in the run's history; `rollouts/tokens_per_kept` says what a group costs
    that can be learnt from.

    The mean gradient points where it did before and is longer, by one over the share of groups that are kept: with
    `loss_type` `grpo` and `dr_grpo` this is a larger learning rate, which `rescale` takes back: with s the share of
    the generated groups that were kept, m their number and n the batch's, advantages are multiplied by s n / m. Terms
    of KL and entropy lose the groups that were left out. Steps cost more, so compare runs at equal numbers of
    generated tokens (`num_tokens` in the log). With a curriculum that already prefers rows of middling success there
    is little left to do.

    With `carry` a try asks for as many groups as fill the batch in expectation, at most for a whole batch, and kept
    groups that are left over begin the next batch, instead of being thrown away. They were made by an older model, by
    as many steps as a generation is trained on. So they keep the log-probabilities that it gave them, PPO's ratio and
    its clip hold for them as they do for `num_iterations` above 1, and the ratio of fresh rollouts stays 1. This costs
    a forward over what is carried, where TRL makes none. The curriculum has observed them once, when they were drawn.

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
    max_tokens: int | None = option(
        None, "Tokens of completions in all processes after which a batch is not tried for again.", least=1
    )
    least: float | None = option(None, "Mean reward that a group must reach; by default any.")
    most: float | None = option(None, "Mean reward that a group must not exceed; by default any.")
    carry: bool = option(False, "Whether kept groups that are left over begin the next batch.")
    rescale: bool = option(False, "Whether advantages are scaled such that gradients are as long as without a refill.")

    def check(self) -> None:
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least={self.least} of refill must not be above most={self.most}: no group is both.")
        if self.carry and self.tries == 1:
            raise ValueError("carry=True of refill needs tries above 1: of a single try nothing is left over.")
        if self.carry and self.rescale:
            raise ValueError(
                "rescale=True of refill needs the share of groups that are kept, of which carry=True can leave one "
                "fresh group to tell: leave one of them out."
            )

    def refuse(self, args: Any) -> None:
        if args.multi_objective_aggregation == "normalize_then_sum":
            raise ValueError(
                "refill fills a batch in several tries, but multi_objective_aggregation='normalize_then_sum' scales "
                "the advantages of each try on its own: use 'sum_then_normalize'."
            )
        if self.max_tokens is not None and self.max_tokens <= args.generation_batch_size:
            raise ValueError(
                f"max_tokens={self.max_tokens} of refill are no more than the {args.generation_batch_size} "
                "completions of a batch, so that nothing would ever be drawn anew: count the tokens of them all."
            )
        if self.carry and args.sync_ref_model:
            raise ValueError(
                "carry=True of refill keeps log-probabilities of the reference model, which sync_ref_model=True "
                "changes meanwhile: leave one of them out."
            )

    def keep(self, rollouts: Rollouts) -> BoolArray:
        reward = rollouts.outcome(self.outcome)
        kept = rollouts.std(reward)[rollouts.starts] > 1e-8
        mean = rollouts.mean(reward)[rollouts.starts]
        if self.least is not None:
            kept &= mean >= self.least
        if self.most is not None:
            kept &= mean <= self.most
        return kept

    def again(self, made: Made) -> int:
        if made.tries >= self.tries or (self.max_tokens is not None and made.tokens >= self.max_tokens):
            return 0
        if not self.carry:
            return made.missing
        return min(made.needed, math.ceil(made.missing * made.groups / max(1, made.kept)))

    def carries(self) -> bool:
        return self.carry

    def weight(self, made: Made) -> float:
        if not self.rescale or made.kept == 0:
            return 1.0
        return made.kept * made.needed / (made.groups * min(made.kept, made.needed))
