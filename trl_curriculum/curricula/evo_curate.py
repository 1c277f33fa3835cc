from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..records import value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA
from .outlook import Outlook
from .parts.row_history import RowHistory, percentile_rank
from .parts.selectors import MaxEntropy
from .rows import RowCurriculum, RowMethod


FLOOR = 0.05  # ε
VARIABILITY: dict[str, Callable[[RowHistory], NDArray | None]] = {
    "none": lambda rank: None,
    "std": lambda rank: rank.std(),
    "std_after_first": lambda rank: rank.std(skip_first=True),
    "progress": lambda rank: rank.progress(),
}


@CURRICULA.add(
    "evo_curate",
    paper="ACL 2026 long.505",
    signal="percentile rank of the loss (and, by option, its history)",
)
@dataclass(frozen=True)
class EVOCurate(RowMethod):
    r"""
    EVO-Curate: difficulty and its history make a utility, from which a scheduler of largest entropy samples.

    At refresh e, with d the percentile rank of a row's loss among the pool's (*instantaneous difficulty*) and v the
    percentile rank of how much d has varied (*historical variability*),

    $$ m = \exp\left(-\frac{(d - c_e)^2}{2 h^2}\right), \quad U = m^{a} v^{1 - a}, \quad
    p = \operatorname{softmax}(U / \tau) \;\text{with}\; e^{H(p)} = \kappa_e N, \quad
    p \leftarrow (1 - \varepsilon) p + \varepsilon / N. $$

    The capacity c_e = clip(1 - mean loss now / mean loss at first, .1, .75) says how hard the rows are that the model
    is ready for; kappa_e = 1 - (1 - kappa) c_e narrows the distribution as it grows; a = max(1/2, 1/(1 + e)); ε = .05.
    As d and v are ranks, no monotone map of the loss changes them, and its unit does not change c; ranks taken at
    different times are comparable where losses, which fall, are not. A row that was never seen is worth what the seen
    ones are worth on average; a row keeps its rank until it is seen again.

    **The default is not the paper's method**: the abstract has two signals, and the default leaves the second one, v,
    out. `variability="std"` has both, and is what a run under the paper's name has to set, as the recipes do. The
    paper's constants are not public: every formula and constant here is ours, built on its abstract.

    Source: Zhang & Liu, ACL 2026 (long.505), of which only the abstract was at hand.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import EVOCurate
    >>> evo = EVOCurate(measure="probe", kappa=0.5).bind(Pool(4))
    >>> evo.observe_probe(evo.rows_to_probe(), np.array([0.1, 0.2, 3.0, 4.0]))
    >>> int(evo.probabilities().argmax())  # at first the easiest
    0

    ```
    """

    variability: Literal["none", "std", "std_after_first", "progress"] = option(
        "none",
        "v: the standard deviation of a row's ranks (`std`), the same without its first (`std_after_first`), how far "
        "its rank has just fallen (`progress`), or no v.",
    )
    width: float = option(0.25, "h, in units of d, which goes from 0 to 1.", least=1e-3, most=1e3)
    kappa: float = option(
        0.5,
        "Effective sample size at full capacity, as a share of the rows; 1 is exactly uniform.",
        above=0,
        most=1,
    )
    diversity: float = option(
        0.0, "Weight of the entropy over clusters, which are the pool's arms; see MaxEntropy.", least=0
    )
    probe_share: float = option(  # type: ignore[misc]
        1.0, "Share of the pool that a probe measures; the other rows keep their ranks.", above=0, most=1
    )
    refresh_steps: int | None = option(
        None,
        "Optimizer steps between two refreshes; default: with probes, as many as draw as many rows as the pool has; "
        "with free losses 640 rows, or 1 % of the pool if that is more, but no more than the pool has.",
        least=1,
        kw_only=True,
    )

    replacement: bool = option(True, "Whether a row can come again between two refreshes.")  # type: ignore[misc]

    def draws_per_refresh(self, now: RowCurriculum) -> int:
        size = now.pool.size
        return size if self.measure == "probe" else min(size, max(640, size // 100))

    @property
    def uniform_by(self) -> str | None:
        return "kappa=1" if self.kappa == 1 else None

    def weights(self, now: RowCurriculum, row: IntArray, loss: FloatArray, inclusion_weight: FloatArray) -> FloatArray:
        assert isinstance(now, EVOCurateCurriculum)
        now.rank.update(row, percentile_rank(loss, inclusion_weight))
        now.mean_loss = float(np.average(loss, weights=inclusion_weight))
        if np.isnan(now.first_loss):
            now.first_loss = now.mean_loss
        left = now.mean_loss / now.first_loss if now.first_loss > 0 else 0.0  # 0: nothing is left to learn
        now.capacity = float(np.clip(1 - left, 0.1, 0.75))
        now.match_weight = max(0.5, 1 / (1 + now.refreshes))
        ess = 1 - (1 - self.kappa) * now.capacity
        select = MaxEntropy(ess, FLOOR, self.diversity)
        return select(self.utility(now), now.pool.arm if self.diversity else None)

    def utility(self, now: "EVOCurateCurriculum") -> NDArray:
        """Utility U of each row, shape `(size,)`."""
        match: NDArray = now.rank.last - np.float32(
            now.capacity
        )  # in place from here on: one array of the pool's size
        match *= match
        match *= -1 / (2 * self.width**2)
        np.exp(match, out=match)
        history = VARIABILITY[self.variability](now.rank)
        if history is not None:
            known = np.isfinite(history)
            v = np.where(np.isfinite(match), np.float32(0.5), np.float32(np.nan))
            if known.any():
                v[known] = percentile_rank(history[known])
            match = match**now.match_weight * v ** (1 - now.match_weight)
        unseen = np.isnan(match)
        match[unseen] = match.mean(where=~unseen, dtype=np.float64)
        return match


class EVOCurateCurriculum(RowCurriculum, of=EVOCurate):
    """[`EVOCurate`] over a pool: it also remembers the ranks."""

    method: EVOCurate
    first_loss: float = value_state(np.nan)
    mean_loss: float = value_state(np.nan)
    capacity: float = value_state(np.nan)  # c
    match_weight: float = value_state(1.0)  # a

    def __init__(self, method: EVOCurate, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.rank = RowHistory(pool.size)

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        seen, weight = super().outlook(batches, rows), self.method.diversity
        alone = bool(weight) and self.pool.n_arms == 1
        odd = (f"diversity={weight:g} spreads draws over arms, and there is one: give arms",) if alone else ()
        return replace(seen, odd=seen.odd + odd)

    def observe(self, feedback: Feedback) -> None:
        super().observe(feedback)
        if self.method.measure == "free" and np.isnan(self.first_loss) and feedback.loss is not None:
            seen = feedback.loss[np.isfinite(feedback.loss)]
            if len(seen):  # the first batch is a random sample, and its losses are those before any training
                self.first_loss = float(seen.mean())

    def metrics(self) -> dict[str, float]:
        values = super().metrics()
        if np.isfinite(self.capacity):
            values |= {"capacity": self.capacity, "pool_loss": self.mean_loss}
        return values
