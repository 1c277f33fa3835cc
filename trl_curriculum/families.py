"""All families of methods in one table, for commands and pages that list them."""

from typing import Any

from .arms import ARMS
from .bundles import BUNDLES
from .curricula import CURRICULA
from .probes import PROBES
from .registry import Registry
from .rewards import REWARDS
from .rollouts import ROLLOUTS
from .selection import SELECTION
from .shaping import SHAPING


FAMILIES: dict[str, Registry[Any]] = {
    "bundles": BUNDLES,
    "curricula": CURRICULA,
    "arms": ARMS,
    "rollouts": ROLLOUTS,
    "shaping": SHAPING,
    "probes": PROBES,
    "rewards": REWARDS,
    "selection": SELECTION,
}
