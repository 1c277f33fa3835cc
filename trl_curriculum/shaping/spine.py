from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ..registry import option
from ..rewards.answers import answer_hash
from ..signals import FloatArray, Rollouts, Tokens
from .base import SHAPING, Shaper
from .token_statistics import peaks


EMPTY = answer_hash("")


@SHAPING.add("spine", paper="arXiv 2511.17938")
@dataclass(frozen=True)
class Spine(Shaper):
    r"""
    Trains without right answers: on what most rollouts of a group say, at the tokens where the model is undecided and
    whose entropy it keeps in a band.

    The reward of a rollout becomes 1 if its answer is the one that is given most often in its group, and 0 otherwise.
    Tokens below the 1 - `share` quantile of their completion's entropies get A = 0. At the others, the forks, the loss
    gets

        coef mean( (low - H)+ + (H - high)+ )

    where H is a fork's entropy and `low` and `high` are quantiles of all forks' entropies in the device batch, without
    gradient.

    An answer is the last `\boxed{}`, else the last `<answer></answer>`, else the last line; of several that are given
    equally often one is chosen by its hash, and an empty one never wins. The paper's KL at forks alone is left out;
    its code was not seen, and `coef` and what the quantiles are of are ours. Rewards are replaced in training only:
    the curriculum and the log see those of the reward functions. Without right answers give one that returns 0, and
    take `curriculum: uniform`. Where the majority is mostly wrong it is learnt all the same. Not beside another
    control of the entropy.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.shaping import Spine
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward = np.zeros(4, int), np.array([0.0, 1.0, 0.0, 0.0])
    >>> measured = Spine().read(["So 7", "so 8", "so  7", ""])
    >>> rollouts = Rollouts(group, group, 0, reward=reward, advantage=reward, length=group, measured=measured)
    >>> reward + Spine().reward(rollouts)
    array([1., 0., 1., 0.])

    ```
    """

    steers_entropy = True
    undone_by: ClassVar[dict[str, str]] = dict.fromkeys(
        ("truncate", "keep", "share", "remember"), "goes by the rewards that {} replaces"
    )

    share: float = option(0.2, "Share of a completion's tokens that are forks.", "paper", above=0, most=1)
    low: float = option(0.1, "Quantile of the forks' entropies below which they are raised.", "paper", least=0, most=1)
    high: float = option(0.5, "Quantile above which they are lowered.", "paper", least=0, most=1)
    coef: float = option(0.01, "Weight of the band.", "ours", least=0, most=1e6)

    def check(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low={self.low} of spine must not be above high={self.high}.")

    def read(self, texts: list[str]) -> dict[str, FloatArray]:
        return {"answer": np.array([answer_hash(text) for text in texts], np.float64)}

    def reward(self, rollouts: Rollouts) -> FloatArray:
        answer, group = rollouts.measured["answer"], rollouts.group
        agrees = np.zeros(len(rollouts))
        for number in np.unique(group):
            given, count = np.unique(answer[(group == number) & (answer != EMPTY)], return_counts=True)
            if len(given):
                agrees[(group == number) & (answer == given[count.argmax()])] = 1.0
        return agrees - rollouts.reward

    def tokens(self, tokens: Tokens) -> torch.Tensor:
        return torch.where(peaks(tokens, 1 - self.share), tokens.advantage, 0.0)

    def loss(self, tokens: Tokens) -> torch.Tensor:
        entropy = tokens.entropy[peaks(tokens, 1 - self.share)]
        low, high = (entropy.detach().float().quantile(one) for one in (self.low, self.high))
        return self.coef * ((low - entropy).clamp(min=0) + (entropy - high).clamp(min=0)).mean()
