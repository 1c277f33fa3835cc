from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..signals import Feedback, FloatArray, IntArray
from .base import Carried
from .parts.row_history import RowHistory, percentile_rank
from .parts.selectors import MaxEntropy
from .rows import Measure, RowCurriculum


class EVOCurate(RowCurriculum):
    r"""
    EVO-Curate: difficulty and its history make a utility, from which a scheduler of largest entropy samples.

    At refresh e, with d the percentile rank of a row's loss among the pool's (*instantaneous difficulty*) and v the
    percentile rank of how much d has varied (*historical variability*),

    $$ m = \exp\left(-\frac{(d - c_e)^2}{2 h^2}\right), \quad U = m^{a} v^{1 - a}, \quad
    p = \operatorname{softmax}(U / \tau) \;\text{with}\; e^{H(p)} = \kappa_e N, \quad
    p \leftarrow (1 - \varepsilon) p + \varepsilon / N. $$

    The capacity c_e = clip(1 - mean loss now / mean loss at first, .1, .75) says how hard the rows are that the model
    is ready for; kappa_e = 1 - (1 - kappa) c_e narrows the distribution as it grows; a = max(1/2, 1/(1 + e)).
    As d and v are ranks, no monotone map of the loss changes them, and its unit does not change c; ranks taken at
    different times are comparable where losses, which fall, are not. A row that was never seen is worth what the seen
    ones are worth on average; a row keeps its rank until it is seen again.

    The paper's constants are not public: every formula and constant here is ours, built on its abstract.

    Args:
        pool ([`Pool`]):
            Rows; its arms are only reported, except with `diversity`.
        measure (`str`, *optional*, defaults to `"free"`):
            `"free"`: losses that training shows anyway; `"probe"`: a forward over the pool at every refresh.
        variability (`str`, *optional*, defaults to `"none"`):
            v from the standard deviation of a row's ranks (`"std"`, closest to the abstract), the same without its
            first (`"std_after_first"`), how far its rank has just fallen (`"progress"`), or no v (`"none"`).
        fusion (`str`, *optional*, defaults to `"geometric"`):
            How m and v make a utility: `"geometric"`; `"additive"`: a m + (1 - a) v; `"rank"`: reciprocal rank fusion
            1 / (60 + rank of m) + 1 / (60 + rank of v), after the same authors' POCL and SRD code.
        capacity (`str`, *optional*, defaults to `"loss"`):
            c from the `"loss"`, or from the `"schedule"` sqrt(t (1 - .01) + .01), t = share of training done
            (Platanios et al. 2019), with the same limits.
        width (`float`, *optional*, defaults to `0.25`):
            h, in units of d, which goes from 0 to 1.
        kappa (`float`, *optional*, defaults to `0.5`):
            Effective sample size at full capacity, as a share of the rows; 1 is exactly uniform.
        floor (`float`, *optional*, defaults to `0.05`):
            Share ε of the draws that is uniform.
        diversity (`float`, *optional*, defaults to `0.0`):
            Weight of the entropy over clusters, which are the pool's arms; see [`MaxEntropy`].
        refresh_steps (`int`, *optional*):
            Optimizer steps between two refreshes; default: with probes, as many as draw as many rows as the pool has;
            with free losses 640 rows, or 1 % of the pool if that is more, but no more than the pool has.
        probe_share (`float`, *optional*, defaults to `1.0`):
            Share of the pool that a probe measures; the other rows keep their ranks.
        replacement (`bool`, *optional*, defaults to `True`):
            Whether a row can come again between two refreshes.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Source: Zhang & Liu, ACL 2026 (long.505), of which only the abstract was at hand.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import EVOCurate
    >>> evo = EVOCurate(Pool(4), measure="probe", kappa=0.5)
    >>> evo.observe_probe(evo.rows_to_probe(), np.array([0.1, 0.2, 3.0, 4.0]))
    >>> int(evo.probabilities().argmax())  # at first the easiest
    0

    ```
    """

    name = "evo_curate"
    signal = "percentile rank of the loss (and, by option, its history)"
    cost = "none, or a forward over the pool at each refresh"
    paper = "ACL 2026 long.505"
    has_floor = True

    def __init__(
        self,
        pool: Pool,
        measure: Measure = "free",
        variability: Literal["none", "std", "std_after_first", "progress"] = "none",
        fusion: Literal["geometric", "additive", "rank"] = "geometric",
        capacity: Literal["loss", "schedule"] = "loss",
        width: float = 0.25,
        kappa: float = 0.5,
        floor: float = 0.05,
        diversity: float = 0.0,
        refresh_steps: int | None = None,
        probe_share: float = 1.0,
        replacement: bool = True,
        seed: int = 0,
    ) -> None:
        if variability not in VARIABILITY:
            raise ValueError(f"variability={variability!r} is none of {', '.join(VARIABILITY)}.")
        if fusion not in FUSION:
            raise ValueError(f"fusion={fusion!r} is none of {', '.join(FUSION)}.")
        if fusion != "geometric" and variability == "none":
            raise ValueError(f"fusion={fusion!r} has no effect with variability='none': there is nothing to fuse.")
        if capacity not in ("loss", "schedule"):
            raise ValueError(f"capacity={capacity!r} is neither 'loss' nor 'schedule'.")
        if not width > 0:
            raise ValueError(f"width={width} is not a share of the ranks above 0.")
        self.variability, self.fusion, self.capacity, self.width = variability, fusion, capacity, width
        self.kappa, self.floor, self.diversity = kappa, floor, diversity
        MaxEntropy(kappa, floor, diversity)  # refuses what is out of range now, not at the first refresh
        super().__init__(
            pool,
            measure=measure,
            refresh_steps=refresh_steps,
            probe_share=probe_share,
            replacement=replacement,
            seed=seed,
        )
        self.rank = RowHistory(pool.size)
        self.first_loss = self.mean_loss = np.nan
        self.ready_for = np.nan  # c
        self.match_weight = 1.0  # a

    def _draws_per_refresh(self) -> int:
        return self.pool.size if self.measure == "probe" else min(self.pool.size, max(640, self.pool.size // 100))

    def observe(self, feedback: Feedback) -> None:
        super().observe(feedback)
        if self.measure == "free" and np.isnan(self.first_loss) and feedback.loss is not None:
            seen = feedback.loss[np.isfinite(feedback.loss)]
            if len(seen):  # the first batch is a random sample, and its losses are those before any training
                self.first_loss = float(seen.mean())

    def _weights(self, row: IntArray, loss: FloatArray, stands_for: FloatArray) -> FloatArray:
        self.rank.update(row, percentile_rank(loss, stands_for))
        self.mean_loss = float(np.average(loss, weights=stands_for))
        if np.isnan(self.first_loss):
            self.first_loss = self.mean_loss
        self.ready_for = self._capacity()
        self.match_weight = max(0.5, 1 / (1 + self.refreshes))
        ess = 1 - (1 - self.kappa) * self.ready_for
        select = MaxEntropy(ess, self.floor, self.diversity)
        return select(self.utility(), self.pool.arm if self.diversity else None)

    def _capacity(self) -> float:
        if self.capacity == "schedule":
            return float(np.clip(np.sqrt(self.progress * 0.99 + 0.01), 0.1, 0.75))
        left = self.mean_loss / self.first_loss if self.first_loss > 0 else 0.0  # 0: nothing is left to learn
        return float(np.clip(1 - left, 0.1, 0.75))

    def utility(self) -> NDArray[np.float32]:
        """Utility U of each row, shape `(size,)`."""
        match = self.rank.last - np.float32(self.ready_for)  # in place from here on: one array of the pool's size
        match *= match
        match *= -1 / (2 * self.width**2)
        np.exp(match, out=match)
        history = VARIABILITY[self.variability](self.rank)
        if history is not None:
            known = np.isfinite(history)
            v = np.where(np.isfinite(match), np.float32(0.5), np.float32(np.nan))
            if known.any():
                v[known] = percentile_rank(history[known])
            match = FUSION[self.fusion](match, v, self.match_weight)
        unseen = np.isnan(match)
        match[unseen] = match.mean(where=~unseen, dtype=np.float64)
        return match

    def metrics(self) -> dict[str, float]:
        values = super().metrics()
        if np.isfinite(self.ready_for):
            values |= {"capacity": self.ready_for, "pool_loss": self.mean_loss}
        return values

    def _state(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in NUMBERS}
        return super()._state() | {"rank": self.rank.state_dict(), **own}

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        super()._load(state, carried)
        self.rank.load_state_dict(state["rank"], carried)
        for name in NUMBERS:
            setattr(self, name, state[name])


NUMBERS = ("first_loss", "mean_loss", "ready_for", "match_weight")

VARIABILITY = {
    "none": lambda rank: None,
    "std": lambda rank: rank.std(),
    "std_after_first": lambda rank: rank.std(skip_first=True),
    "progress": lambda rank: rank.progress(),
}


def _by_rank(match: NDArray, v: NDArray, a: float) -> NDArray:
    n = np.isfinite(match).sum()
    return sum(1 / (60 + (1 - _rank_of_known(part)) * n) for part in (match, v))  # rank 1 is the best


def _rank_of_known(value: NDArray) -> NDArray:
    rank = np.full(len(value), np.nan, np.float32)
    known = np.isfinite(value)
    rank[known] = percentile_rank(value[known])
    return rank


FUSION = {
    "geometric": lambda match, v, a: match**a * v ** (1 - a),
    "additive": lambda match, v, a: a * match + (1 - a) * v,
    "rank": _by_rank,
}
