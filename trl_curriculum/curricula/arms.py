"""A bandit over arms, put together from an estimator, a utility and a selector."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..pool import Pool
from ..records import PoolMapping
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import MAX_LOGGED_ARMS, Curriculum, CurriculumMethod
from .outlook import Outlook
from .parts.arms import arms_of
from .parts.estimators import Belief, Estimator
from .parts.queues import Queues
from .parts.selectors import Boltzmann, draw_arms, entropy
from .parts.utilities import Utility, identity


@dataclass(frozen=True)
class ArmMethod(CurriculumMethod):
    """
    Draws an arm for each slot of the batch from `selector(utility(estimator))`, then a row of that arm.

    A method implements `parts`. It follows |A|, the absolute advantage, of all rewards or of the one that `outcome`
    names.
    """

    outcome: str | None = option(
        None,
        "Reward function whose advantages are followed; default: the trainer's own, of all rewards.",
        kw_only=True,
    )
    prior: Literal["uniform", "prevalence"] | None = option(
        None,
        "What equal worth means: P ∝ 1 or P ∝ the arm's rows; default: uniform where arms are given, prevalence where "
        "they are estimated.",
        kw_only=True,
    )

    follows = ("advantage",)
    trainers = ("GRPO",)
    replacement = False  # whether rows of an arm are drawn with replacement

    def parts(self) -> tuple[Estimator, Utility, Boltzmann]:
        """What it is made of, made anew."""
        raise NotImplementedError


class ArmCurriculum(Curriculum, of=ArmMethod):
    """An [`ArmMethod`] over a pool: without replacement, an arm is used up before one of its rows comes again."""

    takes_estimated_arms = takes_streams = True
    method: ArmMethod

    def __init__(self, method: ArmMethod, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.arms = arms_of(pool, self.rng)
        self.estimator, self.utility, self.selector = method.parts()
        self.estimator.start(0, len(self.arms.names))

    @property
    def arm_names(self) -> tuple[str, ...]:
        return self.arms.names if hasattr(self, "arms") else self.pool.arm_names

    @property
    def row_arm(self) -> IntArray:
        return self.arms.arm

    @property
    def choice(self) -> int:
        return self.drawn if self.pool.estimated is None else self.arms.regroupings

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        estimated = self.pool.estimated is not None
        return Outlook(
            by_arm=not estimated,
            acts_at=self.arms.first_change,
            remedy=self.arms.remedy(batches),
            tau=self.selector.tau,
            bonus=self.utility is not identity,
        )

    def belief(self) -> Belief:
        """What is believed of each arm."""
        return self.estimator.belief

    def probabilities(self) -> FloatArray:
        """Probability that a slot of the next batch goes to each arm, shape `(n_arms,)`."""
        size = self.arms.queues.size
        by_rows = self.method.prior == "prevalence" or (self.method.prior is None and self.arms.by_rows)
        prior = size / size.sum() if by_rows else (size > 0).astype(float)
        return self.selector(self.utility(self.belief()), prior)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        p = self.probabilities()
        arm = draw_arms(self.rng, p, n)
        queues = self.arms.queues
        row: IntArray
        if self.method.replacement and isinstance(queues, Queues):  # a stream gives its next row
            row = queues.order[queues.start_of[arm] + self.rng.integers(queues.size[arm])]
        else:
            row = queues.pop(arm)
        return row, arm, queues.chance(p, arm)

    def observe(self, feedback: Feedback) -> None:
        self.estimator.update(self.arms.arm[feedback.row], np.abs(feedback.advantages(self.method.outcome)))
        self.arms.observe(feedback)

    def metrics(self) -> dict[str, float]:
        p, mean = self.probabilities(), self.belief().mean
        values: dict[str, float] = {"distribution_entropy": entropy(p)}
        if len(p) <= MAX_LOGGED_ARMS:
            for k, name in enumerate(self.arm_names):
                values[f"probability/{name}"] = float(p[k])
                values[f"value/{name}"] = float(mean[k])
        return values

    def mapping_of(self, part: str, mapping: PoolMapping | None) -> PoolMapping | None:
        # Estimated arms stay what they were on another pool: only given ones can come and go.
        return None if part == "estimator" and self.pool.estimated is not None else mapping
