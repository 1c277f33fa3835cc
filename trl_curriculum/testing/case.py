"""A method under test, and what holds for methods of every family."""

import copy
import dataclasses
import json
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from ..disk.state import read_state, write_state
from ..families import FAMILIES
from ..registry import Registry
from .options import a_value_of_an_option_is_refused_at_once_or_works


@dataclass(frozen=True)
class Case:
    """
    A method, and what its family's invariants have to know of it: a row of the table.

    Args:
        method ([`~trl_curriculum.registry.Method`]):
            The method with its options.
    """

    method: Any

    def try_out(self) -> None:
        """Does a little of what the method is for, whatever its options say."""

    @property
    def registry(self) -> Registry[Any]:
        """The registry of its family; an entry point that names its class has given the class its name."""
        registry = FAMILIES[family_of(self.method)]
        cls = type(self.method)
        for entry in entry_points(group=registry.group):
            if entry.value == f"{cls.__module__}:{cls.__qualname__}":
                registry.get(entry.name)
        return registry


def family_of(method: Any) -> str:
    """
    The family of a method, as [`~trl_curriculum.families.FAMILIES`] calls it.

    Raises:
        `TypeError`: where it is no method of any.
    """
    for family, registry in FAMILIES.items():
        if isinstance(method, registry.base):
            return family
    bases = ", ".join(registry.base.__name__ for registry in FAMILIES.values())
    raise TypeError(f"conformance({method!r}) is no method: give an object of a subclass of one of {bases}.")


def through_disk(state: dict[str, Any]) -> dict[str, Any]:
    """A state as a checkpoint gives it back."""
    with tempfile.TemporaryDirectory() as folder:
        write_state(Path(folder) / "state", state)
        return read_state(Path(folder) / "state")


def as_bytes(state: dict[str, Any]) -> list[bytes]:
    """A state as it lies in a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        write_state(Path(folder) / "state", state)
        return [(Path(folder) / "state" / file).read_bytes() for file in ("state.json", "arrays.npz")]


def it_says_what_it_is(case: Case) -> None:
    assert case.method.summary().endswith("."), "the docstring begins with a sentence"
    assert case.method.trainers and set(case.method.trainers) <= {"GRPO", "SFT"}
    for option in dataclasses.fields(case.method):
        if option.init:
            assert option.metadata["help"] and option.metadata["source"], option.name


def a_method_is_a_value(case: Case) -> None:
    method, registry = case.method, case.registry
    other = type(method)(**method.options)
    assert method == other and method is not other
    assert registry.make(method) is method
    assert copy.deepcopy(method) == method
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.anything = 1
    json.dumps(method.spec)  # plain values, as a recipe holds them
    if method.name in registry.names():
        assert registry.make(method.spec) == method
        assert registry.make(json.dumps(method.spec) if isinstance(method.spec, dict) else method.spec) == method


def it_can_be_sent_to_another_process(case: Case) -> None:
    assert pickle.loads(pickle.dumps(case.method)) == case.method


EVERY_METHOD: list[Callable[[Any], None]] = [
    it_says_what_it_is,
    a_method_is_a_value,
    it_can_be_sent_to_another_process,
    a_value_of_an_option_is_refused_at_once_or_works,
]
