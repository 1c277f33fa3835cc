"""Rollouts: how many and which completions are made of the rows that a curriculum drew."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..registry import Method, Registry
from ..signals import BoolArray, Rollouts


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


ROLLOUTS = Registry("rollout method", RolloutMethod, "trl_curriculum.rollouts")
