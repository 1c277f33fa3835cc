from dataclasses import dataclass

import numpy as np

from ..registry import option
from ..signals import FloatArray
from .base import CURRICULA
from .levels import LevelMethod


@CURRICULA.add("rmt_tiers", paper="arXiv 2509.24375", signal="nothing: tiers from easy to hard, by linear pieces")
@dataclass(frozen=True)
class RMTTiers(LevelMethod):
    r"""
    RMT's tiers: probabilities go in straight lines from the easy tier to the medium and on to the hard one.

    With t the share of training done and K tiers k = 0, …, K - 1, the centre c runs through (0, 0), (`first`,
    (K - 1) / 2), (`second`, K - 1) and stays there, and

    $$ p_k = \max(0,\, 1 - |k - c(t)|). $$

    So of three tiers only the easy one is drawn at the start, only the medium one at `first`, only the hard one from
    `second` on, and two neighbours in between. A tier is used up before one of its rows comes again.

    The paper's method works on tokens of a text, of which those with a large entropy are hard; here tiers are of rows.
    Its budget of tokens is the shaper `budget`; its second loss, on all tokens, is left out. The knots are known from
    a summary of the paper, which does not say what lies at them: a tier alone is ours.

    Easy rows never come back: not for data whose easy part is forgotten.

    Source: Tian et al. 2025, arXiv 2509.24375.

    Example:

    ```python
    >>> from trl_curriculum.curricula import RMTTiers
    >>> [RMTTiers().schedule(t, 3).round(2).tolist() for t in (0.0, 0.15, 0.3, 0.7)]
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    ```
    """

    first: float = option(
        0.3, "Share of the training at which the medium tier is alone.", "the paper's", above=0, below=1
    )
    second: float = option(0.7, "Share from which the hard tier is alone.", "the paper's", above=0, most=1)
    levels: int | None = option(
        3,
        "Tiers K that the difficulties are cut into; null: the arms, in their order.",
        "the paper's",
        least=1,
        most=1000,
        kw_only=True,
    )

    def check(self) -> None:
        super().check()
        if self.first >= self.second:
            raise ValueError(f"first={self.first} of rmt_tiers must come before second={self.second}.")

    def schedule(self, progress: float, n_levels: int) -> FloatArray:
        centre = np.interp(progress, [0, self.first, self.second], np.array([0, 0.5, 1]) * (n_levels - 1))
        hats: FloatArray = np.maximum(0.0, 1 - np.abs(np.arange(n_levels) - centre))
        return hats
