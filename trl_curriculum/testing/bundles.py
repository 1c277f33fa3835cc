"""What every bundle does: it expands to specs that make methods."""

import json
from collections.abc import Callable
from typing import Any

from ..arms import ArmSource, make_arms
from ..curricula import CURRICULA
from ..probes import PROBES
from ..rollouts import ROLLOUTS
from ..shaping import SHAPING
from .case import Case


PARSERS: dict[str, Callable[[Any], Any]] = {
    "curriculum": CURRICULA.make,
    "probe": PROBES.make,
    "rollouts": ROLLOUTS.make_all,
    "shaping": SHAPING.make_all,
}


def its_specs_make_methods(case: Case) -> None:
    expanded = case.method.expand()
    assert expanded and set(expanded) <= {*PARSERS, "arms"}
    json.dumps(expanded)  # plain values, as a recipe holds them
    for argument, spec in expanded.items():
        if argument == "arms":
            assert isinstance(make_arms(spec), ArmSource)
        else:
            assert PARSERS[argument](spec), argument


BUNDLES = [its_specs_make_methods]
