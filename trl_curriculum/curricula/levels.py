"""Levels from easy to hard whose probabilities follow a schedule: the part that such curricula share."""

from dataclasses import dataclass, replace

import numpy as np

from ..pool import Pool
from ..records import PoolMapping
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import MAX_LOGGED_ARMS
from .difficulty import DifficultyCurriculum, DifficultyMethod
from .outlook import Outlook
from .parts.queues import Queues
from .parts.row_history import percentile_rank
from .parts.selectors import draw_arms, entropy


@dataclass(frozen=True)
class LevelMethod(DifficultyMethod):
    """
    Draws a level for each slot of a batch, and then the next row of its shuffled queue.

    A method implements `schedule`.
    """

    levels: int | None = option(
        None,
        "Levels K that the difficulties are cut into, of equal size but for rows of equal difficulty, which stay "
        "together; default: the arms, in their order.",
        least=1,
        most=1000,
        kw_only=True,
    )

    def check(self) -> None:
        if self.difficulty == "probe" and not self.sorts:
            raise ValueError(
                f"levels=None of {self.name} follows the arms: difficulty='probe' would be of no use; set levels."
            )

    @property
    def sorts(self) -> bool:
        return self.levels is not None

    def schedule(self, progress: float, n_levels: int) -> FloatArray:
        """Probability of each level, the easiest first, shape `(n_levels,)`, when a share of the training is done."""
        raise NotImplementedError


class LevelCurriculum(DifficultyCurriculum, of=LevelMethod):
    """A [`LevelMethod`] over a pool: a level is used up before one of its rows comes again."""

    method: LevelMethod

    def __init__(self, method: LevelMethod, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        if not method.sorts:
            self._line_up(pool.arm, pool.n_arms)

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        by_arm, remedy = not self.method.sorts, "levels: 4 with a difficulty_column"
        return replace(super().outlook(batches, rows), by_arm=by_arm, in_order=by_arm, remedy=remedy)

    def _sort(self, hardness: FloatArray) -> None:
        n = self.method.levels
        assert n is not None
        self._line_up(np.minimum((percentile_rank(hardness) * n).astype(np.int32), n - 1), n)

    def _line_up(self, level: IntArray, n: int) -> None:
        self.queues = Queues(level, n, self.rng)
        filled = np.flatnonzero(self.queues.size)
        # The share of a level without rows goes to the nearest that has some
        self._taker = filled[np.abs(filled[:, None] - np.arange(n)).argmin(axis=0)]

    def probabilities(self) -> FloatArray:
        """Probability that a slot of the next batch goes to each level, shape `(levels,)`."""
        n = len(self._taker)
        return np.bincount(self._taker, self.method.schedule(self.progress, n), n).astype(float)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        p = self.probabilities()
        level = draw_arms(self.rng, p, n)
        row = self.queues.pop(level)
        return row, self.pool.arm[row], p[level] / self.queues.size[level]

    def metrics(self) -> dict[str, float]:
        if not hasattr(self, "queues"):  # not probed yet
            return {}
        p = self.probabilities()
        values = {"level": float(p @ np.arange(1, len(p) + 1))}
        if not self.method.sorts:
            values["distribution_entropy"] = entropy(p)
            if len(p) <= MAX_LOGGED_ARMS:
                values |= {f"probability/{name}": float(p[k]) for k, name in enumerate(self.arm_names)}
        return values

    def mapping_of(self, part: str, mapping: PoolMapping | None) -> PoolMapping | None:
        if mapping is None or not self.method.sorts:
            return mapping
        return mapping.with_arms(np.arange(len(self._taker)))  # levels stay what they are
