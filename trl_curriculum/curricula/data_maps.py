from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..pool import Pool
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .parts.row_history import RowHistory
from .parts.selectors import top_share
from .rows import RowCurriculum, RowMethod


OBSERVATIONS = 2  # of a row before it has a place on the map: the fewest that have a variability


@CURRICULA.add("data_maps", paper="arXiv 2009.10795", signal="mean and spread of a row's exp(-loss) over training")
@dataclass(frozen=True)
class DataMaps(RowMethod):
    r"""
    Data maps: one region of the map that a row's probability of being right draws over training.

    With p = exp(-loss), the geometric mean of the probabilities that the model gives to the trained tokens, taken
    once per refresh,

    $$ \text{confidence} = \operatorname{mean}(p), \quad \text{variability} = \operatorname{std}(p). $$

    The *ambiguous* region holds the rows with the largest variability, *hard* those with the lowest confidence, *easy*
    those with the highest. All rows are drawn alike until some have been observed twice (ours; the paper's maps have 5
    or 6 observations, its epochs); from then on the region is chosen among these, and of all others the same share
    comes in, at random and anew at each refresh. So a row whose loss never comes back is neither lost nor favoured.
    With free losses, a row outside keeps its place on the map: it shows nothing new.

    The paper makes the map in one run and trains a new model on the region; here one run does both. The standard
    deviation divides by n - 1, where the paper's code divides by n: here rows differ in n.

    Source: Swayamdipta et al. 2020, arXiv 2009.10795, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import DataMaps
    >>> maps = DataMaps(measure="probe").bind(Pool(3))
    >>> for loss in ([0.1, 2.0, 3.0], [0.1, 0.5, 2.9]):
    ...     maps.observe_probe(np.arange(3), np.array(loss))
    >>> maps.probabilities().tolist()
    [0.0, 1.0, 0.0]

    ```
    """

    region: Literal["ambiguous", "hard", "easy"] = option("ambiguous", "Which region.", "the paper's best")
    share: float = option(0.33, "Share of the rows in the region.", "the paper's", above=0, most=1)

    refreshes_to_act = OBSERVATIONS

    @property
    def uniform_by(self) -> str | None:
        return "share=1" if self.share == 1 else None

    def weights(self, now: RowCurriculum, row: IntArray, loss: FloatArray, inclusion_weight: FloatArray) -> FloatArray:
        assert isinstance(now, DataMapsCurriculum)
        right = now.right
        right.update(row, np.exp(-loss))
        mapped = right.count >= OBSERVATIONS
        if not mapped.any():
            return np.ones(now.pool.size)
        if self.region == "ambiguous":
            value = right.std()
        else:
            value = right.average() * (1 if self.region == "easy" else -1)
        return top_share(np.where(mapped, value, np.nan), self.share, now.rng)


class DataMapsCurriculum(RowCurriculum, of=DataMaps):
    """[`DataMaps`] over a pool: it also remembers the map."""

    def __init__(self, method: DataMaps, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.right = RowHistory(pool.size)
