from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..data.names import listed
from ..pool import Pool
from ..records import PoolMapping
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .difficulty import DifficultyCurriculum, DifficultyMethod
from .outlook import Outlook
from .parts.queues import Queues


@CURRICULA.add("order", paper="arXiv 2408.07888", signal="static difficulty or arm")
@dataclass(frozen=True)
class Order(DifficultyMethod):
    """
    A fixed order of rows, decided before training.

    `"easy_to_hard"` and `"hard_to_easy"` sort by difficulty, rows of equal difficulty in random order; `"blocked"`
    takes one arm after the other; `"interleaved"` takes the arms in turn.

    Source: blocked and interleaved orders for SFT, arXiv 2408.07888; easy to hard as SEC's baseline, 2505.14970.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import Order
    >>> Order().bind(Pool(3, difficulty=[0.3, 0.1, 0.2])).select(3).row.tolist()
    [1, 2, 0]

    ```
    """

    mode: Literal["easy_to_hard", "hard_to_easy", "blocked", "interleaved"] = option("easy_to_hard", "Which order.")
    total_draws: int | None = option(
        None,
        "Draws over which one pass of the order is stretched or shrunk, so that a run of any length goes from its "
        "first to its last level; default: as many as rows, over and over. `interleaved` has no end and ignores it.",
        "SEC's baseline repeats the levels to fill its steps",
        least=1,
    )

    def check(self) -> None:
        if self.difficulty == "probe" and not self.sorts:
            raise ValueError(f"mode={self.mode!r} follows the arms: difficulty='probe' would be of no use to it.")

    @property
    def sorts(self) -> bool:
        return self.mode in ("easy_to_hard", "hard_to_easy")


class OrderCurriculum(DifficultyCurriculum, of=Order):
    """[`Order`] over a pool."""

    method: Order

    def __init__(self, method: Order, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        if not method.sorts:
            self._line_up(pool.arm, np.array(pool.arm_names))

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        seen, method = super().outlook(batches, rows), self.method
        total = method.total_draws if method.total_draws is not None else self.pool.size
        draws = total if batches is None or rows is None else batches * rows
        odd = []
        if method.mode != "interleaved" and draws < total:
            what = f"the run draws {draws:,} of the {total:,} rows of the order: "
            if method.mode == "blocked":
                place = (draws - 1) * self.pool.size // total
                last = int(np.searchsorted(np.cumsum(self.pool.arm_size), place, side="right"))
                left = self.pool.arm_names[last + 1 :]
                what += f"{listed(map(repr, left))} never come" if left else "the last arm is cut short"
            else:
                what += f"the {'hard' if method.mode == 'easy_to_hard' else 'easi'}est never come"
            odd.append(f"{what}; set total_draws: {draws}")
        return replace(seen, by_arm=not method.sorts, in_order=not method.sorts, odd=seen.odd + tuple(odd))

    def _sort(self, hardness: FloatArray) -> None:
        easy_first = self.method.mode == "easy_to_hard"
        values, level = np.unique(hardness if easy_first else -hardness, return_inverse=True)
        self._line_up(level, values)

    def _line_up(self, level: np.ndarray, values: np.ndarray) -> None:
        """Level of each row, and what the levels stand for, in the order in which they come."""
        self._values = values
        self.queues = Queues(level, len(values), self.rng)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        turn = np.arange(self.drawn, self.drawn + n)
        if self.method.mode == "interleaved":
            level = turn % self.pool.n_arms
        else:
            total = self.method.total_draws if self.method.total_draws is not None else self.pool.size
            place = turn % total * self.pool.size // total
            level = np.searchsorted(np.cumsum(self.queues.size), place, side="right")
        row = self.queues.pop(level)
        return row, self.pool.arm[row], np.full(n, np.nan)

    def metrics(self) -> dict[str, float]:
        if self.method.total_draws is None:
            return {}
        return {"order_progress": min(self.drawn / self.method.total_draws, 1.0)}

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        if hasattr(self, "queues"):
            state["levels"] = self._values.tolist()
        return state

    def load_state_dict(self, state: dict[str, Any], carry_over: bool = False) -> PoolMapping | None:  # type: ignore[override]
        self._old_levels = state.get("levels", [])
        levels = self._old_levels
        if not isinstance(levels, list) or not all(isinstance(level, str | int | float) for level in levels):
            raise self.damaged("levels")
        mapping = super().load_state_dict(state, carry_over)
        if mapping is None and levels != (self._values.tolist() if hasattr(self, "queues") else []):
            raise self.damaged("levels")
        return mapping

    def mapping_of(self, part: str, mapping: PoolMapping | None) -> PoolMapping | None:
        if mapping is None:
            return None
        old = {value: k for k, value in enumerate(self._old_levels)}  # levels continue by what they stand for
        return mapping.with_arms(np.array([old.get(value, -1) for value in self._values.tolist()]))
