"""What a reward is: a function with TRL's signature that has a name and options."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..registry import Method, Registry, option
from .answers import Completion, boxed, text_of


if TYPE_CHECKING:
    from datasets import Dataset

Rewards = list[float | None]
RewardFunction = Callable[..., Rewards]


@dataclass(frozen=True)
class Reward(Method):
    """Rewards completions, by the dataset's columns; `None` where it does not apply."""

    trainers: ClassVar[tuple[str, ...]] = ("GRPO",)
    golds: ClassVar[tuple[str, ...]] = ()  # columns with right answers, of which it reads the first that is there

    @property
    def __name__(self) -> str:  # under which TRL logs it
        return self.name

    def prepare(self, dataset: "Dataset") -> None:
        """Refuses rows that it cannot read, or a machine that it cannot work on, before training."""

    def __call__(self, completions: list[Completion], **columns: Any) -> Rewards:
        """
        One reward per completion.

        Args:
            completions (`list[str]` or `list[list[dict]]`):
                Completions, standard or conversational.
            columns:
                Dataset columns, and TRL's `log_metric`.
        """
        raise NotImplementedError


REWARDS: Registry[Reward] = Registry("reward", Reward, "trl_curriculum.rewards")


@dataclass(frozen=True)
class Accuracy(Reward):
    r"""
    Whether an answer is right, and if asked for a bonus for a wrong one that stands in `\boxed{}`. SEC trains with .1.

    Prefer the accuracy alone under a curriculum that learns from |advantage|: with std-normalised advantages a group
    of wrong answers of which half are boxed has a mean |A| of .93, above the .87 of a perfect arm with p = .5 (8
    rollouts), so that the bandit would chase noise in the format. SEC pays the bonus in training only, this one in
    evaluation too.
    """

    judge: ClassVar[RewardFunction]

    boxed_bonus: float = option(0.0, r"Reward of a wrong answer in `\boxed{}`.", "none (SEC: .1)", least=0)

    @property
    def __name__(self) -> str:
        return f"{self.name}_boxed" if self.boxed_bonus else self.name

    def __call__(self, completions: list[Completion], **columns: Any) -> Rewards:
        rewards = type(self).judge(completions, **columns)
        if not self.boxed_bonus:
            return rewards
        return [
            self.boxed_bonus if reward == 0 and boxed(text_of(completion)) is not None else reward
            for reward, completion in zip(rewards, completions, strict=True)
        ]
