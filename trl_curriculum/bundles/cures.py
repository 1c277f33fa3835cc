from dataclasses import dataclass
from typing import Any

from ..registry import option
from .base import BUNDLES, Bundle


@BUNDLES.add("cures", paper="arXiv 2510.01037", trainers=("GRPO",))
@dataclass(frozen=True)
class CurES(Bundle):
    """
    CurES: which prompts, and how many rollouts of each, both by what is believed of their success.

    The curriculum `cures` draws rows, and `allocation` with the rule of the same paper gives more rollouts to those
    whose success is least certain, in its form for equal gradient norms. Each keeps a belief of its own per row.

    Source: arXiv 2510.01037.

    Example:

    ```python
    >>> from trl_curriculum.bundles import CurES
    >>> CurES().expand()
    {'curriculum': {'cures': {'outcome': None}}, 'rollouts': [{'allocation': {'rule': 'cures', 'outcome': None}}]}

    ```
    """

    outcome: str | None = option(None, "Reward function that says what success is; by default the weighted sum.")

    def expand(self) -> dict[str, Any]:
        return {
            "curriculum": {"cures": {"outcome": self.outcome}},
            "rollouts": [{"allocation": {"rule": "cures", "outcome": self.outcome}}],
        }
