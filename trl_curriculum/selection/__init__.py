"""Which candidates of a generated pool to keep: pure functions of features. One method, one file."""

from typing import Any

from .base import SELECTION, Selector
from .duplicates import distinct
from .features import Features, Selection, effective_size, shares, vendi
from .sinkhorn import Potentials, Sinkhorn, SinkhornError


_METHODS = SELECTION.load(__name__, __path__)

__all__ = [
    "SELECTION",
    "Features",
    "Potentials",
    "Selection",
    "Selector",
    "Sinkhorn",
    "SinkhornError",
    "distinct",
    "effective_size",
    "shares",
    "vendi",
    *_METHODS,
]


def __getattr__(name: str) -> Any:
    if name in _METHODS:
        return _METHODS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
