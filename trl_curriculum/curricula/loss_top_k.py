from dataclasses import dataclass

from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .parts.selectors import top_share
from .rows import RowCurriculum, RowMethod


@CURRICULA.add("loss_top_k", paper="arXiv 2601.03725", signal="last loss of a row, the largest")
@dataclass(frozen=True)
class LossTopK(RowMethod):
    """
    The rows with the largest loss: what the model is worst at comes next, each of them once before any comes again.

    Of the rows without a loss, be it that they were never seen or that none came back, the same share comes in, at
    random and anew at each refresh. A row outside keeps its last loss, and comes in when those inside have fallen
    below.

    It also collects what cannot be learned: wrong labels and noise have large losses and keep them.

    Source: the dynamic loss-based top-N that EDCO compares with, arXiv 2601.03725 and its code, which measures by
    probe.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import LossTopK
    >>> top = LossTopK(measure="probe").bind(Pool(4))
    >>> top.observe_probe(top.rows_to_probe(), np.array([0.1, 3.0, 0.2, 2.0]))
    >>> top.probabilities().tolist()
    [0.0, 0.5, 0.0, 0.5]

    ```
    """

    share: float = option(0.5, "Share of the rows that is in.", "ours (EDCO's SFT baseline: .25)", above=0, most=1)

    @property
    def uniform_by(self) -> str | None:
        return "share=1" if self.share == 1 else None

    def weights(self, now: RowCurriculum, row: IntArray, loss: FloatArray, inclusion_weight: FloatArray) -> FloatArray:
        return top_share(now.loss, self.share, now.rng)
