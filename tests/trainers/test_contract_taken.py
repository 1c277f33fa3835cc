"""Every field of TRL's configs and every argument of its constructors has an entry in trainers/taken.py."""

import dataclasses
import inspect
from typing import Any

import pytest
from contracts import changed
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from trl_curriculum.trainers.taken import ARGUMENTS, FIELDS


CONFIGS: dict[str, Any] = {"GRPOConfig": GRPOConfig, "SFTConfig": SFTConfig}
TRAINERS: dict[str, Any] = {"GRPOTrainer": GRPOTrainer, "SFTTrainer": SFTTrainer}
# Of transformers 5.23, which earlier releases within the range do not have: these lack an option, and nothing breaks.
ADDED_SINCE = {"activation_checkpointing", "activation_checkpointing_kwargs"}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_an_entry(name: str) -> None:
    fields, listed = {field.name for field in dataclasses.fields(CONFIGS[name])}, set(FIELDS[name])
    assert not fields - listed, changed(f"{name} has the new fields {', '.join(sorted(fields - listed))}")
    gone = listed - fields - ADDED_SINCE
    assert not gone, changed(f"{name} has no longer the fields {', '.join(sorted(gone))}")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_has_an_entry(name: str) -> None:
    arguments, listed = set(inspect.signature(TRAINERS[name].__init__).parameters) - {"self"}, set(ARGUMENTS[name])
    assert not arguments - listed, changed(f"{name} takes {', '.join(sorted(arguments - listed))}, which is new")
    assert not listed - arguments, changed(f"{name} no longer takes {', '.join(sorted(listed - arguments))}")
