import math
from dataclasses import dataclass

import numpy as np
import torch

from ..pool import Pool
from ..records import Stateful, value_state
from ..registry import option
from ..signals import Rollouts, Tokens
from .base import SHAPING, Hooks, Shaper
from .token_statistics import mean_of, peaks


@SHAPING.add("siren", paper="arXiv 2509.25133")
@dataclass(frozen=True)
class Siren(Shaper):
    """
    Keeps the entropy at the tokens where the policy is undecided near what it was at the start: the plain-entropy
    variant.

    Of each completion the tokens count whose entropy is at or above a quantile of its own. With H the mean over
    completions of the mean entropy of those, the loss gets

        coef (H - H_0)^2

    where H_0 is H of the first generation batch, of all processes, before any training.

    The paper's entropy is that of the nucleus, the most likely tokens of a total probability of .8, which needs all
    logits; this is the entropy over the whole vocabulary, which TRL computes. In its code the nucleus leaves out the
    token by which it reaches .8, and a token exactly at the quantile does not count, so that a completion of one token
    counts as 0. The square pulls from both sides: it holds the entropy down as well as up. To know H_0 the first
    generation costs a forward more, where TRL makes none before it trains. Not beside another control of the entropy.

    Example:

    ```python
    >>> import torch
    >>> from trl_curriculum.shaping import Siren
    >>> from trl_curriculum.signals import Tokens
    >>> entropy = torch.tensor([[0., 1., 2., 3., 4.], [5., 1., 1., 1., 1.]])
    >>> true = torch.ones(2, 5, dtype=torch.bool)
    >>> batch = Tokens(true, true, -entropy, entropy, entropy, 0, 0.0, torch.Generator())
    >>> Siren(quantile=0.75).measure(batch)["peak_entropy"]  # (3 + 4) / 2, and the mean of all that reach 1
    tensor([3.5000, 1.8000])

    ```
    """

    steers_entropy = True

    coef: float = option(0.005, "Weight of the term.", "code", least=0, most=1e6)
    quantile: float = option(
        0.8, "Quantile of a completion's entropies from which its tokens count.", "code", least=0, most=1
    )

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return SirenAnchor(self)

    def measure(self, tokens: Tokens) -> dict[str, torch.Tensor]:
        return {"peak_entropy": mean_of(tokens.entropy, peaks(tokens, self.quantile))}


class SirenAnchor(Stateful, Hooks):
    anchor: float = value_state(math.nan, least=0)  # H_0

    def __init__(self, method: Siren) -> None:
        self.method = method
        self.start(0, 0)

    @property
    def measures(self) -> bool:
        return math.isnan(self.anchor)

    def measure(self, tokens: Tokens) -> dict[str, torch.Tensor]:
        return self.method.measure(tokens)

    def observe(self, rollouts: Rollouts) -> None:
        entropy = rollouts.measured.get("peak_entropy", np.zeros(0))
        if np.isfinite(entropy).any():
            self.anchor = float(np.nanmean(entropy))

    def metrics(self) -> dict[str, float]:
        return {"anchor": self.anchor}

    def loss(self, tokens: Tokens) -> torch.Tensor:
        entropy = self.method.measure(tokens)["peak_entropy"]
        away = entropy[tokens.mask.any(1)].mean() - self.anchor
        return 0.0 * tokens.mean(tokens.entropy) if math.isnan(self.anchor) else self.method.coef * away**2
