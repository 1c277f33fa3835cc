from dataclasses import dataclass

import numpy as np

from ..registry import option
from ..signals import IntArray
from .base import CURRICULA
from .beliefs import CandidateCurriculum, CandidateMethod


@CURRICULA.add("mopps", paper="arXiv 2507.04632", signal="success rate of a row, drawn from its posterior, near 1/2")
@dataclass(frozen=True)
class MoPPS(CandidateMethod):
    r"""
    MoPPS: of some candidates those whose success rate, drawn from a posterior for each, is nearest to one half.

    After a row was seen with K successes in n rollouts,

    $$ \alpha \leftarrow \lambda \alpha + (1 - \lambda) \alpha_0 + K, \quad
    \beta \leftarrow \lambda \beta + (1 - \lambda) \beta_0 + n - K, $$

    and of m candidates those B with the smallest distance of p̃ ~ Beta(α, β) to the `target` are drawn (Thompson
    sampling: a row of which little is known comes now and then). α0 = κ m and β0 = κ (1 - m) are those of the row's
    arm, and what was seen ages with the optimizer steps too (both ours); with `prior="flat"` and `keep=1` it is the
    paper's, where α0 = β0 = 1.

    In the paper's code the last part of both updates reads `… + s * n if n > 1 else 8`, which Python takes for
    `(… + s * n) if n > 1 else 8`: with one rollout a prompt, all α and β become 8. With more, as in its runs, it is
    right.

    Not for rewards that are random: a coin flip has the success rate that it looks for.

    Source: Qu et al. 2025, arXiv 2507.04632, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import MoPPS
    >>> mopps = MoPPS(prior="flat", keep=1.0).bind(Pool(3))
    >>> mopps.observe(Feedback(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 0, np.array([1.0, 1.0, 1.0, 0.0])))
    >>> [one.tolist() for one in mopps.belief.beta(np.arange(3))]
    [[3.0, 2.0, 1.0], [1.0, 2.0, 1.0]]

    ```
    """

    target: float = option(0.5, "Success rate that is looked for.", "the paper's", least=0, most=1)
    candidates: int = option(
        8, "Candidates for each row that is drawn.", "its code's for Countdown and Geometry; 16 for MATH", least=1
    )
    retain: float = option(  # type: ignore[misc]
        0.5,
        "λ: what is left of what a row has shown when it is seen again.",
        "its code's for Countdown and Geometry; 1 for MATH",
        least=0,
        most=1,
    )

    @property
    def per_draw(self) -> float:
        return self.candidates

    @property
    def uniform_by(self) -> str | None:
        return "candidates=1" if self.candidates == 1 else None


class MoPPSCurriculum(CandidateCurriculum, of=MoPPS):
    """[`MoPPS`] over a pool."""

    method: MoPPS

    def _choose(self, row: IntArray, n: int) -> IntArray:
        away = np.abs(self.rng.beta(*self.belief.beta(row)) - self.method.target)
        nearest: IntArray = row[np.argpartition(away, n - 1)[:n]]
        return nearest
