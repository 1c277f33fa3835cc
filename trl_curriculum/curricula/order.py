from typing import Any, Literal

import numpy as np

from ..pool import Pool
from ..signals import FloatArray, IntArray
from .base import Carried
from .difficulty import DifficultyCurriculum
from .parts.queues import Queues


class Order(DifficultyCurriculum):
    """
    A fixed order of rows, decided before training.

    `"easy_to_hard"` and `"hard_to_easy"` sort by difficulty, rows of equal difficulty in random order; `"blocked"`
    takes one arm after the other; `"interleaved"` takes the arms in turn.

    Args:
        pool ([`Pool`]):
            Rows, with a difficulty for the sorted orders and arms for the other two.
        mode (`str`, *optional*, defaults to `"easy_to_hard"`):
            Which order.
        total_draws (`int`, *optional*):
            Draws over which one pass of the order is stretched or shrunk, so that a run of any length goes from its
            first to its last level, each with the share of draws that it has of rows (SEC's baseline repeats the
            levels to fill the step budget). Default: as many as rows, over and over. Ignored by `"interleaved"`,
            which has no end.
        difficulty (`str`, *optional*, defaults to `"column"`):
            `"column"`: the pool's difficulties; `"probe"`: every row's loss, measured before the first draw. A row
            without one is as hard as the median.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the order within a level.

    Source: blocked and interleaved orders for SFT, arXiv 2408.07888; easy to hard as SEC's baseline, 2505.14970.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import Order
    >>> Order(Pool(3, difficulty=[0.3, 0.1, 0.2])).select(3).row.tolist()
    [1, 2, 0]

    ```
    """

    name = "order"
    signal = "static difficulty or arm"
    cost = "none, or one forward over the pool"
    paper = "arXiv 2408.07888"

    def __init__(
        self,
        pool: Pool,
        mode: Literal["easy_to_hard", "hard_to_easy", "blocked", "interleaved"] = "easy_to_hard",
        total_draws: int | None = None,
        difficulty: Literal["column", "probe"] = "column",
        seed: int = 0,
    ) -> None:
        if mode not in ("easy_to_hard", "hard_to_easy", "blocked", "interleaved"):
            raise ValueError(f"mode={mode!r} is none of easy_to_hard, hard_to_easy, blocked, interleaved.")
        if total_draws is not None and total_draws < 1:
            raise ValueError(f"total_draws={total_draws} must be at least 1.")
        self.mode, self.total_draws = mode, total_draws
        self.replaces = total_draws is not None  # a level of few rows repeats them where it is stretched
        super().__init__(pool, difficulty, seed)
        if not self._follows_difficulty():
            if difficulty == "probe":
                raise ValueError(f"mode={mode!r} follows the arms: difficulty='probe' would be of no use to it.")
            self._line_up(pool.arm, np.array(pool.arm_names))

    def _follows_difficulty(self) -> bool:
        return self.mode in ("easy_to_hard", "hard_to_easy")

    def _who(self) -> str:
        return f"mode={self.mode!r}"

    def _sort(self, hardness: FloatArray) -> None:
        values, level = np.unique(hardness if self.mode == "easy_to_hard" else -hardness, return_inverse=True)
        self._line_up(level, values)

    def _line_up(self, level: np.ndarray, values: np.ndarray) -> None:
        """Level of each row, and what the levels stand for, in the order in which they come."""
        self._values = values
        self.queues = Queues(level, len(values), self.rng)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        turn = np.arange(self.drawn, self.drawn + n)
        if self.mode == "interleaved":
            level = turn % self.pool.n_arms
        else:
            total = self.total_draws if self.total_draws is not None else self.pool.size
            place = turn % total * self.pool.size // total
            level = np.searchsorted(np.cumsum(self.queues.size), place, side="right")
        row = self.queues.pop(level)
        return row, self.pool.arm[row], np.full(n, np.nan)

    def metrics(self) -> dict[str, float]:
        if self.total_draws is None:
            return {}
        return {"order_progress": min(self.drawn / self.total_draws, 1.0)}

    def _state(self) -> dict[str, Any]:
        state = super()._state()
        if self.hardness is not None or not self._follows_difficulty():
            state |= {"queues": self.queues.state_dict(), "levels": self._values.tolist()}
        return state

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        super()._load(state, carried)
        if "queues" not in state:  # saved before the probe
            return
        if carried is not None:  # levels continue by what they stand for
            old = {value: k for k, value in enumerate(state["levels"])}
            level = np.array([old.get(value, -1) for value in self._values.tolist()])
            carried = Carried(carried.row, level, carried.old_size)
        self.queues.load_state_dict(state["queues"], carried)
