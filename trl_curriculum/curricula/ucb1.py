from typing import Any

import numpy as np

from ..pool import Pool
from ..signals import Feedback, FloatArray, IntArray
from .arms import MAX_LOGGED_ARMS
from .base import Carried, Curriculum
from .parts.queues import Queues


class UCB1(Curriculum):
    r"""
    UCB1 over arms: in rounds, all rows from the arm with the largest upper confidence bound of its mean reward.

    $$ \text{arm} = \operatorname{argmax}_a\; \bar r_a + c \sqrt{2 \ln t / n_a}, $$

    where $n_a$ of t rounds went to arm a; each is played once first, in their order. The reward of a round is the mean
    reward of its rollouts: what is rewarded comes again, so an easy arm is preferred.

    Args:
        pool ([`Pool`]):
            Rows and their arms. A pool without arms is cut by its difficulties.
        round_batches (`int`, *optional*, defaults to `20`):
            Batches of one round (the code's).
        levels (`int`, *optional*, defaults to `3`):
            Without arms: how many of equal size the difficulties are cut into (the code's).
        c (`float`, *optional*, defaults to `1.0`):
            Weight of the confidence bonus; 1 is UCB1's, for rewards in [0, 1].
        seed (`int`, *optional*, defaults to `0`):
            Seed of the order within an arm.

    Source: Auer et al. 2002; as a baseline in EDCO's code, arXiv 2601.03725.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import UCB1
    >>> ucb = UCB1(Pool(6, difficulty=[5, 1, 3, 2, 4, 6]))
    >>> sorted(ucb.select(2).row.tolist())
    [1, 3]

    ```
    """

    name = "ucb1"
    needs = ("reward",)
    signal = "mean reward per arm, with a confidence bonus, one arm at a time"
    paper = "arXiv 2601.03725"

    def __init__(self, pool: Pool, round_batches: int = 20, levels: int = 3, c: float = 1.0, seed: int = 0) -> None:
        super().__init__(pool, seed)
        if round_batches < 1 or levels < 2 or not c >= 0:
            raise ValueError(
                f"round_batches={round_batches}, levels={levels} and c={c}: a round has at least one batch, there are "
                "at least 2 levels, and c is not negative."
            )
        self.round_batches, self.levels, self.c = round_batches, levels, c
        self.level, self._names = self._cut(pool, levels)
        self.queues = Queues(self.level, len(self._names), self.rng)
        self.reward, self.plays = np.zeros(len(self._names)), np.zeros(len(self._names), np.int64)
        self.playing = 0
        self.batches, self.seen_sum, self.seen_count = 0, 0.0, 0

    @staticmethod
    def _cut(pool: Pool, levels: int) -> tuple[IntArray, tuple[str, ...]]:
        if pool.n_arms > 1 or pool.difficulty is None:
            if pool.n_arms == 1:
                raise ValueError(
                    "Curriculum 'ucb1' plays arms: set arm_column, or difficulty_column to be cut into arms."
                )
            return pool.arm, pool.arm_names
        levels = min(levels, pool.size)
        middle = np.nan_to_num(pool.difficulty, nan=float(np.nanmedian(pool.difficulty)))
        rank = np.empty(pool.size, np.int64)
        rank[np.argsort(middle, kind="stable")] = np.arange(pool.size)
        return (rank * levels // pool.size).astype(np.int32), tuple(f"level {k + 1}" for k in range(levels))

    @property
    def arm_names(self) -> tuple[str, ...]:
        return self._names

    def bounds(self) -> FloatArray:
        """Upper confidence bound of each arm, shape `(n_arms,)`; infinite where it was never played."""
        with np.errstate(divide="ignore", invalid="ignore"):
            bonus = self.c * np.sqrt(2 * np.log(max(self.plays.sum(), 1)) / self.plays)
            return np.where(self.plays == 0, np.inf, self.reward / self.plays + bonus)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        if self.batches >= self.round_batches:
            self._end_round()
        arm = np.full(n, self.playing)
        return self.queues.pop(arm), arm, np.full(n, np.nan)

    def observe(self, feedback: Feedback) -> None:
        if feedback.reward is None or len(feedback) == 0:
            return
        self.batches += 1
        seen = np.isfinite(feedback.reward)
        self.seen_sum += float(feedback.reward[seen].sum())
        self.seen_count += int(seen.sum())

    def _end_round(self) -> None:
        if self.seen_count:  # a round in which nothing was rewarded is no play
            self.reward[self.playing] += self.seen_sum / self.seen_count
            self.plays[self.playing] += 1
        self.batches, self.seen_sum, self.seen_count = 0, 0.0, 0
        self.playing = int(self.bounds().argmax())

    def metrics(self) -> dict[str, float]:
        values = {"playing": float(self.playing)}
        if len(self._names) <= MAX_LOGGED_ARMS:
            for k, name in enumerate(self._names):
                if self.plays[k]:
                    values[f"value/{name}"] = float(self.reward[k] / self.plays[k])
        return values

    def _state(self) -> dict[str, Any]:
        return {
            "queues": self.queues.state_dict(),
            **{name: getattr(self, name).copy() for name in ("reward", "plays")},
            **{name: getattr(self, name) for name in ("playing", "batches", "seen_sum", "seen_count")},
        }

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        if carried is not None and self.pool.n_arms == 1:  # levels stay what they are
            carried = Carried(carried.row, np.arange(len(self._names)), carried.old_size)
        self.queues.load_state_dict(state["queues"], carried)
        for name in ("reward", "plays"):
            setattr(self, name, carried.arms(state[name], 0) if carried is not None else state[name].copy())
        playing = state["playing"]
        if carried is not None:
            continued = np.flatnonzero(carried.arm == playing)
            playing = int(continued[0]) if len(continued) else 0
        self.playing = playing
        self.batches, self.seen_sum, self.seen_count = (state[k] for k in ("batches", "seen_sum", "seen_count"))
