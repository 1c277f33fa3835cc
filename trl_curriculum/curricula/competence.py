from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..records import PoolMapping, row_state
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .difficulty import DifficultyCurriculum, DifficultyMethod


@CURRICULA.add("competence", paper="arXiv 1903.09848", signal="static difficulty, up to a growing limit")
@dataclass(frozen=True)
class Competence(DifficultyMethod):
    r"""
    Competence-based curriculum: batches come from the rows that are no harder than the model's competence.

    With t the share of training done, T the share after which all rows are in, and rows ranked by difficulty,

    $$ c(t) = \min\left(1, \sqrt{\tfrac{t}{T} (1 - c_0^2) + c_0^2}\right), $$

    a batch is drawn uniformly, without a row twice, from the easiest c(t) N of the N rows: the square root adds new
    rows ever more slowly, so that each batch shows an equal share of them. Rows of equal difficulty are ranked at
    random. At least as many rows as are drawn at once are in (ours).

    Source: Platanios et al. 2019, arXiv 1903.09848. Its difficulties are sentence length and word rarity.

    Example:

    ```python
    >>> from trl_curriculum.curricula import Competence
    >>> Competence(duration=1.0).competence(0.25)  # a quarter of the way: half
    0.50...

    ```
    """

    initial: float = option(0.01, "Competence c0 at the start.", "the paper's", above=0, most=1)
    duration: float = option(
        0.5,
        "T, as a share of the training.",
        "ours (the paper: the steps that plain training needs to 90% of its final score)",
        above=0,
        most=1,
    )

    def competence(self, progress: float) -> float:
        """c: the share of the rows that is in."""
        return min(1.0, float(np.sqrt(progress / self.duration * (1 - self.initial**2) + self.initial**2)))


class CompetenceCurriculum(DifficultyCurriculum, of=Competence):
    """[`Competence`] over a pool."""

    method: Competence
    order: NDArray[np.int32] | None = row_state(0, np.int32, 0, optional=True)  # rows, the easiest first

    def _sort(self, hardness: FloatArray) -> None:
        self.order = np.lexsort((self.rng.random(self.pool.size), hardness)).astype(np.int32)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        assert self.order is not None
        size = self.pool.size
        admitted = max(int(self.method.competence(self.progress) * size), min(n, size))
        row = self.order[self.rng.choice(admitted, n, replace=n > admitted)]
        return row, self.pool.arm[row], np.full(n, 1 / admitted)

    def metrics(self) -> dict[str, float]:
        return {"competence": self.method.competence(self.progress)}

    def before_parts(self, mapping: PoolMapping | None) -> None:
        saved = self.order
        super().before_parts(mapping)  # which sorts anew, and breaks ties anew
        if mapping is None and saved is not None:
            if not np.array_equal(np.sort(saved), np.arange(self.pool.size)):
                raise self.damaged("order")
            self.order = saved
