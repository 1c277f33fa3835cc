"""Curricula that believe something of the success rate of every row: how it is learned, and candidates in turn."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ..pool import Pool
from ..registry import option
from ..signals import FloatArray, IntArray
from .outlook import Outlook
from .parts.queues import OneQueue
from .parts.success_belief import SuccessBelief
from .successes import BY_SUCCESS, Shown, SuccessCurriculum, SuccessMethod


@dataclass(frozen=True)
class BeliefMethod(SuccessMethod):
    """Draws rows by what it believes of their success rates, see [`SuccessBelief`]."""

    prior: Literal["arm", "flat"] = option(
        "arm",
        "What a row is taken for before it is seen: for one of the seen rows of its arm, or Beta(1, 1).",
        "ours (the papers: flat)",
        kw_only=True,
    )
    keep: float = option(
        0.99,
        "How much of what a row has shown still counts one optimizer step later.",
        "ours (the papers: 1)",
        above=0,
        most=1,
        kw_only=True,
    )

    retain: ClassVar[float] = 1.0  # what is left of it whenever the row is seen again


class BeliefCurriculum(SuccessCurriculum, of=BeliefMethod):
    """A [`BeliefMethod`] over a pool."""

    method: BeliefMethod

    def __init__(self, method: BeliefMethod, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.belief = SuccessBelief(pool.arm, pool.n_arms, method.keep, method.prior == "flat")

    def _learn(self, shown: Shown, step: int) -> None:
        self.belief.observe(shown.row, shown.successes, shown.trials, step, self.method.retain)

    def metrics(self) -> dict[str, float]:
        success, spread = self.belief.of_pool(self.pool.arm_size)
        seen = float((self.belief.seen_at >= 0).mean())
        return {"seen_rows": seen, "believed_success": success, "believed_spread": spread}


@dataclass(frozen=True)
class CandidateMethod(BeliefMethod):
    """
    Looks at a few candidates for each row that it draws, and takes the best of them.

    Candidates come in turn, each row of the pool once before any comes again, so that a draw takes as long in a large
    pool as in a small one. At the end of a turn the few that are left give a proportional part of the batch.
    """

    @property
    def per_draw(self) -> float:
        """Candidates for each row that is drawn, at least 1: then there is no choice."""
        raise NotImplementedError

    @property
    def uniform_by(self) -> str | None:
        """The option by which all rows are drawn alike whatever is seen, such as `"candidates=1"`, or `None`."""
        return None


class CandidateCurriculum(BeliefCurriculum, of=CandidateMethod):
    """A [`CandidateMethod`] over a pool. A method implements `_choose`."""

    method: CandidateMethod

    def __init__(self, method: CandidateMethod, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.queue = OneQueue(pool.size, self.rng)

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        if (uniform := self.method.uniform_by) is not None:
            return Outlook(odd=(f"{uniform} draws all rows alike, as 'uniform' does",))
        acts_at = 2 if self.method.prior == "arm" and self.pool.n_arms > 1 else None
        if acts_at is None and rows:  # rows must come a second time
            looked_at = min(math.ceil(rows * self.method.per_draw), self.pool.size)
            acts_at = max(2, self.pool.size // looked_at + 1)
        return Outlook(acts_at=acts_at, remedy="train for more steps, or on fewer rows", event=BY_SUCCESS)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        picked: list[IntArray] = []
        while (missing := n - sum(map(len, picked))) > 0:
            wanted = min(math.ceil(missing * self.method.per_draw), self.pool.size)
            rows = self.queue.up_to(wanted)
            share = missing if len(rows) == wanted else math.ceil(missing * len(rows) / wanted)
            picked.append(self._choose(rows, min(share, len(rows))))
        row = np.concatenate(picked)
        return row, self.pool.arm[row], np.full(n, np.nan)

    @abstractmethod
    def _choose(self, row: IntArray, n: int) -> IntArray:
        """The best `n` of some distinct rows; fewer where others may not be drawn."""
