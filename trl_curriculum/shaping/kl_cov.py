from dataclasses import dataclass
from typing import Any

import torch

from ..registry import option
from ..signals import Tokens
from .base import SHAPING, Shaper
from .token_statistics import covariance, refuse_one_rollout


@SHAPING.add("kl_cov", paper="arXiv 2505.22617")
@dataclass(frozen=True)
class KLCov(Shaper):
    """
    Holds back the tokens that cost the policy most of its entropy: they may not move far from where they were.

    With c the covariance of log-probability and advantage that a token adds, as in `clip_cov`, the loss gets

        beta sum |log p - log p_old| / N

    over the `max(1, int(ratio N))` of the N tokens with the largest c, where p_old is the model that generated.

    The paper has no PPO clip with it (`epsilon=1.0`, `epsilon_high=1.0`), makes 8 updates per generation and leaves
    out groups whose rewards are all equal (`rollouts: refill`). At p = p_old the penalty's gradient is its sign, which
    is that of rounding: below `dead_band` it is 0 here, and not in its code. In the first update of a generation
    nothing has moved but what is replayed, so it begins with the second; where there is only one, and nothing older
    beside it, it is refused.

    Example:

    ```python
    >>> import torch
    >>> from trl_curriculum.shaping import KLCov
    >>> from trl_curriculum.signals import Tokens
    >>> advantage, logp = torch.tensor([[2., 2., -2., -2.]]), torch.tensor([[-1., -3., -1., -3.]])
    >>> true, old = torch.ones(1, 4, dtype=torch.bool), logp - torch.tensor([[0.3, 5., 5., 0.1]])
    >>> batch = Tokens(true, true, logp, -logp, advantage, 0, 0.0, torch.Generator(), old_logp=old)
    >>> KLCov(ratio=0.5).loss(batch)  # c = 2, -2, -2, 2: (.3 + .1) / 4
    tensor(0.1000)

    ```
    """

    ratio: float = option(2e-3, "Share of the tokens that are held back.", "paper (7B; 32B: 2e-4)", least=0, most=1)
    coef: float = option(1.0, "Weight beta of the penalty.", "paper", least=0, most=1e6)
    dead_band: float = option(1e-3, "Nats by which a token may move for nothing.", "ours", least=0)

    needs_older = True

    def refuse(self, args: Any) -> None:
        refuse_one_rollout(self.name, args)

    def loss(self, tokens: Tokens) -> torch.Tensor:
        if tokens.old_logp is None:
            return tokens.logp.new_zeros(())
        n = int(tokens.mask.sum())
        chosen = covariance(tokens)[tokens.mask].topk(max(1, int(self.ratio * n))).indices
        moved = (tokens.logp - tokens.old_logp)[tokens.mask][chosen].abs()
        return self.coef * moved[moved > self.dead_band].sum() / n
