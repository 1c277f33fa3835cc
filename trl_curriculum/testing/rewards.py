"""What every reward does: one number a completion, or `None` where it does not apply."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..rewards import Rewards
from .case import Case


@dataclass(frozen=True)
class RewardCase(Case):
    """
    A reward, and what its invariants have to know of it.

    Args:
        completions (`list[str]`, *optional*):
            Texts that it is given, several at least.
        columns (`dict[str, list]`, *optional*):
            The dataset's columns that it reads, a value a completion.
    """

    completions: list[str] = field(default_factory=lambda: ["It is 4.", r"So \boxed{4}", "B", "no idea"])
    columns: dict[str, Any] = field(default_factory=dict)

    def try_out(self) -> None:
        self.reward(self.completions, **self.columns)

    def reward(self, completions: list[Any], **columns: Any) -> Rewards:
        """Rewards as TRL asks for them, with columns that it does not read as well."""
        n = len(completions)
        others = {"prompts": ["?"] * n, "completion_ids": [[1, 2]] * n, "some_column": [None] * n}
        told = {"log_metric": lambda name, value: None, "log_extra": lambda name, values: None, "trainer_state": None}
        rewards: Rewards = self.method(completions=completions, **others, **told, **columns)
        return rewards


def it_has_a_name_for_the_log(case: RewardCase) -> None:
    assert isinstance(case.method.__name__, str) and case.method.__name__


def it_gives_one_reward_a_completion(case: RewardCase) -> None:
    rewards = case.reward(case.completions, **case.columns)
    assert len(rewards) == len(case.completions)
    for reward in rewards:
        assert reward is None or (isinstance(reward, int | float) and np.isfinite(reward)), reward


def texts_and_messages_earn_the_same(case: RewardCase) -> None:
    messages = [[{"role": "assistant", "content": text}] for text in case.completions]
    assert case.reward(messages, **case.columns) == case.reward(case.completions, **case.columns)


def a_reward_does_not_depend_on_other_completions(case: RewardCase) -> None:
    rewards = case.reward(case.completions, **case.columns)
    for k, text in enumerate(case.completions):
        assert case.reward([text], **{name: [values[k]] for name, values in case.columns.items()}) == [rewards[k]]


REWARDS = [
    it_has_a_name_for_the_log,
    it_gives_one_reward_a_completion,
    texts_and_messages_earn_the_same,
    a_reward_does_not_depend_on_other_completions,
]
