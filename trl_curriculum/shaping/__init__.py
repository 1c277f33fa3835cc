"""How much a rollout or a token counts once it has been made. One method, one file."""

from typing import Any

from .base import SHAPING, Hooks, Shaper


_METHODS = SHAPING.load(__name__, __path__)

__all__ = ["SHAPING", "Hooks", "Shaper", *_METHODS]


def __getattr__(name: str) -> Any:
    if name in _METHODS:
        return _METHODS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
