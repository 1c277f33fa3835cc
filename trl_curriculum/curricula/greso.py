import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..records import row_state, value_state
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .outlook import Outlook
from .parts.queues import OneQueue
from .successes import BY_SUCCESS, Shown, SuccessCurriculum, SuccessMethod


LONGEST = 500  # visits in a row that are counted: .99^500 is below the least probability
LEAST = 0.01  # of a row to be kept (the paper's code)
STEP, RANGE = 0.01, (0.05, 0.95)  # by which q moves, and its limits (the paper's code)


@CURRICULA.add("greso", paper="arXiv 2506.02177", signal="visits in a row in which all rewards were equal")
@dataclass(frozen=True)
class GRESO(SuccessMethod):
    r"""
    GRESO: rows come in turn, and one whose last visits all showed equal rewards is skipped, mostly.

    A row that comes is skipped with probability

    $$ 1 - \max(q^c, .01), $$

    where c counts its last visits without a difference between the rewards, all right ones or all wrong ones, and q is
    `easy` for the former and `hard` for the latter. One mixed visit lets c start over. A row's probability is its
    share of max(q^c, .01) in the long run: within a turn it comes at most once.

    With a `target`, q moves by .01 after each batch of the second pass and later, within [.05, .95]: down, where easy
    groups are a third of the target or more of all, hard ones two thirds, and up, where they are fewer.

    Equal rewards are right where they are above 1/2. Its code goes by their mean, right from .98 on and wrong up to
    .11, which one right answer of ten or more stays below; and hard ones are to q only groups that all earn .1. A
    group of which a single rollout has a reward shows neither, and is no visit. Adaptive batch sizes are left out.

    It skips what is learned and what is out of reach, and orders nothing else: use it where zero-variance groups are
    the waste. Not in a run of one pass or less: nothing is skipped before a row comes again.

    Source: Zheng et al. 2025, arXiv 2506.02177, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import GRESO
    >>> greso = GRESO().bind(Pool(2))
    >>> greso.observe(Feedback(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 0, np.array([0.0, 0.0, 1.0, 0.0])))
    >>> greso.probabilities().round(2).tolist()  # of .5 and 1
    [0.33, 0.67]

    ```
    """

    easy: float = option(
        0.75,
        "q of rows whose rewards were all right.",
        "its code's default (its scripts begin at .5)",
        least=0,
        most=0.99,
    )
    hard: float = option(0.5, "q of rows whose rewards were all wrong.", "its code's", least=0, most=0.99)
    target: float | None = option(
        None,
        "Share of groups with equal rewards that q moves towards; default: q stays.",
        "ours (the paper: .25)",
        least=0,
        most=1,
    )


class GRESOCurriculum(SuccessCurriculum, of=GRESO):
    """[`GRESO`] over a pool."""

    method: GRESO
    streak: NDArray = row_state(0, np.int16, 0, LONGEST)  # c
    right: NDArray = row_state(0, np.uint8, 0, 1)  # whether more than half of the last visit was right
    easy: float = value_state(0.0, least=0, most=0.99)  # q
    hard: float = value_state(0.0, least=0, most=0.99)

    def __init__(self, method: GRESO, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.easy, self.hard = float(method.easy), float(method.hard)
        self.queue = OneQueue(pool.size, self.rng)
        self._count()

    def _count(self) -> None:
        """Counts the rows of each streak."""
        self._rows = np.bincount(self._place(slice(None)), minlength=2 * LONGEST + 1)
        self._weigh()

    def _place(self, row: IntArray | slice) -> IntArray:
        """Places of rows in a list of all streaks, from the longest hard one over none to the longest easy one."""
        streak = self.streak[row].astype(np.int32)
        return LONGEST + np.where(self.right[row] > 0, streak, -streak)

    def _weigh(self) -> None:
        """What a row of each place is kept with."""
        c = np.arange(LONGEST, 0, -1)
        both = np.concatenate([self.hard**c, [1.0], self.easy ** c[::-1]])
        self._kept = np.maximum(both, LEAST)

    def kept(self, row: IntArray | slice) -> FloatArray:
        """Probability of rows to be kept when they come, shape `(n,)`."""
        return self._kept[self._place(row)]

    @property
    def kept_rows(self) -> float:
        """Mean of that over the pool."""
        return float(self._rows @ self._kept) / self.pool.size

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        acts_at = self.pool.size // rows + 1 if rows else None
        return Outlook(acts_at=acts_at, remedy="train for more than one pass over the rows", event=BY_SUCCESS)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        rate = self.kept_rows
        picked: list[IntArray] = []
        while (missing := n - sum(map(len, picked))) > 0:
            come = self.queue.up_to(math.ceil(1.1 * missing / rate) + 16)
            kept = np.flatnonzero(self.rng.random(len(come)) < self.kept(come))
            if len(kept) >= missing:  # what comes after the last one that is needed was not looked at
                kept = kept[:missing]
                self.queue.give_back(len(come) - 1 - int(kept[-1]))
            picked.append(come[kept])
        row = np.concatenate(picked)
        return row, self.pool.arm[row], self.kept(row) / (rate * self.pool.size)

    def probabilities(self) -> FloatArray:
        kept = self.kept(slice(None))
        return kept / kept.sum()

    def _learn(self, shown: Shown, step: int) -> None:
        visited = shown.trials > 1
        row, right, mixed = shown.row[visited], shown.rate[visited] > 0.5, shown.mixed[visited]
        if len(row) == 0:
            return
        self._rows -= np.bincount(self._place(row), minlength=2 * LONGEST + 1)
        longer = np.where(self.right[row] == right, np.minimum(self.streak[row], LONGEST - 1) + 1, 1)
        self.streak[row], self.right[row] = np.where(mixed, 0, longer), right
        self._rows += np.bincount(self._place(row), minlength=2 * LONGEST + 1)
        if self.method.target is not None and self.drawn > self.pool.size:
            equal = ~mixed
            self.easy = self._moved(self.easy, (equal & right).mean(), self.method.target / 3)
            self.hard = self._moved(self.hard, (equal & ~right).mean(), self.method.target * 2 / 3)
            self._weigh()

    @staticmethod
    def _moved(q: float, share: float, target: float) -> float:
        return float(max(q - STEP, RANGE[0]) if share >= target else min(q + STEP, RANGE[1]))

    def metrics(self) -> dict[str, float]:
        return {"skipped": 1 - self.kept_rows, "keep_easy": self.easy, "keep_hard": self.hard}

    def _loaded(self, mapping: object) -> None:
        self._count()
