from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..records import PoolMapping, row_state, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA, Curriculum, CurriculumMethod
from .outlook import Outlook
from .parts.estimators import SlidingWindow
from .parts.row_sampler import RowSampler


ITERATIONS, TOLERANCE = 10, 1e-4  # of the propagation


@CURRICULA.add("wiki_r1", paper="arXiv 2603.05256", signal="success rate of a row, passed on to rows that are alike")
@dataclass(frozen=True)
class WikiR1(CurriculumMethod):
    r"""
    Wiki-R1's sampler: rows that succeed about half of the time, where what one shows holds for its neighbours too.

    Each batch is drawn without a row twice, with

    $$ p_i \propto \exp\left(-\frac{(a_i - 1/2)^2}{2 \sigma^2}\right), $$

    where a is the success rate of a row as far as it was seen. What it is for the others is propagated: with K the
    cosines of the rows' words (TF-IDF) to those of their most similar `neighbours`, each row of K scaled to sum 1, and
    o what was observed,

    $$ a \leftarrow \alpha K a + (1 - \alpha)\, o, $$

    at most 10 times, or until nothing changes by more than 1e-4. For rows that were never seen o is the mean of those
    that were, and 1/2 before any (ours). The model changes, so an observation ages: after `half_life` it counts half,
    and what the neighbours say the other half (ours).

    With `levels` the arms, in their order, are levels: only rows of the current one are drawn, until the mean of the
    last `window` rewards is above `threshold`. In the paper a level is how much of the retrieved text is irrelevant.

    Words are compared in 64 dimensions, as those of `arms: clusters` are. A pool that was made by hand has no words,
    and nothing is propagated. The paper found the sampler without propagation worse than none.

    Not for rows that are alike in their words and not in their difficulty, as `2 + 2` and `871 * 44` are.

    Source: Ning et al. 2026, arXiv 2603.05256, of which summaries were at hand; there for pictures.

    Example:

    ```python
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import WikiR1
    >>> pool = Pool(3, neighbours=csr_matrix([[0, 1, 0], [1, 0, 0], [0, 0, 1]]))
    >>> wiki = WikiR1().bind(pool)
    >>> wiki.observe(Feedback(np.array([0, 2]), np.array([0, 1]), 0, reward=np.array([1.0, 0.0])))
    >>> wiki.beliefs().round(2).tolist()  # row 1 is like row 0
    [1.0, 0.7, 0.0]

    ```
    """

    sigma: float = option(0.2, "σ, of success rates.", least=1e-3, most=1e3)
    alpha: float = option(0.8, "α: how much of a belief comes from the neighbours.", "the paper's", least=0, below=1)
    neighbours: int = option(  # type: ignore[misc]
        100, "How many rows that are most alike are a row's neighbours; 0: none.", "the paper's", least=0, most=10_000
    )
    half_life: float = option(
        1.0, "Draws, in sizes of the pool, after which what a row has shown counts half.", least=1e-3, most=1e6
    )
    levels: bool = option(False, "Whether the arms, in their order, are levels of which one is drawn at a time.")
    window: int = option(300, "Rewards of a level that are looked back at.", "the paper's", least=1, most=10**6)
    threshold: float = option(0.55, "Mean of these above which the next level begins.", "the paper's", least=0, most=1)
    outcome: str | None = option(
        None, "Reward function that says what success is, in [0, 1]; default: the weighted sum.", kw_only=True
    )

    cost = "free; neighbours are looked up once, in time that grows with the square of the pool"
    follows = ("reward",)
    trainers = ("GRPO",)


class WikiR1Curriculum(Curriculum, of=WikiR1):
    """[`WikiR1`] over a pool."""

    method: WikiR1
    success: NDArray = row_state(np.nan, np.float32, 0, 1)
    seen_at: NDArray = row_state(0, np.int64, 0)  # draws
    level: int = value_state(0, least=0)

    def __init__(self, method: WikiR1, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        if method.levels:
            self.rewards = SlidingWindow(method.window)
            self.rewards.start(0, pool.n_arms)

    @property
    def choice(self) -> int:
        return self.drawn

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        levels = self.method.levels
        alone = levels and self.pool.n_arms == 1
        odd = ("levels=true goes from arm to arm, and there is one: give arms",) if alone else ()
        return Outlook(acts_at=2, in_order=levels, event="new belief", remedy="train for more steps", odd=odd)

    def beliefs(self) -> FloatArray:
        """Success rate that is believed of each row, shape `(size,)`."""
        seen = np.isfinite(self.success)
        counts = np.where(seen, self._counts(slice(None)), 0.0)
        own = np.nan_to_num(self.success.astype(float))
        prior = own[seen].mean() if seen.any() else 0.5
        observed = counts * own + (1 - counts) * prior
        believed, similar = observed, self.pool.neighbours
        for _ in range(0 if similar is None else ITERATIONS):
            before = believed
            believed = self.method.alpha * (similar @ before) + (1 - self.method.alpha) * observed
            if np.abs(believed - before).max() <= TOLERANCE:
                break
        return counts * own + (1 - counts) * believed

    def _counts(self, row: IntArray | slice) -> FloatArray:
        """How much an observation of a row still counts."""
        ages = (self.drawn - self.seen_at[row]) / (self.method.half_life * self.pool.size)
        return np.asarray(0.5**ages, float)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        away = (self.beliefs() - 0.5) ** 2 / (2 * self.method.sigma**2)
        inside = self.pool.arm == self.level if self.method.levels else np.ones(self.pool.size, bool)
        sampler = RowSampler(self.pool.size, self.rng, replacement=False)
        sampler.set(np.where(inside, np.exp(away[inside].min() - away), 0.0))
        row = sampler.draw(n)
        return row, self.pool.arm[row], sampler.probability(row)

    def observe(self, feedback: Feedback) -> None:
        success = feedback.success(self.method.outcome)
        row, shown = feedback.per_row(success)
        row, shown = row[np.isfinite(shown)], shown[np.isfinite(shown)]
        before = self.success[row]
        counts = np.where(np.isfinite(before), self._counts(row), 0.0)
        self.success[row] = (counts * np.nan_to_num(before) + shown) / (counts + 1)
        self.seen_at[row] = self.drawn
        if self.method.levels:
            self.rewards.update(self.pool.arm[feedback.row], success)
            full = self.rewards.seen[self.level] >= self.method.window
            if full and self.rewards.mean[self.level] > self.method.threshold and self.level < self.pool.n_arms - 1:
                self.level += 1

    def metrics(self) -> dict[str, float]:
        values = {"observed_rows": float(np.isfinite(self.success).mean()), "belief": float(self.beliefs().mean())}
        return values | ({"level": self.level + 1.0} if self.method.levels else {})

    def load_state_dict(self, state: dict, carry_over: bool = False) -> PoolMapping | None:  # type: ignore[override]
        mapping = super().load_state_dict(state, carry_over)
        if mapping is not None:
            continued = np.flatnonzero(mapping.arm == self.level)
            self.level = int(continued[0]) if len(continued) else 0
        if self.level >= self.pool.n_arms or (self.level and not self.method.levels):
            raise self.damaged("level")
        if (self.seen_at > self.drawn).any():
            raise self.damaged("seen_at")
        return mapping
