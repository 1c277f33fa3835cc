"""Rollouts: how many and which completions are made of the rows that a curriculum drew."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..registry import Method, Registry
from ..rewriting import Moment
from ..signals import BoolArray, FloatArray, IntArray, Rollouts
from .made import Made
from .memory import Memory
from .sharing import Sharing


class Exploration(NamedTuple):
    """
    How prompts of a batch are asked once more.

    Args:
        temperature (`float`):
            At which.
        groups (`float`):
            Share of the batch's groups whose prompts these are.
        most (`float`):
            Share of the batch's rollouts that make room at most.
        least (`float`):
            Advantage above which a rollout is right, and can be trained on with 1 in place of that advantage.
        taken (`float`):
            Share of those that are right and find room of which this is done.
    """

    temperature: float
    groups: float
    most: float
    least: float
    taken: float


@dataclass(frozen=True)
class RolloutMethod(Method):
    """A method of making rollouts, with its options; it overrides the hooks that it needs, which act in this order."""

    trainers: ClassVar[tuple[str, ...]] = ("GRPO",)
    columns: ClassVar[tuple[str, ...]] = ()  # that its rewriting adds to rows, for rewards to read

    def refuse(self, args: Any) -> None:
        """Raises a `ValueError` of one sentence where it cannot work with these arguments of the trainer."""

    def doubt(self, args: Any) -> str | None:
        """One sentence on why it will hardly ever act with these arguments, which is warned of; or `None`."""
        return None

    def rewrite(self, row: dict[str, Any], moment: Moment) -> dict[str, Any]:
        """A copy of a row as it is generated from; a function of these two alone, so that a group has one prompt."""
        raise NotImplementedError

    def longest(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row in its longest rewriting, by which prompts are checked for length; unless it says so, the first."""
        return self.rewrite(row, Moment())

    def temperature(self, progress: float) -> float:
        """At which completions are sampled for training, when this share of it is done."""
        raise NotImplementedError

    def branch(self, entropy: FloatArray, usable: BoolArray, rng: np.random.Generator) -> int:
        """
        Where others branch off a completion: the number of its first token that they do not share.

        It must say in an option `first` how many completions of a group are made as ever.

        Args:
            entropy (`FloatArray`, shape `(tokens,)`):
                Of the distribution that each token was drawn from, in nats.
            usable (`BoolArray`, shape `(tokens,)`):
                Which tokens are no special ones.
            rng (`numpy.random.Generator`):
                Of this batch.
        """
        raise NotImplementedError

    def truncate(self, rollouts: Rollouts) -> IntArray:
        """
        How many tokens each rollout keeps, shape `(rollouts,)`; what was cut is scored again.

        Rewards and advantages are TRL's own, and the curriculum has observed all groups already.
        """
        raise NotImplementedError

    def keep(self, rollouts: Rollouts) -> BoolArray:
        """
        Which groups are worth training on, shape `(groups,)`; the others make room for fresh draws.

        Rewards and advantages are TRL's own, of rollouts that were cut those of what is left, and the curriculum has
        observed all groups already.
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

    def explore(self, entropy: float) -> Exploration:
        """How some prompts are asked once more, by the mean entropy of the batch's tokens, in nats."""
        raise NotImplementedError


ROLLOUTS = Registry("rollout method", RolloutMethod, "trl_curriculum.rollouts")


def overrides(method: RolloutMethod, hook: str) -> bool:
    """Whether a method overrides a hook."""
    return getattr(type(method), hook) is not getattr(RolloutMethod, hook)


def refuse_weighing_away(args: Any, method: str) -> None:
    """Refuses what would undo a temperature that is not the trainer's: another one, and ratios to the model."""
    if "temperature" in (args.generation_kwargs or {}):
        raise ValueError(f"temperature in generation_kwargs and {method} both set the temperature: leave one out.")
    if getattr(args, "use_transformers_continuous_batching", False):
        raise ValueError(
            f"{method} was not tried with continuous batching: set use_transformers_continuous_batching to false."
        )
    for name, off in (("vllm_importance_sampling_correction", False), ("off_policy_mask_threshold", None)):
        if args.use_vllm and getattr(args, name) not in (None, False):
            raise ValueError(
                f"{name} compares what vLLM samples, at the temperatures of {method}, with the model at temperature="
                f"{args.temperature:g}, and so weighs them away: set it to {off}, or leave {method} out."
            )
