from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..pool import Pool
from ..registry import option
from ..signals import FloatArray, Rollouts, Tokens
from .base import SHAPING, Hooks, Shaper
from .token_statistics import mean_of


@SHAPING.add("pear", paper="arXiv 2510.08026")
@dataclass(frozen=True)
class Pear(Shaper):
    """
    Takes from the reward of right rollouts what they hesitated while they were thinking, above what they did when
    they answered.

    With H the mean entropy before the end of thinking and H' that after it, a right rollout's reward becomes r - P,

        P = max(0, H - alpha H')

    and a wrong one keeps its own. What is added is -P. Entropy and length go together, so that thinking gets shorter.

    A rollout that never ends its thinking, or says nothing after it, has no H': nothing is added to it, where H
    alone would be taken off. The end must be one token of the model's vocabulary; models that do not think in tags
    have none. The paper's reward is also cut at 1, above which right ones never come here. Its code was not seen.
    Groups whose answers are all right get different rewards. Right is a reward above one half.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.shaping import Pear
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward = np.zeros(4, int), np.array([1.0, 1, 0, 1])
    >>> measured = {"thinking": np.array([0.5, 0.2, 0.5, 0.5]), "answer": np.array([0.3, 0.3, 0.3, np.nan])}
    >>> rollouts = Rollouts(group, group, 0, reward=reward, advantage=reward, length=group, measured=measured)
    >>> reward + np.nan_to_num(Pear().reward(rollouts))
    array([0.8, 1. , 0. , 1. ])

    ```
    """

    alpha: float = option(
        1.0, "How much hesitation in the answer is forgiven in thinking.", "paper", least=0, most=1e6
    )
    end: str = option("</think>", "Token that ends thinking.", "paper")
    outcome: str | None = option(None, "Reward function that says what is right; by default the weighted sum.")

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return PhaseEntropies(self)

    def reward(self, rollouts: Rollouts) -> FloatArray:
        thinking, answer = rollouts.measured["thinking"], rollouts.measured["answer"]
        return np.where(rollouts.right(self.outcome), -np.maximum(0.0, thinking - self.alpha * answer), 0.0)


class PhaseEntropies(Hooks):
    end: int  # id of the token

    def __init__(self, method: Pear) -> None:
        self.method = method

    def meet(self, args: Any, tokenizer: Any) -> None:
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        end = tokenizer.convert_tokens_to_ids(self.method.end)
        if end is None or end == tokenizer.unk_token_id:
            raise ValueError(
                f"pear tells thinking from the answer by end={self.method.end!r}, which is no token of this model's "
                "tokenizer: name the one that ends its thinking, or leave pear out."
            )
        self.end = end

    def measure(self, tokens: Tokens) -> dict[str, torch.Tensor]:
        end = (tokens.ids == self.end) & tokens.mask
        answering = end.cumsum(1) > 0
        return {
            "thinking": mean_of(tokens.entropy, tokens.mask & ~answering),
            "answer": mean_of(tokens.entropy, tokens.mask & answering & ~end),
        }

    def reward(self, rollouts: Rollouts) -> FloatArray:
        return self.method.reward(rollouts)
