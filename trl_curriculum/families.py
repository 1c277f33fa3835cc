"""All families of methods in one table, for commands and pages that list them."""

import dataclasses
import typing
from typing import Any

from .arms import ARMS
from .bundles import BUNDLES
from .curricula import CURRICULA
from .generators import GENERATORS, TEMPLATES
from .options import Method, spell, spell_limits
from .probes import PROBES
from .registry import Registry
from .rewards import REWARDS
from .rollouts import ROLLOUTS
from .rounds import ROUNDS
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
    "generators": GENERATORS,
    "rounds": ROUNDS,
    "templates": TEMPLATES,
}


def row(family: str, cls: type[Method]) -> dict[str, Any]:
    """What the table says of a method."""
    facts = {
        "signal": getattr(cls, "signal", "") or cls.summary(),
        "cost": getattr(cls, "cost", ""),
        "paper": cls.paper,
    }
    return {"name": cls.name, "family": family, "trainers": ", ".join(cls.trainers)} | facts


def options(cls: type[Method]) -> list[dict[str, Any]]:
    """Every option of a method: name, type, default, limits, help and where its default comes from."""
    hints = typing.get_type_hints(cls)
    return [
        {
            "name": field.name,
            "type": spell(hints[field.name]),
            "needed": field.default is dataclasses.MISSING,
            "default": None if field.default is dataclasses.MISSING else field.default,
            "limits": spell_limits(field.metadata),
            "help": field.metadata.get("help", ""),
            "source": field.metadata.get("source", ""),
        }
        for field in dataclasses.fields(cls)
        if field.init
    ]
