import numpy as np

from ..pool import Pool
from ..signals import FloatArray, IntArray
from .rows import Measure, RowCurriculum


class SelfPaced(RowCurriculum):
    r"""
    Self-paced learning: the rows are in whose loss is below a threshold that grows.

    $$ v_i = 1 \;\text{if}\; \ell_i \le \lambda \;\text{else}\; 0, \quad
    \lambda = \text{the } q\text{-quantile of all } \ell, \quad q(t) = \min(1, q_0 + (1 - q_0)\, t / T), $$

    with ℓ the last loss that a row has shown and t the share of training done. The paper grows λ by a factor at each
    iteration, which needs to know the losses' scale; setting it by the share q of the rows that it lets in is ours.

    A row without a loss, be it that it was never seen or that none came back, is in. A row above the threshold is not
    drawn, so with free losses it keeps its old loss until the threshold reaches it.

    Args:
        pool ([`Pool`]):
            Rows; its arms are only reported.
        start (`float`, *optional*, defaults to `0.5`):
            Share q0 that is in at the start (ours).
        duration (`float`, *optional*, defaults to `0.5`):
            Share T of the training after which all rows are in (ours).
        measure (`str`, *optional*, defaults to `"free"`):
            `"free"`: losses that training shows anyway; `"probe"`: a forward over the pool at every refresh.
        refresh_steps (`int`, *optional*):
            Optimizer steps between two refreshes; default: as many as it takes to draw as many rows as the pool has.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Source: Kumar, Packer & Koller, NeurIPS 2010.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import SelfPaced
    >>> paced = SelfPaced(Pool(4), measure="probe")
    >>> paced.observe_probe(paced.rows_to_probe(), np.array([0.1, 3.0, 0.2, 2.0]))
    >>> paced.probabilities().tolist()
    [0.5, 0.0, 0.5, 0.0]

    ```
    """

    name = "self_paced"
    signal = "last loss of a row, below a growing threshold"
    cost = "none, or a forward over the pool at each refresh"
    paper = "NeurIPS 2010"

    def __init__(
        self,
        pool: Pool,
        start: float = 0.5,
        duration: float = 0.5,
        measure: Measure = "free",
        refresh_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 < start <= 1:
            raise ValueError(f"start={start} is not a share of the rows in (0, 1].")
        if not 0 < duration <= 1:
            raise ValueError(f"duration={duration} is not a share of the training in (0, 1].")
        self.start, self.duration = start, duration
        super().__init__(pool, measure=measure, refresh_steps=refresh_steps, replacement=False, seed=seed)

    def _weights(self, row: IntArray, loss: FloatArray, stands_for: FloatArray) -> FloatArray:
        share = min(1.0, self.start + (1 - self.start) * self.progress / self.duration)
        known = np.sort(self.loss[np.isfinite(self.loss)])
        threshold = known[max(1, round(share * len(known))) - 1]
        return (~(self.loss > threshold)).astype(float)  # NaN, a row without a loss, is not above it
