from dataclasses import dataclass
from typing import Any

import numpy as np

from ..pool import Pool
from ..registry import option
from ..rewriting import Moment, reworded
from ..signals import FloatArray, Rollouts
from .base import SHAPING, Hooks, Shaper


@SHAPING.add("budget", paper="arXiv 2508.08940")
@dataclass(frozen=True)
class Budget(Shaper):
    """
    Rewards completions for being as long as a budget of tokens that shrinks while the model trains.

    At optimizer step t the budget is B, and a completion of l tokens is given a triangle of B on top of its reward:

        B = max(1, int(initial decay^floor(t / every))),   weight * (l / B up to B, 2 - l / B up to 2 B, 0 beyond)

    The paper's reward is 0.3 correct + 0.6 length + format, or 0.6 and 0.3: give your reward functions the others by
    `reward_weights`. Its prompts also name the budget, which `tell` adds to each question in your words; without it
    the model learns of the budget only by what it earns. Evaluation is not told. A group whose answers are all right
    has different rewards. Where problems are hard the paper finds a linear decay better; where answers must be long,
    start from what completions have now.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.shaping import Budget
    >>> from trl_curriculum.signals import Rollouts
    >>> [Budget().budget(step) for step in (0, 149, 150, 300, 450)]
    [256, 256, 179, 125, 87]
    >>> group = np.zeros(4, int)
    >>> length = np.array([50, 100, 150, 230])
    >>> rollouts = Rollouts(group, group, step=0, reward=np.ones(4), advantage=np.zeros(4), length=length)
    >>> Budget(initial=100, weight=1.0).reward(rollouts)
    array([0.5, 1. , 0.5, 0. ])
    >>> from trl_curriculum.rewriting import Moment
    >>> Budget(tell="Use at most {budget} tokens.").rewrite({"prompt": "1 + 1?"}, Moment(step=150))["prompt"]
    '1 + 1?\\n\\nUse at most 179 tokens.'

    ```
    """

    weight: float = option(
        0.6, "Reward of a completion as long as the budget.", "paper (its other: 0.3)", above=0, most=1e6
    )
    initial: int = option(256, "Tokens of the first budget.", "paper", least=1)
    decay: float = option(0.7, "Factor by which it shrinks.", "paper", above=0, most=1)
    every: int = option(150, "Optimizer steps after which it shrinks.", "paper", least=1)
    tell: str | None = option(
        None, "A sentence with {budget}, to be added to each question.", "ours (the paper tells, in its own words)"
    )

    def check(self) -> None:
        if self.tell is not None and "{budget}" not in self.tell:
            raise ValueError(f"tell={self.tell!r} of budget must say {{budget}} where the number of tokens stands.")

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return Untold(self) if self.tell is None else self

    def budget(self, step: int) -> int:
        """Tokens of the budget at an optimizer step."""
        return max(1, int(self.initial * self.decay ** (step // self.every)))

    def rewrite(self, row: dict[str, Any], moment: Moment) -> dict[str, Any]:
        assert self.tell is not None  # or else it is `Untold`
        told = self.tell.replace("{budget}", str(self.budget(moment.step)))
        return row | {"prompt": reworded(row["prompt"], lambda question: f"{question}\n\n{told}")}

    def reward(self, rollouts: Rollouts) -> FloatArray:
        share = rollouts.length / self.budget(rollouts.step)
        return self.weight * np.maximum(0.0, np.minimum(share, 2 - share))


class Untold(Hooks):
    """A [`Budget`] that leaves prompts as they are."""

    def __init__(self, method: Budget) -> None:
        self.method = method

    def reward(self, rollouts: Rollouts) -> FloatArray:
        return self.method.reward(rollouts)
