from typing import Literal

from ..pool import Pool
from .arms import ArmCurriculum
from .parts.estimators import TD
from .parts.selectors import Boltzmann
from .parts.utilities import expected_advantage, identity


class SEC(ArmCurriculum):
    r"""
    Self-Evolving Curriculum: a non-stationary bandit over categories that follows the absolute advantage.

    Each slot of a batch draws an arm c and then the next row of c's shuffled queue. After the rollouts,

    $$ r_t(c) = \operatorname{mean}_{i \in c} |A_i|, \quad Q_{t+1}(c) = \alpha r_t(c) + (1 - \alpha) Q_t(c), \quad
    P_t(c) = \operatorname{softmax}(Q_t(c) / \tau), \quad Q_0 = 0. $$

    With binary rewards and G rollouts of which k are right, a group's mean |A| is 2 sqrt(k/G (1 - k/G) (G - 1)/G):
    largest where the model is right half of the time. As 0 <= Q < 1, τ sets the whole dynamic range: the odds
    between the best and the worst arm are at most about exp(.87 / τ) at G = 8 (2.4 at τ = 1, 77 at τ = .2).

    |A| measures disagreement, not learnability: an arm that pays at random looks best for ever, and so does an
    all-wrong group in which half of the answers earn a format bonus.

    Args:
        pool ([`Pool`]):
            Rows and their arms.
        alpha (`float`, *optional*, defaults to `0.5`):
            Step size. The paper's in all published commands (its code's configuration says .1). With 256 prompts a
            batch; take a smaller one for small batches.
        tau (`float`, *optional*, defaults to `1.0`):
            Temperature. The paper's: 1.0 for Countdown (and its code's default), .4 for MATH, .2 for SEC-2D.
        unsampled (`str`, *optional*, defaults to `"keep"`):
            Arms that are absent from a batch `"keep"` their Q (the co-author's PipelineRL, and ours), or `"decay"`
            as in the paper's code, which counts them as r = 0; that starves arms when batches are small.
        prior (`str`, *optional*):
            `"uniform"` over arms (the paper's, and the default where arms are given), or `"prevalence"`:
            P(c) ∝ rows(c) exp(Q(c) / τ) (ours, and the default where they are estimated).
        learn_from (`str`, *optional*, defaults to `"advantage"`):
            `"advantage"`: |A| as the trainer normalises it (the paper's). `"unnormalized"`: |r - group mean|, which
            a small format bonus cannot inflate (ours). `"success"`: the success rate p is tracked and an arm is worth
            2 sqrt(p (1 - p)) (ours; PipelineRL's signal of that name is p itself, which prefers solved arms).
        success_bins (`int`, *optional*, defaults to `0`):
            Without labels: estimate the arms from running success rates, in this many buckets (PipelineRL: 5).
        rebucket_every (`int`, *optional*, defaults to `5`):
            Batches between two regroupings of estimated arms (PipelineRL's).
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Source: Chen et al. 2025, arXiv 2505.14970, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import SEC
    >>> sec = SEC(Pool(4, arm=[0, 0, 1, 1], arm_names=["solved", "half"]), tau=0.2)
    >>> draw = sec.select(2)
    >>> sec.observe(Feedback(np.array([0, 2]), draw.id, 0, advantage=np.array([0.0, 0.9])))
    >>> sec.probabilities().round(2).tolist()
    [0.1, 0.9]

    ```
    """

    name = "sec"
    signal = "mean |advantage| per arm"
    paper = "arXiv 2505.14970"

    def __init__(
        self,
        pool: Pool,
        alpha: float = 0.5,
        tau: float = 1.0,
        unsampled: Literal["keep", "decay"] = "keep",
        prior: Literal["uniform", "prevalence"] | None = None,
        learn_from: Literal["advantage", "unnormalized", "success"] = "advantage",
        success_bins: int = 0,
        rebucket_every: int = 5,
        seed: int = 0,
    ) -> None:
        self.alpha, self.tau, self.unsampled = alpha, tau, unsampled
        super().__init__(
            pool,
            estimator=TD(alpha, unsampled),
            utility=expected_advantage if learn_from == "success" else identity,
            selector=Boltzmann(tau),
            learn_from=learn_from,
            prior=prior,
            success_bins=success_bins,
            rebucket_every=rebucket_every,
            seed=seed,
        )
