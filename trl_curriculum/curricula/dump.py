from ..pool import Pool
from .arms import ArmCurriculum
from .parts.estimators import SlidingWindow
from .parts.selectors import Boltzmann
from .parts.utilities import ucb


class DUMP(ArmCurriculum):
    r"""
    DUMP: an upper confidence bound on the learnability of each data distribution.

    $$ L(d) = \operatorname{mean} |A| \text{ over the last } k \text{ rollouts of } d, \quad
    \mathrm{UCB}(d) = L(d) + \sqrt{2 \ln(N + 1) / (n_d + 1)}, \quad
    P(d) = \operatorname{softmax}(\mathrm{UCB}(d) / \tau). $$

    n_d counts d's rollouts since the start, N is their sum. Rows of a distribution are drawn with replacement.

    Args:
        pool ([`Pool`]):
            Rows and their arms (data distributions).
        window (`int`, *optional*, defaults to `300`):
            Rollouts k that L(d) looks back (the paper's).
        tau (`float`, *optional*, defaults to `0.1`):
            Temperature (the paper's).
        success_bins (`int`, *optional*, defaults to `0`):
            Without labels: estimate the arms from running success rates, in this many buckets (ours).
        rebucket_every (`int`, *optional*, defaults to `5`):
            Batches between two regroupings of estimated arms.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Two quirks of the paper's code are left out: it averages the signed token advantages of a sample before taking
    the absolute value, and it feeds validation rewards in as advantages every 10 steps.

    Source: Wang et al. 2025, arXiv 2504.09710, and its code.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import DUMP
    >>> DUMP(Pool(4, arm=[0, 0, 1, 1], arm_names=["a", "b"])).probabilities().tolist()
    [0.5, 0.5]

    ```
    """

    name = "dump"
    signal = "mean |advantage| per arm over a sliding window, with a confidence bonus"
    paper = "arXiv 2504.09710"

    def __init__(
        self,
        pool: Pool,
        window: int = 300,
        tau: float = 0.1,
        success_bins: int = 0,
        rebucket_every: int = 5,
        seed: int = 0,
    ) -> None:
        self.window, self.tau = window, tau
        super().__init__(
            pool,
            estimator=SlidingWindow(window),
            utility=ucb,
            selector=Boltzmann(tau),
            replacement=True,
            success_bins=success_bins,
            rebucket_every=rebucket_every,
            seed=seed,
        )
