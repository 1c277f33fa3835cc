"""All families of methods in one table, for commands and pages that list them."""

from typing import Any

from .arms import ARMS
from .curricula import CURRICULA
from .probes import PROBES
from .registry import Registry
from .rewards import REWARDS
from .selection import SELECTION


FAMILIES: dict[str, Registry[Any]] = {
    "curricula": CURRICULA,
    "arms": ARMS,
    "probes": PROBES,
    "rewards": REWARDS,
    "selection": SELECTION,
}
    "curricula": CURRICULA,
    "arms": ARMS,
    "probes": PROBES,
    "selection": SELECTION,
    "rewards": REWARDS,
}
