from dataclasses import dataclass, replace

import numpy as np

from ..records import PoolMapping, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA
from .difficulty import DifficultyCurriculum, DifficultyMethod
from .outlook import Outlook


@CURRICULA.add("adarft", paper="arXiv 2504.05520", signal="mean reward of a batch, which moves a target difficulty")
@dataclass(frozen=True)
class AdaRFT(DifficultyMethod):
    r"""
    AdaRFT: the rows whose difficulty is nearest a target, which rises where the model is rewarded and falls otherwise.

    With R the mean reward of a batch's rollouts, T is moved after it by

    $$ T \leftarrow \operatorname{clip}\left(T + \eta \tanh(\alpha (R - \beta)),\, d_\min,\, d_\max\right), $$

    and the next batch of n is the n rows of the pool that minimise |d - T|, those at the edge at random (the paper's
    code takes the first ones). The paper's difficulties go from 0 to 100 and its η is 50; here they may have any unit,
    d_min and d_max are the pool's least and largest, and η is a share of what lies between.

    While T stays, so where R is β or T is at an end, the same rows come again and again, as in the paper: continuous
    difficulties of a pool whose easiest rows are out of reach are not for it. A reward that pays for format moves T as
    well: name the one that decides (`outcome`).

    Source: Shi et al. 2025, arXiv 2504.05520, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import AdaRFT
    >>> ada = AdaRFT().bind(Pool(101, difficulty=np.arange(101)))
    >>> draw = ada.select(2)
    >>> ada.observe(Feedback(draw.row, draw.id, 0, reward=np.array([1.0, 0.5])))
    >>> round(ada.target, 1)  # 50 tanh(2 * (.75 - .5))
    23.1
    >>> sorted(ada.select(3).row.tolist())
    [22, 23, 24]

    ```
    """

    alpha: float = option(2.0, "α: how soon a reward is far from β.", "the paper's", above=0, most=1e6)
    beta: float = option(0.5, "β: the mean reward that is aimed at.", "the paper's", least=-1e6, most=1e6)
    eta: float = option(
        0.5, "η, as a share of the range of the difficulties.", "the paper's 50 of 0 to 100", above=0, most=1e6
    )
    start: float = option(0.0, "T at the start, as a share of that range.", "the paper's code", least=0, most=1)
    outcome: str | None = option(
        None, "Reward function that is followed; default: the weighted sum of all.", kw_only=True
    )

    follows = ("reward",)
    trainers = ("GRPO",)


class AdaRFTCurriculum(DifficultyCurriculum, of=AdaRFT):
    """[`AdaRFT`] over a pool."""

    method: AdaRFT
    target: float = value_state(np.nan)  # T, in the difficulties' unit

    @property
    def choice(self) -> int:
        return self.drawn

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        seen = super().outlook(batches, rows)
        return replace(seen, acts_at=2, event="new target", remedy="train for more steps")

    def _sort(self, hardness: FloatArray) -> None:
        self._order = np.argsort(hardness, kind="stable").astype(np.int32)  # rows, the easiest first
        self._sorted = hardness[self._order]
        low, high = self._sorted[[0, -1]]
        target = low + self.method.start * (high - low) if np.isnan(self.target) else self.target
        self.target = float(np.clip(target, low, high))

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        passes, left = divmod(n, self.pool.size)
        place = np.concatenate([*[np.arange(self.pool.size)] * passes, self._nearest(left)])
        row = self._order[place].astype(np.int64)
        return row, self.pool.arm[row], np.full(n, np.nan)

    def _nearest(self, n: int) -> IntArray:
        """Places of the `n` rows nearest the target, in O(n + log N) where few rows are equally difficult."""
        if n == 0:
            return np.empty(0, np.int64)
        d, target = self._sorted, self.target
        low, high = 0, len(d) - n
        while low < high:  # the first window that no row after it could improve
            middle = (low + high) // 2
            low, high = (middle + 1, high) if target - d[middle] > d[middle + n] - target else (low, middle)
        window = np.arange(low, low + n)
        farthest = np.abs(d[window[[0, -1]]] - target).max()
        ends = d[[low, low + n - 1, min(low + n, len(d) - 1)]]  # behind the window there may be rows as near
        edges = np.unique(ends[np.abs(ends - target) == farthest])
        ranges = [(np.searchsorted(d, edge, "left"), np.searchsorted(d, edge, "right")) for edge in edges]
        sure = window[np.abs(d[window] - target) < farthest]
        length = np.array([end - begin for begin, end in ranges])
        chosen = self.rng.choice(int(length.sum()), n - len(sure), replace=False)
        within = np.searchsorted(np.cumsum(length), chosen, side="right")  # which of the edges
        before = np.cumsum(length) - length
        at_edge = np.array([begin for begin, _ in ranges])[within] + chosen - before[within]
        return np.concatenate([sure, at_edge])

    def observe(self, feedback: Feedback) -> None:
        reward = feedback.outcome(self.method.outcome)
        reward = reward[np.isfinite(reward)]
        if len(reward) == 0 or self.hardness is None:
            return
        method, (low, high) = self.method, self._sorted[[0, -1]]
        move = method.eta * (high - low) * np.tanh(method.alpha * (reward.mean() - method.beta))
        self.target = float(np.clip(self.target + move, low, high))

    def metrics(self) -> dict[str, float]:
        return {} if np.isnan(self.target) else {"target": self.target}

    def _loaded(self, mapping: PoolMapping | None) -> None:
        known = self.hardness is not None
        if known != np.isfinite(self.target) or (known and not self._sorted[0] <= self.target <= self._sorted[-1]):
            raise self.damaged("target")
