from dataclasses import dataclass

import numpy as np

from ..pool import Pool
from ..records import PoolMapping, value_state
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .beliefs import BeliefCurriculum, BeliefMethod
from .outlook import Outlook
from .parts.sum_tree import SumTree
from .successes import BY_SUCCESS, Shown


RENEWED = 1024  # rows whose weights are worked out anew after each batch


@CURRICULA.add("cures", paper="arXiv 2510.01037", signal="standard deviation of a row's reward, sqrt(p(1 - p))")
@dataclass(frozen=True)
class CurES(BeliefMethod):
    r"""
    CurES: rows are drawn by a softmax over the standard deviation of their reward.

    $$ P(i) \propto \exp(\sqrt{\mathbb{E}\, p_i (1 - p_i)} / \tau), $$

    without a row twice in a batch. The paper has the posterior mean p̂ of Beta(1 + s, 1 + n - s) in place of p; the
    expectation differs from it by the factor (n + 2)/(n + 3) where a row was seen, and where none was it is not the
    variance of the mean of all, by which a pool of solved and hopeless rows looks best (ours). The score lies between
    0 and 1/2: at τ = .1 the odds of the best to the worst row are at most 148, at .05 22,026, at .2 12.

    The paper derives τ from a bound on the policy's divergence that is not known in a run. Its code draws almost
    uniformly: it divides the score by 100 (a + 1), a the right answers that the row has had, so that all odds are
    below 1.005. It also begins its counts anew with each of 15 subsets; here they age. Its second half, more rollouts
    for uncertain prompts, is not in a curriculum, and left out, as are gradient norms: at equal ones it is
    proportional to the same standard deviation.

    Weights of the rows of the batch and of 1,024 others, in turn, are worked out after each batch: in a larger pool
    those of the others are up to size / 1,024 batches old. Probabilities are exactly those that rows are drawn with.

    Not for rewards that are random: a coin flip has the largest standard deviation that there is.

    Source: Zeng et al. 2025, arXiv 2510.01037, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import CurES
    >>> cures = CurES(tau=0.1, prior="flat").bind(Pool(2))
    >>> row = np.repeat([0, 1], 8)  # half right, and never right
    >>> cures.observe(Feedback(row, row, 0, np.array([1.0] * 4 + [0.0] * 12)))
    >>> cures.probabilities().round(2).tolist()  # of sqrt(25 / 110) = .477 and sqrt(9 / 110) = .286
    [0.87, 0.13]

    ```
    """

    tau: float = option(0.1, "Temperature, in units of the standard deviation of a reward.", "ours", least=0.001)


class CurESCurriculum(BeliefCurriculum, of=CurES):
    """[`CurES`] over a pool."""

    method: CurES
    next_renewed: int = value_state(0, least=0)  # row

    def __init__(self, method: CurES, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.tree = SumTree(self._weight(slice(None)))

    def _weight(self, row: IntArray | slice) -> FloatArray:
        return np.exp((np.sqrt(self.belief.expected_spread(row)) - 0.5) / self.method.tau)

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        return Outlook(acts_at=2, remedy="train for more steps", event=BY_SUCCESS)

    def _learn(self, shown: Shown, step: int) -> None:
        super()._learn(shown, step)
        size = self.pool.size
        renewed = (self.next_renewed + np.arange(min(RENEWED, size))) % size
        self.next_renewed = (self.next_renewed + len(renewed)) % size
        row = renewed if size <= RENEWED else np.concatenate([shown.row, renewed])
        self.tree.set(row, self._weight(row))

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        picked: list[IntArray] = []
        while (missing := n - sum(map(len, picked))) > 0:
            picked.append(self.tree.draw_distinct(self.rng, missing))
        row = np.concatenate(picked)
        return row, self.pool.arm[row], self.tree.probability(row)

    def probabilities(self) -> FloatArray:
        return self.tree.weight / self.tree.total

    def _loaded(self, mapping: PoolMapping | None) -> None:
        if mapping is not None:
            self.next_renewed = 0
            self.tree = SumTree(self._weight(slice(None)))
        elif self.next_renewed >= self.pool.size or not self.tree.total > 0:
            raise self.damaged("next_renewed")
