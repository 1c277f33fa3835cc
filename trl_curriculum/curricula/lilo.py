import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..records import PoolMapping, row_state, value_state
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA
from .beliefs import BeliefCurriculum, BeliefMethod
from .outlook import Outlook
from .successes import BY_SUCCESS


@CURRICULA.add("lilo", paper="arXiv 2502.12272", signal="p(1 - p) of a row, the largest")
@dataclass(frozen=True)
class LILO(BeliefMethod):
    r"""
    LILO, or sampling for learnability: a part of each batch are rows of the largest p(1 - p), the rest fresh ones.

    The *best* rows are the share `best` of those that were seen with the largest E p(1 - p), and are drawn alike. The
    *fresh* ones are those that were never seen, then those that were not seen for longest, each once. Of a batch,
    `share` are best rows, as far as there are any.

    Both lists are made anew every `every` batches, or when the fresh rows are used up. That looks at the whole pool,
    in O(size): the largest of all cannot be known otherwise. Between two times a batch takes as long in any pool.

    LILO and SFL measure p by rollouts of many candidates that are made for it alone. Here p is what training has shown
    anyway, so that the fresh rows are what finds new ones (ours). A row of p(1 - p) = 0 by chance falls back to what
    is believed of its arm as it ages. Its code takes the variance of the rewards, so that one right of two is better
    than three of eight; here it is the other way round.

    Not for rewards that are random: a coin flip has the largest p(1 - p) that there is, and stays in.

    Source: Foster et al. 2025, arXiv 2502.12272, and a fork of VinePPO by thomfoster; Rutherford et al. 2024, arXiv
    2408.15099.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import LILO
    >>> lilo = LILO(share=1.0, best=0.5, every=1).bind(Pool(2))
    >>> row = np.repeat([0, 1], 4)
    >>> lilo.observe(Feedback(row, row, 0, np.array([1.0, 1, 1, 1, 1, 0, 1, 0])))
    >>> lilo.select(1).row.tolist()
    [1]

    ```
    """

    share: float = option(0.5, "Share of a batch that are best rows.", "its code's", least=0, most=1)
    best: float = option(
        0.25, "Share of the seen rows that are the best ones.", "its code's (.2 to .5)", above=0, most=1
    )
    every: int = option(20, "Batches between two choices of the best rows.", "ours (its code: 5 to 50)", least=1)


class LILOCurriculum(BeliefCurriculum, of=LILO):
    """[`LILO`] over a pool."""

    method: LILO
    is_best: NDArray = row_state(0, np.uint8, 0, 1)
    place: NDArray = row_state(-1, np.int32, -1)  # among the fresh rows; -1: not, or drawn
    made: int = value_state(0, least=0)  # how often the lists were made
    made_at: int = value_state(0, least=0)  # batches

    def __init__(self, method: LILO, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self._list()

    @property
    def choice(self) -> int:
        return self.made

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        every = self.method.every if rows is None else min(self.method.every, max(self.pool.size // rows, 1))
        odd = ("share=0 takes fresh rows alone, each as often, as 'uniform' does",) if self.method.share == 0 else ()
        sooner = f"set every to at most {max((batches or 0) - 1, 1)}"
        return Outlook(acts_at=every + 1, remedy=sooner, event=BY_SUCCESS, odd=odd)

    def _list(self) -> None:
        """Lists the best rows, and the fresh ones in their order."""
        self._best = np.flatnonzero(self.is_best)
        fresh = np.flatnonzero(self.place >= 0)
        self._fresh = fresh[np.argsort(self.place[fresh])]

    def _make(self, n: int) -> None:
        """Chooses the best rows anew, and as many fresh ones as batches of `n` rows need until the next time."""
        seen_at, size = self.belief.seen_at, self.pool.size
        seen = np.flatnonzero(seen_at >= 0)
        self.is_best[:], self.place[:] = 0, -1
        if self.method.share > 0 and len(seen):
            spread = self.belief.expected_spread(seen)
            k = math.ceil(self.method.best * len(seen))
            self.is_best[seen[np.argpartition(-spread, k - 1)[:k]]] = 1
        age = np.where(self.is_best > 0, np.inf, seen_at + self.rng.random(size))  # ties at random
        most = min(n * self.method.every, size - int(self.is_best.sum()))
        if most > 0:
            first = np.argpartition(age, most - 1)[:most]
            first = first[np.argsort(age[first])]
            self.place[first] = np.arange(most)
        self.made, self.made_at = self.made + 1, self.batches
        self._list()

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        if self.made == 0 or self.batches - self.made_at >= self.method.every or len(self._fresh) < n:
            self._make(n)
        picked: list[IntArray] = []
        while (missing := n - sum(map(len, picked))) > 0:
            if picked:  # a batch larger than the pool takes its rows again
                self._make(n)
            picked += self._take(missing)
        row = np.concatenate(picked)
        return row, self.pool.arm[row], np.full(n, np.nan)

    def _take(self, n: int) -> list[IntArray]:
        """`n` rows, none of them twice, or all there are: best ones, then fresh ones, then more of the best."""
        best = min(int(self.method.share * n + self.rng.random()), len(self._best))
        fresh, self._fresh = self._fresh[: n - best], self._fresh[n - best :]
        self.place[fresh] = -1
        best = min(n - len(fresh), len(self._best))
        return [self.rng.choice(self._best, best, replace=False, shuffle=False), fresh]

    def _loaded(self, mapping: PoolMapping | None) -> None:
        self._list()
