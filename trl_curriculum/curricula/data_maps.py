from typing import Any, Literal

import numpy as np

from ..pool import Pool
from ..signals import FloatArray, IntArray
from .base import Carried
from .parts.row_history import RowHistory
from .parts.selectors import check_share, top_share
from .rows import Measure, RowCurriculum


class DataMaps(RowCurriculum):
    r"""
    Data maps: one region of the map that a row's probability of being right draws over training.

    With p = exp(-loss), the geometric mean of the probabilities that the model gives to the trained tokens, taken
    once per refresh,

    $$ \text{confidence} = \operatorname{mean}(p), \quad \text{variability} = \operatorname{std}(p). $$

    The *ambiguous* region holds the rows with the largest variability, *hard* those with the lowest confidence, *easy*
    those with the highest. All rows are drawn alike until some have been observed `observations` times; from then on
    the region is chosen among these, and of all others the same share comes in, by lot and anew at each refresh. So a
    row whose loss never comes back is neither lost nor favoured. With free losses, a row outside keeps its place on
    the map: it shows nothing new.

    The paper makes the map in one run and trains a new model on the region; here one run does both.

    Args:
        pool ([`Pool`]):
            Rows; its arms are only reported.
        region (`str`, *optional*, defaults to `"ambiguous"`):
            `"ambiguous"`, `"hard"` or `"easy"`.
        share (`float`, *optional*, defaults to `0.33`):
            Share of the rows in the region (the paper's).
        observations (`int`, *optional*, defaults to `2`):
            Observations before a row has a place on the map: the fewest that have a variability (ours; the paper's
            maps have 5 or 6, its epochs).
        measure (`str`, *optional*, defaults to `"free"`):
            `"free"`: losses that training shows anyway; `"probe"`: a forward over the pool at every refresh.
        refresh_steps (`int`, *optional*):
            Optimizer steps between two refreshes; default: as many as it takes to draw as many rows as the pool has.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    The standard deviation divides by n - 1, where the paper's code divides by n: here rows differ in n.

    Source: Swayamdipta et al. 2020, arXiv 2009.10795, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import DataMaps
    >>> maps = DataMaps(Pool(3), measure="probe", share=0.33)
    >>> for loss in ([0.1, 2.0, 3.0], [0.1, 0.5, 2.9]):
    ...     maps.observe_probe(np.arange(3), np.array(loss))
    >>> maps.probabilities().tolist()
    [0.0, 1.0, 0.0]

    ```
    """

    name = "data_maps"
    signal = "mean and spread of a row's exp(-loss) over training"
    cost = "none, or a forward over the pool at each refresh"
    paper = "arXiv 2009.10795"

    def __init__(
        self,
        pool: Pool,
        region: Literal["ambiguous", "hard", "easy"] = "ambiguous",
        share: float = 0.33,
        observations: int = 2,
        measure: Measure = "free",
        refresh_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        if region not in ("ambiguous", "hard", "easy"):
            raise ValueError(f"region={region!r} is none of ambiguous, hard, easy.")
        check_share(share)
        if observations < 2:
            raise ValueError(f"observations={observations} must be at least 2, or there is no variability.")
        self.region, self.share, self.observations = region, share, observations
        super().__init__(pool, measure=measure, refresh_steps=refresh_steps, replacement=False, seed=seed)
        self.right = RowHistory(pool.size)

    def _weights(self, row: IntArray, loss: FloatArray, stands_for: FloatArray) -> FloatArray:
        self.right.update(row, np.exp(-loss))
        mapped = self.right.count >= self.observations
        if not mapped.any():
            return np.ones(self.pool.size)
        if self.region == "ambiguous":
            value = self.right.std()
        else:
            value = self.right.average() * (1 if self.region == "easy" else -1)
        return top_share(np.where(mapped, value, np.nan), self.share, self.rng)

    def _state(self) -> dict[str, Any]:
        return super()._state() | {"right": self.right.state_dict()}

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        super()._load(state, carried)
        self.right.load_state_dict(state["right"], carried)
