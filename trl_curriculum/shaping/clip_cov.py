from dataclasses import dataclass
from typing import Any

import torch

from ..registry import option
from ..signals import Tokens
from .base import SHAPING, Shaper
from .token_statistics import covariance, refuse_one_rollout


@SHAPING.add("clip_cov", paper="arXiv 2505.22617")
@dataclass(frozen=True)
class ClipCov(Shaper):
    """
    Takes the gradient from a few random tokens among those that cost the policy most of its entropy.

    A policy-gradient step lowers the entropy in proportion to the covariance of log-probability and advantage, to
    which a token adds

        c = (A - mean A) (log p - mean log p)

    with means over the tokens of the device batch. Of the tokens with `low < c < high` that PPO has not clipped,
    `max(1, int(ratio N))` at random get A = 0, where N is the number of all tokens.

    The paper opens PPO's clip (`epsilon=1.0`, `epsilon_high=1.0`), makes 8 updates per generation and leaves out
    groups whose rewards are all equal (`rollouts: refill`). Denominators of the loss still count all tokens. Not for
    batches so small that one token in the interval is a large part of them.

    Example:

    ```python
    >>> import torch
    >>> from trl_curriculum.shaping import ClipCov
    >>> from trl_curriculum.signals import Tokens
    >>> advantage, logp = torch.tensor([[2., 2., -2., -2.]]), torch.tensor([[-1., -3., -1., -3.]])
    >>> true = torch.ones(1, 4, dtype=torch.bool)
    >>> batch = Tokens(true, true, logp, -logp, advantage, 0, 0.0, torch.Generator())
    >>> ClipCov(ratio=0.5).tokens(batch)  # c = 2, -2, -2, 2
    tensor([[ 0.,  2., -2.,  0.]])

    ```
    """

    ratio: float = option(2e-4, "Share of the tokens that lose their gradient.", "paper and code", least=0, most=1)
    low: float = option(1.0, "Covariance above which a token can lose it.", "code")
    high: float = option(5.0, "Covariance below which a token can lose it.", "code")

    def check(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low={self.low} of clip_cov must be below high={self.high}.")

    def refuse(self, args: Any) -> None:
        refuse_one_rollout(self.name, args)

    def tokens(self, tokens: Tokens) -> torch.Tensor:
        away = covariance(tokens)
        eligible = tokens.mask & (self.low < away) & (away < self.high)
        if tokens.clipped is not None:
            eligible &= ~tokens.clipped
        row, column = eligible.nonzero(as_tuple=True)
        n = max(1, int(self.ratio * int(tokens.mask.sum())))
        chosen = torch.randperm(len(row), generator=tokens.generator)[:n].to(row.device)
        advantage = tokens.advantage.clone()
        advantage[row[chosen], column[chosen]] = 0.0
        return advantage
