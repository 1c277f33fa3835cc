"""Curricula that follow the success of every row: what is common to all of them."""

import logging
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from ..records import value_state
from ..registry import option
from ..signals import BoolArray, Feedback, FloatArray, IntArray
from .base import Curriculum, CurriculumMethod


logger = logging.getLogger(__name__)

BY_SUCCESS = "choice by success"  # what happens first in the outlook of a method
DRY = 50  # batches without a group whose rewards differ, after which it is said
SAME = 1e-12  # variance of rewards that count as equal


@dataclass(frozen=True)
class Shown:
    """
    What the rows of a batch showed of their success, one entry per row with a reward.

    Args:
        row (`IntArray`, shape `(n,)`):
            Distinct rows.
        successes (`FloatArray`, shape `(n,)`):
            Sum of the rewards of each; a reward between 0 and 1 is a part of a success.
        trials (`FloatArray`, shape `(n,)`):
            Its rollouts with a reward.
        mixed (`BoolArray`, shape `(n,)`):
            Whether its rewards differ.
    """

    row: IntArray
    successes: FloatArray
    trials: FloatArray
    mixed: BoolArray

    @property
    def rate(self) -> FloatArray:
        """Success rate of each row in this batch."""
        return self.successes / self.trials

    @classmethod
    def of(cls, feedback: Feedback, outcome: str | None = None) -> "Shown":
        """What a batch showed; `outcome` names the reward function that says what success is."""
        reward = feedback.success(outcome)
        row, place = np.unique(feedback.row, return_inverse=True)
        seen = np.isfinite(reward)
        place, reward = place[seen], reward[seen]
        trials = np.bincount(place, minlength=len(row)).astype(float)
        successes = np.bincount(place, reward, len(row)).astype(float)
        squares = np.bincount(place, reward**2, len(row)).astype(float)
        scored = trials > 0
        row, trials, successes, squares = row[scored], trials[scored], successes[scored], squares[scored]
        return cls(row, successes, trials, squares / trials - (successes / trials) ** 2 > SAME)


@dataclass(frozen=True)
class SuccessMethod(CurriculumMethod):
    """
    Draws rows by how often each has succeeded; arms are reported, and some methods share what they know within them.

    Success is a reward in [0, 1], of all reward functions together or of the one that `outcome` names. A rollout
    without a reward was not observed: it is neither a success nor a failure.
    """

    outcome: str | None = option(
        None,
        "Reward function that says what success is, in [0, 1]; default: the weighted sum of all.",
        kw_only=True,
    )

    follows = ("reward",)
    trainers = ("GRPO",)


class SuccessCurriculum(Curriculum, of=SuccessMethod):
    """A [`SuccessMethod`] over a pool. A method implements `_pick` and `_learn`."""

    method: SuccessMethod
    batches: int = value_state(0, least=0)  # that showed a reward
    mixed: int = value_state(0, least=0)  # of these, those in which a row's rewards differed
    dry: int = value_state(0, least=0)  # batches since the last such one

    @property
    def choice(self) -> int:
        return self.batches

    def observe(self, feedback: Feedback) -> None:
        shown = Shown.of(feedback, self.method.outcome)
        if len(shown.row) == 0:
            return
        self.batches += 1
        self.mixed += bool(shown.mixed.any())
        self.dry = 0 if shown.mixed.any() else self.dry + 1
        if self.dry == DRY:
            logger.warning(
                "%s has seen no group whose rewards differ in %d batches: no row looks useful to it, and it goes on "
                "drawing. Check the rewards, or train on rows that the model solves now and then.",
                self.name,
                DRY,
            )
        self._learn(shown, feedback.step)

    @abstractmethod
    def _learn(self, shown: Shown, step: int) -> None:
        """Learns what a batch of optimizer step `step` showed."""

    def probabilities(self) -> FloatArray | None:
        """Probability of each row to be drawn next, shape `(size,)`, in O(size); `None` where a method has none."""
        return None

    def unfinished(self) -> str | None:
        if self.batches == 0 or self.mixed:
            return None
        return (
            f"{self.name} never saw a group whose rewards differ, so that no row could teach anything: check the "
            "rewards, or train on rows that the model solves now and then."
        )
