from dataclasses import dataclass

import numpy as np

from ..pool import Pool
from ..records import PoolMapping, arm_state, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA, MAX_LOGGED_ARMS, Curriculum, CurriculumMethod
from .outlook import Outlook
from .parts.queues import Queues, queues_of


@CURRICULA.add(
    "ucb1", paper="arXiv 2601.03725", signal="mean reward per arm, with a confidence bonus, one arm at a time"
)
@dataclass(frozen=True)
class UCB1(CurriculumMethod):
    r"""
    UCB1 over arms: in rounds, all rows from the arm with the largest upper confidence bound of its mean reward.

    $$ \text{arm} = \operatorname{argmax}_a\; \bar r_a + \sqrt{2 \ln t / n_a}, $$

    where $n_a$ of t rounds went to arm a; each is played once first, in their order. The reward of a round is the mean
    reward of its rollouts: what is rewarded comes again, so an easy arm is preferred. The bonus is that of rewards in
    [0, 1]. A pool without arms is cut by its difficulties.

    Source: Auer et al. 2002; as a baseline in EDCO's code, arXiv 2601.03725.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import UCB1
    >>> ucb = UCB1().bind(Pool(6, difficulty=[5, 1, 3, 2, 4, 6]))
    >>> sorted(ucb.select(2).row.tolist())
    [1, 3]

    ```
    """

    round_batches: int = option(20, "Batches of one round.", "EDCO's code", least=1)
    levels: int = option(3, "Without arms: how many the difficulties are cut into.", "EDCO's code", least=2)
    outcome: str | None = option(None, "Reward function that is followed; default: the weighted sum of all.")

    follows = ("reward",)
    trainers = ("GRPO",)


class UCB1Curriculum(Curriculum, of=UCB1):
    """[`UCB1`] over a pool."""

    takes_streams = True
    method: UCB1
    reward: FloatArray = arm_state(0.0)
    plays: IntArray = arm_state(0, np.int64, 0)
    playing: int = value_state(0, least=0)
    batches: int = value_state(0, least=0)
    seen_sum: float = value_state(0.0)
    seen_count: int = value_state(0, least=0)

    def __init__(self, method: UCB1, pool: Pool, seed: int = 0) -> None:
        self.level, self._names = _cut(pool, method.levels)
        super().__init__(method, pool, seed)
        self.queues = queues_of(pool, self.rng) if pool.is_stream else Queues(self.level, len(self._names), self.rng)

    @property
    def arm_names(self) -> tuple[str, ...]:
        return self._names

    @property
    def row_arm(self) -> IntArray:
        return self.level

    @property
    def chooses_arms(self) -> bool:
        return True

    @property
    def choice(self) -> int:
        return int(self.plays.sum())

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        every, n = self.method.round_batches, len(self._names)
        plays = range(1, (batches or 0) + 1, every)
        odd = f"round_batches={every}: only {len(plays)} of {n} arms are ever played, the first ones; set fewer"
        return Outlook(
            acts_at=every + 1,
            remedy=f"set round_batches to at most {max((batches or 0) // (n + 1), 1)}",
            event="round",
            events=tuple(plays[:1000]),
            odd=(odd,) if 1 < len(plays) < n else (),
        )

    def bounds(self) -> FloatArray:
        """Upper confidence bound of each arm, shape `(n_arms,)`; infinite where it was never played."""
        with np.errstate(divide="ignore", invalid="ignore"):
            bonus = np.sqrt(2 * np.log(max(self.plays.sum(), 1)) / self.plays)
            return np.where(self.plays == 0, np.inf, self.reward / self.plays + bonus)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        if self.batches >= self.method.round_batches:
            self._end_round()
        arm = np.full(n, self.playing)
        return self.queues.pop(arm), arm, np.full(n, np.nan)

    def observe(self, feedback: Feedback) -> None:
        if feedback.reward is None or len(feedback) == 0:
            return
        self.batches += 1
        reward = feedback.outcome(self.method.outcome)
        seen = np.isfinite(reward)
        self.seen_sum += float(reward[seen].sum())
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

    def load_state_dict(self, state: dict, carry_over: bool = False) -> PoolMapping | None:  # type: ignore[override]
        mapping = super().load_state_dict(state, carry_over)
        if self.playing >= len(self._names):
            raise self.damaged("playing")
        return mapping

    def own_mapping(self, mapping: PoolMapping) -> PoolMapping:
        if self.pool.n_arms == 1:  # levels stay what they are
            return mapping.with_arms(np.arange(len(self._names)))
        return mapping

    def _loaded(self, mapping: PoolMapping | None) -> None:
        if mapping is not None:
            continued = np.flatnonzero(self.own_mapping(mapping).arm == self.playing)
            self.playing = int(continued[0]) if len(continued) else 0


def _cut(pool: Pool, levels: int) -> tuple[IntArray, tuple[str, ...]]:
    if pool.n_arms > 1 or pool.difficulty is None:
        if pool.n_arms == 1:
            raise ValueError("Curriculum 'ucb1' plays arms: set arms, or difficulty_column to be cut into arms.")
        return pool.arm, pool.arm_names
    levels = min(levels, pool.size)
    middle = np.nan_to_num(pool.difficulty, nan=float(np.nanmedian(pool.difficulty)))
    rank = np.empty(pool.size, np.int64)
    rank[np.argsort(middle, kind="stable")] = np.arange(pool.size)
    return (rank * levels // pool.size).astype(np.int32), tuple(f"level {k + 1}" for k in range(levels))
