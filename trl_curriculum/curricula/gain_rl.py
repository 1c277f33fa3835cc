from dataclasses import dataclass, replace

import numpy as np

from ..pool import Pool
from ..records import PoolMapping, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA
from .difficulty import DifficultyCurriculum, DifficultyMethod
from .outlook import Outlook
from .parts.row_history import percentile_rank
from .parts.row_sampler import RowSampler


@CURRICULA.add("gain_rl", paper="arXiv 2506.02281", signal="mean success, which moves a window over a static ranking")
@dataclass(frozen=True)
class GAINRL(DifficultyMethod):
    r"""
    GAIN-RL: a Gaussian window over a static ranking of the rows, whose centre moves on as the model succeeds.

    Rows are ranked from the easiest, k = 0, on; rows of equal difficulty share their mean rank. A subset is drawn
    without a row twice, with

    $$ p_k \propto \exp\left(-\frac{(k - \mu)^2}{2 s^2}\right), \quad \mu_0 = 0, $$

    and trained on in the order of the draws; then the centre moves by the mean success of its rollouts,

    $$ \mu \leftarrow \min\big(N - 1,\; \mu + \max(0,\; n \tanh(\alpha (\text{success} - \beta)))\big), $$

    and the next subset is drawn: the window never goes back, and it stays where half of the rollouts fail. Ranks are
    counted in rows, as in the paper: for a pool of a few hundred rows a `width` of 1000 is no window at all.

    The paper ranks by the angle concentration of the prompts' hidden states, the largest first, which
    `trl-curriculum score` measures (`probe: angle_concentration`) and `difficulty_from` reads; any difficulty will do.
    **Its second signal is left out**: it also moves the centre by n tanh(α · angle concentration) of the subset while
    it is trained on, which here no trainer shows, so that the centre moves by success alone, and less far. Its code
    takes half of the success, since in one of its trainers a right answer earns 2; where it earns 1, the term never
    moves the centre. Limiting μ to the last rank is ours.

    Source: Wang et al. 2025, arXiv 2506.02281, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import GAINRL
    >>> gain = GAINRL(width=2, step=10, subset=4).bind(Pool(100, difficulty=np.arange(100)))
    >>> draw = gain.select(4)
    >>> int(draw.row.max()) < 10
    True
    >>> gain.observe(Feedback(draw.row, draw.id, 0, reward=np.array([1.0, 1.0, 1.0, 0.0])))
    >>> draw = gain.select(1)
    >>> round(gain.centre, 2)  # 10 tanh(2 * (.75 - .5))
    4.62

    ```
    """

    step: float = option(500.0, "n, in ranks.", "the paper's", above=0, most=1e9)
    alpha: float = option(2.0, "α: how soon a success rate is far from β.", "the paper's", above=0, most=1e6)
    beta: float = option(0.5, "β: success rate up to which the centre stays.", "the paper's", least=0, most=1)
    width: float = option(1000.0, "s, in ranks.", "the paper's code", least=1e-3)
    subset: int = option(1024, "Rows of a subset.", "the paper's code in verl (in TRL: 256)", least=1)
    outcome: str | None = option(
        None, "Reward function that says what success is, in [0, 1]; default: the weighted sum.", kw_only=True
    )

    follows = ("reward",)
    trainers = ("GRPO",)


class GAINRLCurriculum(DifficultyCurriculum, of=GAINRL):
    """[`GAINRL`] over a pool."""

    method: GAINRL
    centre: float = value_state(0.0, least=0)  # μ
    subsets: int = value_state(0, least=0)  # begun
    began_at: int = value_state(0, least=0)  # draws
    success_sum: float = value_state(0.0, least=0)  # of the subset's rollouts
    success_count: int = value_state(0, least=0)

    def __init__(self, method: GAINRL, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.sampler = RowSampler(pool.size, self.rng, replacement=False)
        self.subset = min(method.subset, pool.size)

    @property
    def choice(self) -> int:
        return self.subsets

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        seen, size, width = super().outlook(batches, rows), self.pool.size, self.method.width
        every = None if rows is None else -(-self.subset // rows)
        events = () if batches is None or every is None else tuple(range(1, batches + 1, every)[:1000])
        most = ((batches or 0) - 1) * (rows or 0)
        wide = f"width={width:g} ranks is more than the pool's {size:,}, so that all rows are drawn nearly alike"
        return replace(
            seen,
            acts_at=None if every is None else every + 1,
            remedy=f"set subset to at most {most}" if most > 0 else "train for more steps",
            event="subset",
            events=events,
            odd=seen.odd + ((wide,) if width > size else ()),
        )

    def _sort(self, hardness: FloatArray) -> None:
        self._rank = percentile_rank(hardness) * self.pool.size - 0.5

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        if self.subsets == 0 or self.drawn - self.began_at >= self.subset:
            self._next_subset()
        row = self.sampler.draw(n)
        return row, self.pool.arm[row], self.sampler.probability(row)

    def _next_subset(self) -> None:
        method = self.method
        if self.success_count:
            success = self.success_sum / self.success_count
            move = method.step * np.tanh(method.alpha * (success - method.beta))
            self.centre = float(min(self.centre + max(move, 0.0), self.pool.size - 1))
        self.success_sum, self.success_count = 0.0, 0
        self.subsets, self.began_at = self.subsets + 1, self.drawn
        self._aim()

    def _aim(self) -> None:
        away = ((self._rank.astype(float) - self.centre) / self.method.width) ** 2 / 2
        self.sampler.set(np.exp(away.min() - away))

    def observe(self, feedback: Feedback) -> None:
        success = feedback.success(self.method.outcome)
        seen = success[np.isfinite(success)]
        self.success_sum += float(seen.sum())
        self.success_count += len(seen)

    def metrics(self) -> dict[str, float]:
        return {"centre": self.centre, "subset": float(self.subsets)}

    def _loaded(self, mapping: PoolMapping | None) -> None:
        if self.began_at > self.drawn:
            raise self.damaged("began_at")
        if mapping is None and self.centre > self.pool.size - 1:
            raise self.damaged("centre")
        if mapping is not None and self.subsets and self.hardness is not None:
            self.centre = min(self.centre, float(self.pool.size - 1))
            self._aim()  # at the ranks of now, of which none is drawn yet
