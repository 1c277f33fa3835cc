from dataclasses import dataclass
from typing import Any

import torch

from ..registry import option
from ..signals import Tokens
from .base import SHAPING, Shaper
from .token_statistics import covariance, refuse_one_rollout


@SHAPING.add("tea_rl", paper="arXiv 2508.03178")
@dataclass(frozen=True)
class TEARL(Shaper):
    """
    Pays for entropy at the tokens that are about to lose most of it.

    With c the covariance of log-probability and advantage that a token adds, as in `clip_cov`, and H its entropy, the
    loss gets

        -coef mean(w H),   w = min(scale softmax(c), largest)

    with the softmax over the tokens of a completion, and the mean over those of the device batch.

    This is Light-IF's TEA-RL, of which `entropy_sft` is the other part. Its code opens PPO's clip (`epsilon=1.0`,
    `epsilon_high=1.0`) and keeps a KL of weight .001 (`beta`). There w has a gradient of its own, by which the model
    could raise the weights of tokens in place of their entropy; here it has none. The weights of a completion of T
    tokens sum to `scale`, so that long completions are paid less per token. As it was published that code does not
    train on the term: the lines after it overwrite the loss. Not beside another control of the entropy.

    Example:

    ```python
    >>> import torch
    >>> from trl_curriculum.shaping import TEARL
    >>> from trl_curriculum.signals import Tokens
    >>> advantage, logp = torch.tensor([[1., 1.], [-1., -1.]]), torch.full((2, 2), -2.0)
    >>> true, entropy = torch.ones(2, 2, dtype=torch.bool), torch.tensor([[1., 3.], [2., 2.]])
    >>> batch = Tokens(true, true, logp, entropy, advantage, 0, 0.0, torch.Generator())
    >>> TEARL(scale=4.0).loss(batch)  # c = 0: w = 2 everywhere
    tensor(-4.)

    ```
    """

    steers_entropy = True

    scale: float = option(10.0, "Sum of a completion's weights.", "code", least=0, most=1e6)
    largest: float = option(5.0, "Largest weight of a token.", "code", above=0, most=1e6)
    coef: float = option(1.0, "Weight of the term.", "code", least=0, most=1e6)

    def refuse(self, args: Any) -> None:
        refuse_one_rollout(self.name, args)

    def loss(self, tokens: Tokens) -> torch.Tensor:
        share = covariance(tokens).masked_fill(~tokens.mask, -torch.inf).softmax(1).nan_to_num()
        weight = (self.scale * share).clamp(max=self.largest)
        return -self.coef * tokens.mean(weight * tokens.entropy)
