"""Rollouts: how many and which completions are made of the rows that a curriculum drew."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..registry import Method, Registry
from ..signals import BoolArray, Rollouts
from .made import Made
from .memory import Memory
from .sharing import Sharing


@dataclass(frozen=True)
class RolloutMethod(Method):
    """A method of making rollouts, with its options; it overrides the hooks that it needs."""

    trainers: ClassVar[tuple[str, ...]] = ("GRPO",)

    def refuse(self, args: Any) -> None:
        """Raises a `ValueError` of one sentence where it cannot work with these arguments of the trainer."""

    def keep(self, rollouts: Rollouts) -> BoolArray:
        """
        Which groups are worth training on, shape `(groups,)`; the others make room for fresh draws.

        Rewards and advantages are TRL's own, and the curriculum has observed all groups already.
        """
        return np.ones(len(rollouts.starts), dtype=bool)

    def again(self, made: Made) -> int:
        """How many groups to generate in place of those that were not kept; 0 ends the tries."""
        return made.missing if made.tries < getattr(self, "tries", 1) else 0

    def carries(self) -> bool:
        """Whether groups that are kept and not needed wait for the next batch."""
        return False

    def weight(self, made: Made) -> float:
        """A factor of all advantages of the batch, applied last."""
        return 1.0

    def share(self, size: int, generations: int) -> Sharing | None:
        """
        What shares a batch's groups of so many generations out among fewer rows of a pool of that size; by default
        nothing does, and each row that is drawn gets one group.
        """
        return None

    def remember(self) -> Memory | None:
        """What stores rollouts and replays them in place of those without an advantage; by default nothing does."""
        return None


ROLLOUTS = Registry("rollout method", RolloutMethod, "trl_curriculum.rollouts")
