"""Where the difficulty of a row comes from, for all curricula that follow a fixed one."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..pool import Pool
from ..records import PoolMapping, row_state
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import Curriculum, CurriculumMethod
from .outlook import Outlook


@dataclass(frozen=True)
class DifficultyMethod(CurriculumMethod):
    """Follows a difficulty that does not change: the pool's column, or every row's loss as measured at the start."""

    difficulty: Literal["column", "probe"] = option(
        "column",
        "The pool's difficulties, or every row's loss, by one forward over the pool before the first draw. A row "
        "without a difficulty is as hard as the median.",
        kw_only=True,
    )

    cost = "free; with difficulty: probe, 1 forward over the pool"

    @property
    def probe(self) -> str | None:  # type: ignore[override]
        return "loss" if self.difficulty == "probe" else None

    @property
    def sorts(self) -> bool:
        """Whether it follows difficulties at all as it is set up."""
        return True


class DifficultyCurriculum(Curriculum):
    """
    A [`DifficultyMethod`] over a pool.

    A method implements `_sort`, which is called as soon as the difficulty is known: when it is made, or after the
    probe.
    """

    measured: FloatArray | None = row_state(np.nan, np.float64, optional=True)  # losses, once the probe was answered

    def __init__(self, method: DifficultyMethod, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.hardness: FloatArray | None = None
        if method.difficulty == "column" and method.sorts:
            if pool.difficulty is None:
                raise ValueError(
                    f"Curriculum {self.name!r} sorts by difficulty: set difficulty_column to a numeric column, or "
                    "difficulty='probe' to measure every row's loss."
                )
            self._know(pool.difficulty)

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        same = self.hardness is not None and bool((self.hardness == self.hardness[0]).all())
        probes = self.method.probe is not None
        return Outlook(
            probes=int(probes),
            probed_rows=self.pool.size if probes else 0,
            odd=("all rows are equally difficult, so that they come in random order",) if same else (),
        )

    def _sort(self, hardness: FloatArray) -> None:
        """Gets ready for draws, from the difficulty of each row, shape `(size,)`, all of it known."""
        raise NotImplementedError

    def _know(self, value: FloatArray) -> None:
        known = ~np.isnan(value)
        middle = np.median(value[known]) if known.any() else 0.0
        self.hardness = np.where(known, value, middle)
        self._sort(self.hardness)

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        return np.arange(self.pool.size) if self.method.difficulty == "probe" and self.hardness is None else None

    def observe_probe(self, row: IntArray, value: FloatArray, scores: Any = None) -> None:
        self.measured = np.full(self.pool.size, np.nan)
        self.measured[row] = np.where(np.isfinite(value), value, np.nan)
        self._know(self.measured)

    def _need_hardness(self) -> None:
        if self.hardness is None and self.method.sorts:
            raise RuntimeError(
                f"Curriculum {self.name!r} has difficulty='probe' and was asked for rows before the losses were "
                "measured: answer rows_to_probe() with observe_probe(row, value) first."
            )

    def before_parts(self, mapping: PoolMapping | None) -> None:
        if self.measured is not None:
            self._know(self.measured)
        elif mapping is not None and self.method.sorts and self.pool.difficulty is not None:
            self._know(self.pool.difficulty)
