from dataclasses import dataclass

from ..registry import option
from .arms import ArmMethod
from .base import CURRICULA
from .parts.estimators import Estimator, SlidingWindow
from .parts.selectors import Boltzmann
from .parts.utilities import Utility, ucb


@CURRICULA.add(
    "dump",
    paper="arXiv 2504.09710",
    signal="mean |advantage| per arm over a sliding window, with a confidence bonus",
)
@dataclass(frozen=True)
class DUMP(ArmMethod):
    r"""
    DUMP: an upper confidence bound on the learnability of each data distribution.

    $$ L(d) = \operatorname{mean} |A| \text{ over the last } k \text{ rollouts of } d, \quad
    \mathrm{UCB}(d) = L(d) + \sqrt{2 \ln(N + 1) / (n_d + 1)}, \quad
    P(d) = \operatorname{softmax}(\mathrm{UCB}(d) / \tau). $$

    n_d counts d's rollouts since the start, N is their sum. Rows of a distribution are drawn with replacement.

    Two quirks of the paper's code are left out: it averages the signed token advantages of a sample before taking
    the absolute value, and it feeds validation rewards in as advantages every 10 steps.

    Source: Wang et al. 2025, arXiv 2504.09710, and its code.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import DUMP
    >>> DUMP().bind(Pool(4, arm=[0, 0, 1, 1], arm_names=["a", "b"])).probabilities().tolist()
    [0.5, 0.5]

    ```
    """

    window: int = option(300, "Rollouts k that L(d) looks back.", "the paper's", least=1, most=10**6)
    tau: float = option(0.1, "Temperature.", "the paper's", above=0)

    replacement = True

    def parts(self) -> tuple[Estimator, Utility, Boltzmann]:
        return SlidingWindow(self.window), ucb, Boltzmann(self.tau)
