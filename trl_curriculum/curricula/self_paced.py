from dataclasses import dataclass

import numpy as np

from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .rows import RowCurriculum, RowMethod


@CURRICULA.add("self_paced", paper="NeurIPS 2010", signal="last loss of a row, below a growing threshold")
@dataclass(frozen=True)
class SelfPaced(RowMethod):
    r"""
    Self-paced learning: the rows are in whose loss is below a threshold that grows.

    $$ v_i = 1 \;\text{if}\; \ell_i \le \lambda \;\text{else}\; 0, \quad
    \lambda = \text{the } q\text{-quantile of all } \ell, \quad q(t) = \min(1, q_0 + (1 - q_0)\, t / T), $$

    with ℓ the last loss that a row has shown and t the share of training done. The paper grows λ by a factor at each
    iteration, which needs to know the losses' scale; setting it by the share q of the rows that it lets in is ours.

    A row without a loss, be it that it was never seen or that none came back, is in. A row above the threshold is not
    drawn, so with free losses it keeps its old loss until the threshold reaches it.

    Source: Kumar, Packer & Koller, NeurIPS 2010.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import SelfPaced
    >>> paced = SelfPaced(measure="probe").bind(Pool(4))
    >>> paced.observe_probe(paced.rows_to_probe(), np.array([0.1, 3.0, 0.2, 2.0]))
    >>> paced.probabilities().tolist()
    [0.5, 0.0, 0.5, 0.0]

    ```
    """

    start: float = option(0.5, "Share q0 of the rows that is in at the start.", above=0, most=1)
    duration: float = option(0.5, "Share T of the training after which all rows are in.", above=0, most=1)

    @property
    def uniform_by(self) -> str | None:
        return "start=1" if self.start == 1 else None

    def weights(self, now: RowCurriculum, row: IntArray, loss: FloatArray, inclusion_weight: FloatArray) -> FloatArray:
        share = min(1.0, self.start + (1 - self.start) * now.progress / self.duration)
        known = np.sort(now.loss[np.isfinite(now.loss)])
        threshold = known[max(1, round(share * len(known))) - 1]
        return (~(now.loss > threshold)).astype(float)  # NaN, a row without a loss, is not above it
