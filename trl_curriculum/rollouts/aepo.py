from dataclasses import dataclass
from typing import Any

from ..registry import option
from .base import ROLLOUTS, Exploration, RolloutMethod, refuse_weighing_away


@ROLLOUTS.add("aepo", paper="arXiv 2510.08141")
@dataclass(frozen=True)
class AEPO(RolloutMethod):
    """
    Steers the policy's entropy to a target by a few right rollouts that are sampled hotter or colder than the others.

    With H the mean entropy of the tokens that a generation batch trains on, a share `groups` of its prompts is asked
    once more at the temperature

        T = high where H <= target,  low otherwise

    Of these rollouts those with an advantage A > `least` in their group, the right ones, are trained on with A = 1 (as
    in REINFORCE), in place of those whose |A| is smallest: at most a share `most` of the batch, and half as many where
    H is above the target. Trained on hot answers the policy spreads out, on cold ones it narrows.

    The paper's code puts them in place of whatever comes first in its batch, asks the first quarter of the prompts and
    takes H from the step before; here those make room that teach least, prompts are picked at random and H is that of
    this batch. The curriculum, the history, refilling and shapers of rollouts do not see the
    others, whose advantages `rescale` of `refill` scales all the same; TRL's log of rewards and lengths counts them,
    and `rollouts/explored_tokens` what they cost. Each generation costs a quarter more, and a forward for H.
    Log-probabilities stay at the trainer's `temperature`, at which H is measured as well: look at `entropy` in a run's
    log before setting a target. Not with vLLM's importance sampling, which would weigh the temperature away, nor
    beside TRL's own `entropy_coef`. The paper's cheaper form, DCPO, needs log-probabilities at T, which TRL's head
    does not give.

    Example:

    ```python
    >>> from trl_curriculum.rollouts import AEPO
    >>> [AEPO(target=0.5, most=0.02).explore(entropy) for entropy in (0.4, 0.6)]  # doctest: +NORMALIZE_WHITESPACE
    [Exploration(temperature=1.2, groups=0.25, most=0.02, least=0.05, taken=1.0),
     Exploration(temperature=0.8, groups=0.25, most=0.02, least=0.05, taken=0.5)]

    ```
    """

    target: float = option(0.5, "Entropy to be reached, in nats per token.", "its code (paper: 0.25 to 1)", above=0)
    high: float = option(1.2, "Temperature below the target.", "its code", least=0.01, most=10)
    low: float = option(0.8, "Temperature above it.", "its code", least=0.01, most=10)
    groups: float = option(0.25, "Share of the prompts that are asked once more.", "its code", above=0, most=1)
    most: float = option(
        60 / 2560, "Share of the batch that makes room at most.", "its code: 60 of 2,560", above=0, most=1
    )
    least: float = option(0.05, "Advantage above which a rollout is right.", "its code", least=0)

    def check(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low={self.low} of aepo must not be above high={self.high}.")

    def refuse(self, args: Any) -> None:
        refuse_weighing_away(args, "aepo")
        for name in ("entropy_coef", "use_adaptive_entropy"):
            if getattr(args, name):
                raise ValueError(
                    f"aepo and {name}={getattr(args, name)} would both control the entropy: leave one out."
                )

    def explore(self, entropy: float) -> Exploration:
        if entropy <= self.target:
            return Exploration(self.high, self.groups, self.most, self.least, 1.0)
        return Exploration(self.low, self.groups, self.most, self.least, 0.5)
