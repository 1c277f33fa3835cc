"""How many and which completions are made of a row. One method, one file."""

from typing import Any

from .base import ROLLOUTS, RolloutMethod


_METHODS = ROLLOUTS.load(__name__, __path__)

__all__ = ["ROLLOUTS", "RolloutMethod", *_METHODS]


def __getattr__(name: str) -> Any:
    if name in _METHODS:
        return _METHODS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
