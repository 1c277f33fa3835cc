from dataclasses import dataclass
from typing import Any

from ..registry import option
from .base import BUNDLES, Bundle


@BUNDLES.add("spear", paper="arXiv 2509.22601", trainers=("GRPO",))
@dataclass(frozen=True)
class SPEAR(Bundle):
    """
    SPEAR: imitates earlier successes more and more, and holds the entropy by Clip-Cov.

    `self_imitation` with its cosine schedule over `steps` optimizer steps, and `clip_cov` with the wider interval of
    its code. Its reward for calls of tools, which the same schedule lets go, is left out.

    Source: arXiv 2509.22601, and its code.

    Example:

    ```python
    >>> from trl_curriculum.bundles import SPEAR
    >>> SPEAR(steps=100).expand()["rollouts"]
    [{'self_imitation': {'steps': 100}}]

    ```
    """

    steps: int = option(200, "Optimizer steps until stored rollouts count in full.", "code: 200", least=1)

    def expand(self) -> dict[str, Any]:
        return {
            "rollouts": [{"self_imitation": {"steps": self.steps}}],
            "shaping": [{"clip_cov": {"ratio": 0.02, "low": 1.0, "high": 40.0}}],
        }
