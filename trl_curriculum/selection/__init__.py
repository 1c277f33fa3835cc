"""Which candidates of a generated pool to keep: pure functions of features. One method, one file."""

from collections.abc import Callable

from .attr_div import attr_div
from .attribution import attribution
from .diversity import diversity
from .duplicates import distinct
from .evoselect import evoselect
from .features import Features, Selection, effective_size, shares, vendi
from .random import everything, random
from .sinkhorn import Potentials, Sinkhorn, SinkhornError
from .tsds import tsds


SELECTORS: dict[str, Callable[..., Selection]] = {
    "evoselect": evoselect,
    "attribution": attribution,
    "diversity": diversity,
    "attr_div": attr_div,
    "tsds": tsds,
    "random": random,
    "all": everything,
}

__all__ = [
    "SELECTORS",
    "Features",
    "Potentials",
    "Selection",
    "Sinkhorn",
    "SinkhornError",
    "attr_div",
    "attribution",
    "distinct",
    "diversity",
    "effective_size",
    "everything",
    "evoselect",
    "random",
    "shares",
    "tsds",
    "vendi",
]
