"""Where the difficulty of a row comes from, for all curricula that follow a fixed one."""

from typing import Any, Literal

import numpy as np

from ..pool import Pool
from ..signals import FloatArray, IntArray
from .base import Carried, Curriculum


class DifficultyCurriculum(Curriculum):
    """
    Follows a difficulty that does not change: the pool's column, or every row's loss, measured once at the start.

    A method implements `_sort`, which is called as soon as `hardness` is known: when it is made, or after the probe.

    Args:
        pool ([`Pool`]):
            Rows to choose from.
        difficulty (`str`):
            `"column"`: the pool's difficulties; `"probe"`: one forward over the pool before the first draw. A row
            without a difficulty (no loss came back, or it joined the data after the probe) is as hard as the median.
        seed (`int`):
            Seed of the draws.
    """

    def __init__(self, pool: Pool, difficulty: Literal["column", "probe"], seed: int) -> None:
        super().__init__(pool, seed)
        if difficulty not in ("column", "probe"):
            raise ValueError(f"difficulty={difficulty!r} is neither 'column' nor 'probe'.")
        self.difficulty = difficulty
        self.hardness: FloatArray | None = None
        if difficulty == "column" and self._follows_difficulty():
            if pool.difficulty is None:
                raise ValueError(
                    f"{self._who()} sorts by difficulty: set difficulty_column to a numeric column, or "
                    "difficulty='probe' to measure every row's loss."
                )
            self._know(pool.difficulty)

    @property
    def asks_for(self) -> str | None:  # type: ignore[override]
        return "loss" if self.difficulty == "probe" else None

    def _follows_difficulty(self) -> bool:
        return True

    def _who(self) -> str:
        return f"Curriculum {self.name!r}"

    def _sort(self, hardness: FloatArray) -> None:
        """Gets ready for draws, from the difficulty of each row, shape `(size,)`, all of it known."""
        raise NotImplementedError

    def _know(self, value: FloatArray) -> None:
        known = ~np.isnan(value)
        middle = np.median(value[known]) if known.any() else 0.0
        self.hardness = np.where(known, value, middle)
        self._sort(self.hardness)

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        return np.arange(self.pool.size) if self.difficulty == "probe" and self.hardness is None else None

    def observe_probe(self, row: IntArray, value: FloatArray, measured: Any = None) -> None:
        loss = np.full(self.pool.size, np.nan)
        loss[row] = value
        self._know(loss)

    def _need_hardness(self) -> None:
        if self.hardness is None and self._follows_difficulty():
            raise RuntimeError(
                f"{self._who()} has difficulty='probe' and was asked for rows before the losses were measured: "
                "answer rows_to_probe() with observe_probe(row, value) first."
            )

    def _state(self) -> dict[str, Any]:
        measured = self.difficulty == "probe" and self.hardness is not None
        return {"hardness": self.hardness.copy()} if measured and self.hardness is not None else {}

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        if "hardness" in state:
            self._know(carried.rows(state["hardness"], np.nan) if carried is not None else state["hardness"])
