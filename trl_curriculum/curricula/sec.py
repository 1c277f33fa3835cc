from dataclasses import dataclass
from typing import Literal

from ..registry import option
from .arms import ArmMethod
from .base import CURRICULA
from .parts.estimators import TD, Estimator
from .parts.selectors import Boltzmann
from .parts.utilities import Utility, identity


@CURRICULA.add("sec", paper="arXiv 2505.14970", signal="mean |advantage| per arm")
@dataclass(frozen=True)
class SEC(ArmMethod):
    r"""
    Self-Evolving Curriculum: a non-stationary bandit over categories that follows the absolute advantage.

    Each slot of a batch draws an arm c and then the next row of c's shuffled queue. After the rollouts,

    $$ r_t(c) = \operatorname{mean}_{i \in c} |A_i|, \quad Q_{t+1}(c) = \alpha r_t(c) + (1 - \alpha) Q_t(c), \quad
    P_t(c) = \operatorname{softmax}(Q_t(c) / \tau), \quad Q_0 = 0. $$

    With binary rewards and G rollouts of which k are right, a group's mean |A| is 2 sqrt(k/G (1 - k/G) (G - 1)/G):
    largest where the model is right half of the time. As 0 <= Q < 1, τ sets the whole dynamic range: the odds
    between the best and the worst arm are at most exp(sqrt((G - 1)/G) / τ), at G = 8 2.5 for τ = 1, 107 for τ = .2.

    |A| measures disagreement, not learnability: an arm that pays at random looks best for ever, and so does an
    all-wrong group in which half of the answers earn a format bonus (name the reward that decides: `outcome`).

    Source: Chen et al. 2025, arXiv 2505.14970, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import SEC
    >>> sec = SEC(tau=0.2).bind(Pool(4, arm=[0, 0, 1, 1], arm_names=["solved", "half"]))
    >>> draw = sec.select(2)
    >>> sec.observe(Feedback(np.array([0, 2]), draw.id, 0, advantage=np.array([0.0, 0.9])))
    >>> sec.probabilities().round(2).tolist()
    [0.1, 0.9]

    ```
    """

    alpha: float = option(
        0.5,
        "Step size; take a smaller one for batches of fewer than the paper's 256 prompts.",
        "the paper's, in all published commands (its code's configuration: .1)",
        above=0,
        most=1,
    )
    tau: float = option(1.0, "Temperature.", "the paper's 1.0 for Countdown; .4 for MATH, .2 for SEC-2D", above=0)
    unsampled: Literal["keep", "decay"] = option(
        "keep",
        "What an arm that is absent from a batch does: keeps its Q, or counts as r = 0, which starves arms when "
        "batches are small.",
        "the co-author's PipelineRL (the paper's code: decay)",
    )

    def parts(self) -> tuple[Estimator, Utility, Boltzmann]:
        return TD(self.alpha, self.unsampled), identity, Boltzmann(self.tau)
