"""Estimator × utility × selector over arms: the part that all bandit curricula share."""

from typing import Any, Literal

from ..pool import Pool
from ..signals import SIGNALS, Feedback, FloatArray, IntArray
from .base import Carried, Curriculum
from .parts.buckets import SuccessBuckets
from .parts.estimators import Belief, Estimator
from .parts.queues import Queues
from .parts.selectors import Boltzmann, draw_arms, entropy
from .parts.utilities import Utility


MAX_LOGGED_ARMS = 64


class ArmCurriculum(Curriculum):
    """
    Draws an arm for each slot of the batch from `selector(utility(estimator))`, then a row of that arm.

    Args:
        pool ([`Pool`]):
            Rows to choose from.
        estimator ([`Estimator`]):
            Keeps a belief per arm.
        utility ([`Utility`]):
            Says what a belief is worth.
        selector ([`Boltzmann`]):
            Turns worth into probabilities.
        learn_from (`str`, *optional*, defaults to `"advantage"`):
            Signal of a rollout, see [`Feedback.signal`].
        prior (`str`, *optional*):
            What equal worth means: `"uniform"` over arms, the default where arms are given, or `"prevalence"`, in
            proportion to the arms' rows, the default where they are estimated: a bucket may hold a handful of rows,
            which would otherwise be drawn over and over.
        replacement (`bool`, *optional*, defaults to `False`):
            Whether rows of an arm are drawn with replacement; without, an arm is used up before a row comes again.
        success_bins (`int`, *optional*, defaults to `0`):
            Estimate the arms from running success rates, in this many buckets; 0 takes the pool's arms.
        rebucket_every (`int`, *optional*, defaults to `5`):
            Batches between two regroupings of estimated arms.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.
    """

    probabilistic = True

    def __init__(
        self,
        pool: Pool,
        *,
        estimator: Estimator,
        utility: Utility,
        selector: Boltzmann,
        learn_from: str = "advantage",
        prior: Literal["uniform", "prevalence"] | None = None,
        replacement: bool = False,
        success_bins: int = 0,
        rebucket_every: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(pool, seed)
        if learn_from not in SIGNALS:
            raise ValueError(f"Unknown signal {learn_from!r}; choose one of {', '.join(SIGNALS)}.")
        if prior not in ("uniform", "prevalence", None):
            raise ValueError(f"prior={prior!r} is neither 'uniform' nor 'prevalence'.")
        if success_bins < 0 or success_bins == 1 or rebucket_every < 1:
            raise ValueError(
                f"success_bins={success_bins} and rebucket_every={rebucket_every}: estimated arms need at least 2 "
                "buckets (0 switches them off) and at least one batch between regroupings."
            )
        if success_bins and pool.n_arms > 1:
            raise ValueError(
                f"success_bins={success_bins} estimates the arms, but the pool already has {pool.n_arms}; "
                "drop arm_column or success_bins."
            )
        self.learn_from, self.prior, self.replacement = learn_from, prior, replacement
        self.success_bins, self.rebucket_every = success_bins, rebucket_every
        self.replaces = replacement or success_bins > 0  # regrouped rows can come again
        self.buckets = SuccessBuckets(pool.size, success_bins, rebucket_every, self.rng) if success_bins else None
        self._queues = Queues(pool.arm, pool.n_arms, self.rng) if not success_bins else None
        self.estimator, self.utility, self.selector = estimator, utility, selector
        self.estimator.start(len(self.arm_names))

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        signal = "advantage" if self.learn_from == "advantage" else "reward"
        return (signal, "reward") if self.buckets is not None else (signal,)

    @property
    def arm_names(self) -> tuple[str, ...]:
        return self.buckets.names if self.buckets is not None else self.pool.arm_names

    @property
    def queues(self) -> Queues:
        """The rows of each arm, in the order in which they will be drawn."""
        return self.buckets.queues if self.buckets is not None else self._queues  # type: ignore[return-value]

    def arm_of(self, row: IntArray) -> IntArray:
        """Arm of each row now."""
        return (self.buckets.arm if self.buckets is not None else self.pool.arm)[row]

    def belief(self) -> Belief:
        """What is believed of each arm."""
        return self.estimator.belief

    def probabilities(self) -> FloatArray:
        """Probability that a slot of the next batch goes to each arm, shape `(n_arms,)`."""
        size = self.queues.size
        by_rows = self.prior == "prevalence" or (self.prior is None and self.buckets is not None)
        prior = size / size.sum() if by_rows else (size > 0).astype(float)
        return self.selector(self.utility(self.belief()), prior)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        p = self.probabilities()
        arm = draw_arms(self.rng, p, n)
        queues = self.queues
        row: IntArray
        if self.replacement:
            row = queues.order[queues.start[arm] + self.rng.integers(queues.size[arm])]
        else:
            row = queues.pop(arm)
        return row, arm, p[arm] / queues.size[arm]

    def observe(self, feedback: Feedback) -> None:
        self.estimator.update(self.arm_of(feedback.row), feedback.signal(self.learn_from))
        if self.buckets is not None:
            self.buckets.observe(feedback)

    def metrics(self) -> dict[str, float]:
        p, mean = self.probabilities(), self.belief().mean
        values: dict[str, float] = {"distribution_entropy": entropy(p)}
        if len(p) <= MAX_LOGGED_ARMS:
            for k, name in enumerate(self.arm_names):
                values[f"probability/{name}"] = float(p[k])
                values[f"value/{name}"] = float(mean[k])
        return values

    def _state(self) -> dict[str, Any]:
        rows = self.buckets if self.buckets is not None else self.queues
        return {"estimator": self.estimator.state_dict(), "rows": rows.state_dict()}

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        rows = self.buckets if self.buckets is not None else self.queues
        rows.load_state_dict(state["rows"], carried)
        # Estimated arms stay what they were on another pool: only labelled arms can come and go.
        self.estimator.load_state_dict(state["estimator"], carried if self.buckets is None else None)
