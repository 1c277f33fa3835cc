"""Papers that span families: one name for a method of each."""

from typing import Any

from .base import BUNDLES, Bundle


_METHODS = BUNDLES.load(__name__, __path__)

__all__ = ["BUNDLES", "Bundle", *_METHODS]


def __getattr__(name: str) -> Any:
    if name in _METHODS:
        return _METHODS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
