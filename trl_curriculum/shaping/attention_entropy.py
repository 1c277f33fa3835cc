from dataclasses import dataclass

import torch

from ..pool import Pool
from ..registry import option
from ..signals import Tokens
from .base import SHAPING, Hooks, Shaper


@SHAPING.add("attention_entropy", paper="arXiv 2605.07660", cost="eager attention")
@dataclass(frozen=True)
class AttentionEntropy(Shaper):
    """
    Lets tokens that rest on few places of their context count more at first, and those that rest on many later.

    With a the attention of one layer, averaged over its heads, at the position that a token is predicted from, and n
    the tokens that this position sees, the token has the attention entropy

        h = -sum a log a / log n

    which is 1 where all places count the same, and 0 where one alone does (and where n = 1). Its advantage is
    multiplied by

        w = exp(k h) / mean exp(k h),   k = start + (end - start) progress

    with the mean over the tokens of the completion, so that a completion weighs what it did.

    The paper calls low ones anchors, whose gradients are steady, and high ones explorers, whose gradients are large
    and collapse where they are trained on alone; it reweighs softly from low to high during training, by h of a layer
    in the middle. Its formula of the weights could not be found, nor its code: w and all defaults are ours, and so is
    which position stands for a token. h is that of the model as it is trained, not as it generated.

    It comes from the forward that trains and costs no other, but needs `attn_implementation: eager`, which holds all
    heads' weights of all layers for the backward: heads × tokens² numbers a layer and sequence. So it is not for long
    completions. `gradient_checkpointing` (TRL's default) keeps one layer's at a time. Layers with a sliding window see
    fewer than n tokens, so that their h stays below 1.

    Example:

    ```python
    >>> import math, torch
    >>> from trl_curriculum.shaping import AttentionEntropy
    >>> from trl_curriculum.signals import Tokens
    >>> true, h = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[0., 0.5, 1.]])
    >>> batch = Tokens(true, true, -h, h, torch.ones(1, 3), 0, 0.0, torch.Generator(), attention=h)
    >>> AttentionEntropy(start=-2 * math.log(2)).tokens(batch)  # 1, 1/2, 1/4 over their mean, 7/12
    tensor([[1.7143, 0.8571, 0.4286]])

    ```
    """

    start: float = option(-4.0, "Slope k of log w at the start; below 0 anchors count more.", least=-50, most=50)
    end: float = option(4.0, "The same at the end; above 0 explorers count more.", least=-50, most=50)
    depth: float = option(
        0.5, "Where the layer lies, from 0 (first) to 1 (last).", "ours (paper: in the middle)", least=0, most=1
    )

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return WeighedByAttention(self)

    def tokens(self, tokens: Tokens) -> torch.Tensor:
        assert tokens.attention is not None
        slope = self.start + (self.end - self.start) * tokens.progress
        weight = torch.where(tokens.mask, (slope * tokens.attention).exp(), 0.0)
        mean = weight.sum(1, keepdim=True) / tokens.mask.sum(1, keepdim=True)
        return tokens.advantage * torch.where(tokens.mask, weight / mean, 1.0)


class WeighedByAttention(Hooks):
    def __init__(self, method: AttentionEntropy) -> None:
        self.method = method
        self._seen: list[torch.Tensor] = []  # mean and standard deviation of each device batch since the last log

    @property
    def attends(self) -> float:
        return self.method.depth

    def tokens(self, tokens: Tokens) -> torch.Tensor:
        assert tokens.attention is not None
        entropy = tokens.attention[tokens.mask]
        self._seen.append(torch.stack([entropy.mean(), entropy.std(correction=0)]))
        return self.method.tokens(tokens)

    def metrics(self) -> dict[str, float]:
        if not self._seen:
            return {}
        mean, spread = torch.stack(self._seen).mean(0).tolist()
        self._seen = []
        return {"entropy": mean, "spread": spread}
