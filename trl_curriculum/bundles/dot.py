from dataclasses import dataclass
from typing import Any

from ..registry import option
from .base import BUNDLES, Bundle


@BUNDLES.add("dot", paper="arXiv 2601.03969", trainers=("GRPO",))
@dataclass(frozen=True)
class DOT(Bundle):
    """
    DOT: shorter answers, by cutting those that are far longer than others where all are right.

    The cut is `truncate`; beside it the paper holds the entropy by KL-Cov and draws anew in place of groups whose
    rewards are equal (`refill`), here after the cut. Its code foresees how many groups to draw from the last pass
    rates; `refill` tries until a batch is full.

    KL-Cov needs more than one update a generation, and the cut groups of more than `num_generations=10`: both are
    refused otherwise, as by their own names. For models that think at length; the paper's are Qwen2.5 and
    DeepSeek-R1-Distill of 1.5B to 7B, 128 prompts x 32 rollouts.

    Source: arXiv 2601.03969, and its code.

    Example:

    ```python
    >>> from trl_curriculum.bundles import DOT
    >>> DOT().expand()["rollouts"]
    [{'truncate': {'alpha': 3.0, 'least': 32, 'outcome': None}}, {'refill': {'outcome': None}}]

    ```
    """

    alpha: float = option(3.0, "Standard deviations above the mean from which on a rollout is cut.", "paper", above=0)
    least: int = option(32, "Tokens that a cut takes away at the least.", "paper", least=1)
    outcome: str | None = option(None, "Reward function that says what is right; by default the weighted sum.")

    def expand(self) -> dict[str, Any]:
        cut = {"alpha": self.alpha, "least": self.least, "outcome": self.outcome}
        return {
            "rollouts": [{"truncate": cut}, {"refill": {"outcome": self.outcome}}],
            "shaping": [{"kl_cov": {"ratio": 0.002, "coef": 1.0}}],
        }
