from dataclasses import dataclass
from typing import Any

from ..registry import option
from .base import BUNDLES, Bundle


@BUNDLES.add("ceeh", paper="arXiv 2602.22642", trainers=("GRPO",))
@dataclass(frozen=True)
class CEEH(Bundle):
    """
    CEEH: explores where prompts are hard and shortens answers where they are not, with the loss of its paper.

    The shaper `ceeh` under Dr. GRPO's loss, without a standard deviation in the advantages, and with PPO's clip at
    .28 above. The paper trains LoRA of rank 32 at 3e-5 with 12 rollouts a prompt.

    Source: arXiv 2602.22642, and its code.

    Example:

    ```python
    >>> from trl_curriculum.bundles import CEEH
    >>> CEEH().needs()
    {'loss_type': 'dr_grpo', 'scale_rewards': 'none', 'epsilon_high': 0.28}

    ```
    """

    outcome: str | None = option(None, "Reward function that says what is right; by default the weighted sum.")

    def expand(self) -> dict[str, Any]:
        return {"shaping": [{"ceeh": {"outcome": self.outcome}}]}

    def needs(self) -> dict[str, Any]:
        return {"loss_type": "dr_grpo", "scale_rewards": "none", "epsilon_high": 0.28}
