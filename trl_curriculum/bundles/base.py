"""What a bundle is: a name that expands to methods of several families."""

from dataclasses import dataclass
from typing import Any

from ..registry import Method, Registry


@dataclass(frozen=True)
class Bundle(Method):
    """A paper's methods, one of each family that it has something to say on."""

    def expand(self) -> dict[str, Any]:
        """Specs by the argument that they are given to: `curriculum`, `arms`, `probe`, `rollouts`, `shaping`."""
        raise NotImplementedError

    def needs(self) -> dict[str, Any]:
        """Arguments of TRL's without which its methods would not be the paper's, by name: set, or refused if given."""
        return {}


BUNDLES: Registry[Bundle] = Registry("bundle", Bundle, "trl_curriculum.bundles")
