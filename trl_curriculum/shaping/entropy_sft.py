from dataclasses import dataclass

import torch

from ..registry import option
from ..signals import Tokens
from .base import SHAPING, Shaper


@SHAPING.add("entropy_sft", paper="arXiv 2508.03178", trainers=("SFT",))
@dataclass(frozen=True)
class EntropySFT(Shaper):
    """
    Trains on the tokens that surprise the model more than it expects to be surprised.

    A token with cross-entropy CE, where the model's own entropy is H, scores

        d = CE - c H

    and of each device batch the `max(1, int(share N))` of the N tokens with the highest score are trained on. They
    weigh N / kept, so that the loss is the mean over those that are kept (its code divides by `int(share N)`, which
    may be 0). The logged loss and what the curriculum sees are those of all tokens, unweighted.

    The method's paper uses it on answers that were filtered for quality: on noisy data the most surprising tokens are
    the wrong ones. Small device batches make a coarse threshold.

    Example:

    ```python
    >>> import torch
    >>> from trl_curriculum.shaping import EntropySFT
    >>> from trl_curriculum.signals import Tokens
    >>> logp, entropy = -torch.tensor([[1., 2., 3., 4.]]), torch.tensor([[0., 0., 3., 1.]])
    >>> true, one = torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 4)
    >>> batch = Tokens(true, true, logp, entropy, one, 0, 0.0, torch.Generator())
    >>> EntropySFT(share=0.5).tokens(batch)  # d = 1, 2, 0, 3
    tensor([[0., 2., 0., 2.]])

    ```
    """

    share: float = option(0.2, "Share of the tokens that is trained on.", "code", above=0, most=1)
    c: float = option(1.0, "How much of its own entropy the model is forgiven.", "code", least=0)

    def tokens(self, tokens: Tokens) -> torch.Tensor:
        score = (-tokens.logp - self.c * tokens.entropy).masked_fill(~tokens.mask, -torch.inf)
        n = int(tokens.mask.sum())
        kept = max(1, int(self.share * n))
        weight = torch.zeros_like(tokens.advantage).flatten()
        weight[score.flatten().topk(kept).indices] = n / kept
        return tokens.advantage * weight.view_as(score)
