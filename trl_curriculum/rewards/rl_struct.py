import json
from dataclasses import dataclass
from typing import Any

from ..registry import option
from .answers import Completion, text_of
from .base import REWARDS, Reward, Rewards


@REWARDS.add("rl_struct", paper="arXiv 2512.00319")
@dataclass(frozen=True)
class RLStruct(Reward):
    """
    Reward a completion for being a JSON object with the keys that are asked for, in three parts.

    The reward is the mean of

        form       it begins with { and ends with }, with nothing around it           0 or 1
        validity   what lies from its first { to its last } is a JSON object          0 or 1
        structure  keys that it has and shall have / keys that it has or shall have   0 to 1

    The paper adds such parts and one for what the object says; its weights were not at hand, and equal ones are ours.
    What the object says is for a reward function of yours, beside this one. A model that answers in JSON already earns
    1 for everything, and learns nothing from it.

    Example:

    ```python
    >>> from trl_curriculum.rewards import RLStruct
    >>> reward = RLStruct(keys=["reasoning", "answer"])
    >>> texts = ['{"reasoning": "so", "answer": 4}', 'Here: {"answer": 4}', '{"answer": 4', "4"]
    >>> [round(value, 2) for value in reward(texts)]
    [1.0, 0.5, 0.0, 0.0]

    ```
    """

    keys: list[str] = option(help="Keys of the object, such as [reasoning, answer].", source="the task's")

    def check(self) -> None:
        if not self.keys or len(set(self.keys)) < len(self.keys):
            raise ValueError(f"keys={self.keys} of rl_struct must be one or more keys, each once.")

    def __call__(self, completions: list[Completion], **columns: Any) -> Rewards:
        return [self._score(text_of(completion).strip()) for completion in completions]

    def _score(self, text: str) -> float:
        form = text.startswith("{") and text.endswith("}")
        try:
            made = json.loads(text[max(0, text.find("{")) : text.rfind("}") + 1])
        except (ValueError, RecursionError):
            return form / 3
        if not isinstance(made, dict):
            return form / 3
        structure = len(made.keys() & set(self.keys)) / len(made.keys() | set(self.keys))
        return (form + 1 + structure) / 3
