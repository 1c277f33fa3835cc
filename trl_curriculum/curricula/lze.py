from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..records import row_state
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .beliefs import CandidateCurriculum, CandidateMethod
from .outlook import Outlook
from .successes import BY_SUCCESS, Shown


WHOLE = 1 - 1e-8  # success rate of a group that is all right (the paper's code)


@CURRICULA.add("lze", paper="arXiv 2605.17003", signal="p(1 - p) of a row, how hard it began, and how p has moved")
@dataclass(frozen=True)
class LZE(CandidateMethod):
    r"""
    Learning-Zone Energy: of the rows that come those that are half solved, began hard and are moving.

    $$ E = D_0 \cdot 4\, \mathbb{E}\, p (1 - p) \cdot (1 + .3 \min(2 |p - \mu|, 1)), \quad D_0 = \max(1 - p_0, .05), $$

    with p the success rate of a row when it was seen last, p0 when it was seen first and μ its moving average before
    the last visit, μ ← .9 μ + .1 p. Rows come in turn, and the `share` of them with the largest E plus Gumbel noise of
    scale .05 (max E - min E) is drawn. A row all of whose rollouts were right in two visits in a row is pruned: when
    it comes it is left out, but for a tenth of the times, when it is drawn, and comes back for good if it fails.

    The paper makes rollouts of all rows that come, and trains on the share of the groups with the largest E of these;
    pruning is a second part of it. Here rows are chosen *before* their rollouts, by what they have shown earlier, so
    that rollouts are saved too (ours). So p(1 - p) is what is believed of it now, and a row that was never seen has
    that of its arm, D0 of its arm's mean, and no movement. Its code leaves places of a batch empty where E is 0.

    Movement has no sign and is noisy: with 8 rollouts min(2 |p - μ|, 1) of a coin flip stays at .27, on average.

    Source: arXiv 2605.17003 and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import LZE
    >>> lze = LZE(prior="flat").bind(Pool(2))
    >>> row = np.repeat([0, 1], 4)  # a quarter right, and three quarters
    >>> lze.observe(Feedback(row, row, 0, np.array([1.0, 0, 0, 0, 1, 1, 1, 0])))
    >>> lze.energy(np.array([0, 1])).round(3).tolist()  # .75 and .25 of 4 · 8/42
    [0.571, 0.19]

    ```
    """

    share: float = option(
        0.4, "Share of the rows that come which is drawn.", "its scripts' (its code's default: .7)", least=0.01, most=1
    )
    least: float = option(0.05, "The least D0.", "the paper's", least=0, most=1)
    momentum: float = option(0.3, "Weight of the movement.", "the paper's", least=0, most=100)
    decay: float = option(0.9, "What is kept of the moving average at a visit.", "its code's", least=0, most=1)
    noise: float = option(0.05, "Scale of the Gumbel noise, as a share of E's range.", "its code's", above=0, most=100)
    passes: int = option(2, "Visits in a row, all right, until a row is pruned.", "its code's", least=1, most=200)
    replay: float = option(0.1, "Share of the pruned rows that come back in a turn.", "its code's", least=0.01, most=1)

    retain: ClassVar[float] = 0.0  # p is that of the last visit; what was before is in μ

    @property
    def per_draw(self) -> float:
        return 1 / self.share


class LZECurriculum(CandidateCurriculum, of=LZE):
    """[`LZE`] over a pool."""

    method: LZE
    first: NDArray = row_state(np.nan, np.float32, 0, 1)  # p0
    average: NDArray = row_state(np.nan, np.float32, 0, 1)  # μ
    moved: NDArray = row_state(0.0, np.float32, 0, 1)  # min(2 |p - μ|, 1) at the last visit
    solved: NDArray = row_state(0, np.uint8)  # visits in a row that were all right

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        if self.method.share < 1:
            return super().outlook(batches, rows)
        acts_at = self.method.passes * self.pool.size // rows + 1 if rows else None  # it only prunes
        remedy = "train for more passes over the rows, or set share below 1"
        return Outlook(acts_at=acts_at, remedy=remedy, event=BY_SUCCESS)

    def _learn(self, shown: Shown, step: int) -> None:
        super()._learn(shown, step)
        row, rate = shown.row, np.minimum(shown.rate, 1).astype(np.float32)
        new = np.isnan(self.first[row])
        self.first[row] = np.where(new, rate, self.first[row])
        before = np.where(new, rate, self.average[row])
        self.moved[row] = np.minimum(2 * np.abs(rate - before), 1)
        self.average[row] = before + (1 - self.method.decay) * (rate - before)
        self.solved[row] = np.where(shown.rate >= WHOLE, np.minimum(self.solved[row], self.method.passes - 1) + 1, 0)

    def energy(self, row: IntArray) -> FloatArray:
        """E of rows, shape `(n,)`."""
        a, b = self.belief.beta(row)
        spread = a * b / ((a + b) * (a + b + 1))
        began = np.where(np.isnan(self.first[row]), a / (a + b), self.first[row])
        return energy(spread, began, self.moved[row], self.method.momentum, self.method.least)

    def _choose(self, row: IntArray, n: int) -> IntArray:
        pruned = self.solved[row] >= self.method.passes
        back = row[pruned & (self.rng.random(len(row)) < self.method.replay)][:n]
        others = row[~pruned]
        left = min(n - len(back), len(others))
        if left == 0:
            return back
        value = self.energy(others)
        scale = self.method.noise * max(float(np.ptp(value)), 0.01)
        value += self.rng.gumbel(scale=scale, size=len(value))
        return np.concatenate([back, others[np.argpartition(-value, left - 1)[:left]]])

    def metrics(self) -> dict[str, float]:
        return super().metrics() | {"pruned_rows": float((self.solved >= self.method.passes).mean())}


def energy(spread: FloatArray, began: FloatArray, moved: FloatArray, momentum: float, least: float) -> FloatArray:
    """
    E of rows whose rewards have the variance `spread`, from their first success rates and how they have moved; all of
    shape `(n,)`.
    """
    return np.maximum(1 - began, least) * 4 * spread * (1 + momentum * moved)
