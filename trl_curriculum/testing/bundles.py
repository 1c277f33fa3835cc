"""What every bundle does: it expands to specs that make methods."""

import dataclasses
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


def it_needs_arguments_that_there_are(case: Case) -> None:
    from trl import GRPOConfig, SFTConfig

    known = {field.name for config in (GRPOConfig, SFTConfig) for field in dataclasses.fields(config)}
    assert set(case.method.needs()) <= known
    json.dumps(case.method.needs())


BUNDLES = [its_specs_make_methods, it_needs_arguments_that_there_are]
