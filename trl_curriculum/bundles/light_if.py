from dataclasses import dataclass
from typing import Any, Literal

from ..registry import option
from .base import BUNDLES, Bundle


@BUNDLES.add("light_if", paper="arXiv 2508.03178")
@dataclass(frozen=True)
class LightIF(Bundle):
    """
    Light-IF: entropy is kept in SFT by the choice of tokens, and in RL by a bonus where it is about to go.

    The first stage is SFT on the fifth of the tokens whose loss exceeds their entropy most (`entropy_sft`); the second
    GRPO with TEA-RL (`tea_rl`), PPO's clip opened, and a KL of weight .001. Run one after the other:
    `method: {light_if: {stage: sft}}`, then `method: light_if` on its model.

    Source: arXiv 2508.03178, and its code.

    Example:

    ```python
    >>> from trl_curriculum.bundles import LightIF
    >>> LightIF().expand(), LightIF().needs()
    ({'shaping': ['tea_rl']}, {'epsilon': 1.0, 'epsilon_high': 1.0, 'beta': 0.001})
    >>> LightIF(stage="sft").expand(), LightIF(stage="sft").needs()
    ({'shaping': ['entropy_sft']}, {})

    ```
    """

    stage: Literal["sft", "rl"] = option("rl", "Which of its two stages: SFT, or GRPO after it.")

    def expand(self) -> dict[str, Any]:
        return {"shaping": ["entropy_sft" if self.stage == "sft" else "tea_rl"]}

    def needs(self) -> dict[str, Any]:
        return {} if self.stage == "sft" else {"epsilon": 1.0, "epsilon_high": 1.0, "beta": 0.001}
