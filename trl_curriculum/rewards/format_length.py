from dataclasses import dataclass
from typing import Any

from ..registry import option
from .answers import Completion, marked, text_of
from .base import REWARDS, Reward, Rewards


@REWARDS.add("format_length", paper="arXiv 2505.19439")
@dataclass(frozen=True)
class FormatLength(Reward):
    r"""
    Reward form and length in place of being right, for problems without right answers.

    A completion of l tokens, with x = l / `longest`, earns for its length

        f(x) = 1 - (1 - x / knee)^2              up to the knee
        f(x) = 1 - 2 ((x - knee) / (1 - knee))^2 beyond

    and in all .5 (thought + 1) + f where it marks an answer (`\boxed{}`, `<answer></answer>` and the like), or else
    min(0, f); thought is 1 where it has a closed `<think></think>`.

    Its code also asks sympy whether the answer is an expression. What is right is never looked at: it can teach a base
    model how to answer, and no more. Values lie in (-infinity, 2], so methods that need a success rate need an
    `outcome`.

    Example:

    ```python
    >>> from trl_curriculum.rewards import FormatLength
    >>> texts = [r"<think>so</think> \boxed{4}", r"\boxed{4}", "four", "four"]
    >>> FormatLength(longest=8)(texts, completion_ids=[[1] * n for n in (4, 6, 6, 8)])
    [2.0, 1.0, 0.0, -1.0]

    ```
    """

    longest: int = option(3072, "Tokens of a completion at which x is 1.", "code", least=1)
    knee: float = option(0.5, "Best length, as a share of the longest.", "code", least=0.01, most=0.99)

    def __call__(self, completions: list[Completion], **columns: Any) -> Rewards:
        if "completion_ids" not in columns:
            raise ValueError("`format_length` counts tokens in `completion_ids`, which TRL gives: pass them on.")
        lengths = [len(ids) / self.longest for ids in columns["completion_ids"]]
        return [self._score(text_of(one), x) for one, x in zip(completions, lengths, strict=True)]

    def _score(self, text: str, x: float) -> float:
        of_length = 1 - (1 - x / self.knee) ** 2
        if x > self.knee:
            of_length = 1 - 2 * ((x - self.knee) / (1 - self.knee)) ** 2
        if not marked(text.rsplit("</think>", 1)[-1]):
            return min(0.0, of_length)
        thought = "</think>" in text.partition("<think>")[2]
        return 0.5 * (thought + 1) + of_length
