from ..pool import Pool
from ..signals import FloatArray, IntArray
from .parts.selectors import check_share, top_share
from .rows import Measure, RowCurriculum


class LossTopK(RowCurriculum):
    """
    The rows with the largest loss: what the model is worst at comes next, each of them once before any comes again.

    Of the rows without a loss, be it that they were never seen or that none came back, the same share comes in, by
    lot and anew at each refresh. A row outside keeps its last loss; it comes in when those inside have fallen below.

    It also collects what cannot be learned: wrong labels and noise have large losses and keep them.

    Args:
        pool ([`Pool`]):
            Rows; its arms are only reported.
        share (`float`, *optional*, defaults to `0.5`):
            Share of the rows that is in (ours; EDCO's SFT baseline takes .25).
        measure (`str`, *optional*, defaults to `"free"`):
            `"free"`: losses that training shows anyway; `"probe"`: a forward over the pool at every refresh (EDCO's).
        refresh_steps (`int`, *optional*):
            Optimizer steps between two refreshes; default: as many as it takes to draw as many rows as the pool has.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Source: the dynamic loss-based top-N that EDCO compares with, arXiv 2601.03725 and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import LossTopK
    >>> top = LossTopK(Pool(4), measure="probe")
    >>> top.observe_probe(top.rows_to_probe(), np.array([0.1, 3.0, 0.2, 2.0]))
    >>> top.probabilities().tolist()
    [0.0, 0.5, 0.0, 0.5]

    ```
    """

    name = "loss_top_k"
    signal = "last loss of a row, the largest"
    cost = "none, or a forward over the pool at each refresh"
    paper = "arXiv 2601.03725"

    def __init__(
        self,
        pool: Pool,
        share: float = 0.5,
        measure: Measure = "free",
        refresh_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        check_share(share)
        self.share = share
        super().__init__(pool, measure=measure, refresh_steps=refresh_steps, replacement=False, seed=seed)

    def _weights(self, row: IntArray, loss: FloatArray, stands_for: FloatArray) -> FloatArray:
        return top_share(self.loss, self.share, self.rng)
