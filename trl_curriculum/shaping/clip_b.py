from dataclasses import dataclass

import torch

from ..registry import option
from ..signals import Tokens
from .base import SHAPING, Shaper


@SHAPING.add("clip_b", paper="arXiv 2602.03392")
@dataclass(frozen=True)
class ClipB(Shaper):
    """
    Takes the gradient from tokens that would be pushed down although they are rare already, which costs entropy.

    To first order a step on a token of probability p changes the entropy H of its distribution in proportion to -A S,
    up to a constant of the distribution, with

        S = p (H + log p)

    which is negative where p < exp(-H). A token keeps its advantage where

        A >= 0   or   S - mean S >= -mu std S

    with mean and standard deviation (of the population) over the tokens of the device batch, and gets 0 otherwise.

    The paper's mu is 2 to 3. Its other form, Clip_V, centres S by the mean under each token's own distribution, which
    needs all logits, and is left out. Denominators of the loss still count all tokens. Not for SFT, where no token is
    pushed down, nor for device batches of a few hundred tokens, in which hardly one is that far from the mean.

    Example:

    ```python
    >>> import torch
    >>> from trl_curriculum.shaping import ClipB
    >>> from trl_curriculum.signals import Tokens
    >>> p, H = torch.tensor([[0.9, 0.5, 0.01, 0.5]]), torch.full((1, 4), 0.6)
    >>> true = torch.ones(1, 4, dtype=torch.bool)
    >>> batch = Tokens(true, true, p.log(), H, -torch.ones(1, 4), 0, 0.0, torch.Generator())
    >>> ClipB(mu=0.5).tokens(batch)  # S = .445, -.047, -.040, -.047
    tensor([[-1.,  0.,  0.,  0.]])

    ```
    """

    mu: float = option(2.5, "Standard deviations below the mean from which tokens lose it.", "paper and code", least=0)

    def tokens(self, tokens: Tokens) -> torch.Tensor:
        signal = tokens.logp.exp() * (tokens.entropy + tokens.logp)
        away, std = signal - tokens.mean(signal), signal[tokens.mask].std(correction=0)
        return torch.where((tokens.advantage >= 0) | (away >= -self.mu * std), tokens.advantage, 0.0)
