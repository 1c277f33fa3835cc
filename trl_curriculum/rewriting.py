"""What a prompt says is rewritten when its row is drawn: what that may depend on, and how the words are reached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Moment:
    """
    When which row is read. Nothing else may decide how its prompt reads: so all rollouts of a row at a step have one
    prompt, on every process, a probe right before sees the same, and a resumed run has nothing to remember.

    Args:
        row (`int`):
            Position of the row in the pool.
        step (`int`):
            Optimizer step.
        progress (`float`):
            Share of the training that is done.
        seed (`int`):
            Of all random choices of the run.
    """

    row: int = 0
    step: int = 0
    progress: float = 0.0
    seed: int = 0

    @property
    def rng(self) -> np.random.Generator:
        """Of the random choices about this row at this step, from the beginning."""
        return np.random.default_rng((self.seed, self.step, self.row))


def reworded(prompt: Any, change: Callable[[str], str]) -> Any:
    """
    A copy of a prompt whose question, the text itself or the last message of a conversation, is what `change` makes
    of it.

    Args:
        prompt (`str` or `list[dict]`):
            A text or messages.
        change (`Callable`):
            Makes a text of a text.

    Example:

    ```python
    >>> from trl_curriculum.rewriting import reworded
    >>> reworded([{"role": "user", "content": "1 + 1?"}], "{} Please.".format)
    [{'role': 'user', 'content': '1 + 1? Please.'}]

    ```
    """
    if isinstance(prompt, str):
        return change(prompt)
    *others, last = prompt
    content = last["content"]
    if isinstance(content, list):  # blocks of text, as processors take them
        text = change("".join(block.get("text") or "" for block in content))
        return [*others, {**last, "content": [{"type": "text", "text": text}]}]
    return [*others, {**last, "content": change(content or "")}]
