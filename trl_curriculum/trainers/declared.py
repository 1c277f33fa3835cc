"""Types and choices of arguments, as dataclasses declare them: argparse checks no value of a config file."""

import json
import math
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import Field, fields
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from trl import GRPOConfig, SFTConfig

from ..data.names import listed
from ..lm.dtypes import check_dtype
from ..options import check_number, default_of, fits, shorten, spell
from ..registry import nearest
from .limits import ANY, WHOLE


# Methods and lists of them: what makes them reads several spellings, and checks them
SPECS = set("method curriculum arms probe rollouts shaping tasks test_tasks datasets".split())
SPECS |= set("reward_funcs generators loop selection features proxy grpo lm_eval methods base".split())
WIDER = {"resume_from_checkpoint": bool, "scale_rewards": bool, "fsdp": bool | list}  # what TRL takes as well
RANGED = {*WHOLE, *ANY, "keep", "distinct", "near_duplicates", "validation_share"}  # checked with their limits
COMPLETED = {"accelerator_config", "debug", "deepspeed", "fsdp"}  # `None` or objects, once something has read them
FILES = {"accelerator_config", "deepspeed", "fsdp_config"}  # JSON, or the file that holds it

CHOICES: dict[type, dict[str, tuple[str, ...]]] = {  # those that TRL checks at the first loss, if at all
    GRPOConfig: {
        "loss_type": ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
        "importance_sampling_level": ("token", "sequence"),
        "scale_rewards": ("group", "batch", "none"),
        "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
        "vllm_mode": ("server", "colocate"),
        "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
    },
    SFTConfig: {"loss_type": ("nll", "dft", "chunked_nll")},
}


def refuse_undeclared(values: Mapping[str, Any], declared: type) -> None:
    """
    Refuses values that are not of the type, or none of the choices, that the fields of a dataclass declare.

    Args:
        values (`Mapping[str, Any]`):
            Values by name; those of other names are left alone.
        declared (`type`):
            Dataclass of arguments: of a script, or of TRL.

    Raises:
        `ValueError` or `TypeError`: in one sentence that names the argument, its value and what is allowed.
    """
    hints = typing.get_type_hints(declared)
    tables = [table for cls, table in CHOICES.items() if issubclass(declared, cls)]
    choices = {name: known for table in tables for name, known in table.items()}
    for field in fields(declared):
        if not field.init or field.name not in values:
            continue
        if field.name == "reward_funcs" and isinstance(values[field.name], bool | int | float | dict):
            _refuse(field.name, values[field.name], hints[field.name])
        if field.name not in SPECS:
            _check(field, values[field.name], hints[field.name], choices.get(field.name))


def _check(field: Field, value: Any, hint: Any, choices: tuple[str, ...] | None) -> None:
    name = field.name
    if value is None:
        if not (fits(None, hint) or default_of(field) is None or name in COMPLETED):  # the parser's own default
            _refuse(name, value, hint)
        return
    if name in COMPLETED and type(value).__module__ != "builtins":
        return
    if not (_fits(value, hint) or (name in WIDER and isinstance(value, WIDER[name]))):
        _refuse(name, value, hint)
    if name == "dtype":
        return check_dtype(value)
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, float) and name not in RANGED and (math.isnan(number) or isinstance(value, list)):
            check_number(number, {}, f"{name}={shorten(value)}")
    if not isinstance(value, str):
        if name == "report_to":
            _among(value, tuple(INTEGRATION_TO_CALLBACK), name, value)
        return
    enums = [one for one in _parts(hint) if isinstance(one, type) and issubclass(one, Enum)]
    declared = field.metadata.get("choices")
    if enums and not isinstance(value, Enum):
        several = any(typing.get_origin(one) is list for one in typing.get_args(hint))
        words = value.split() if several else [value]
        _among(words, tuple(str(member.value) for enum in enums for member in enum), name, value)
    elif choices or declared:
        _among([value], tuple(choices or declared or ()), name, value)
    elif name == "report_to":
        _among([value], ("all", "none", *INTEGRATION_TO_CALLBACK), name, value)
    elif name == "attn_implementation" and not set("/:|") & set(value):  # others name a kernel of the Hub
        _among(
            [value], ("eager", *(one for one in ALL_ATTENTION_FUNCTIONS.valid_keys() if "|" not in one)), name, value
        )
    elif dict in _parts(hint):
        _check_mapping(name, value)


def _among(words: list[str], known: tuple[str, ...], name: str, value: Any) -> None:
    for word in words:
        if word not in known:
            hint = nearest(word, known) if isinstance(word, str) else ""
            raise ValueError(f"{name}={shorten(value)} must be one of {listed(known, 12)}{hint}.")


def _check_mapping(name: str, value: str) -> None:
    """A mapping as text: JSON, or the file that some arguments read."""
    if value.startswith("{"):
        try:
            json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}={shorten(value)} is no JSON ({error}).") from error
    elif name not in FILES:
        raise TypeError(f'{name}={shorten(value)} must be a mapping, such as {{"option": value}}.')
    elif len(value) < 256 and not Path(value).is_file():  # DeepSpeed's may be base64, which is longer
        raise FileNotFoundError(f"{name}={value!r} is neither a mapping nor a file that is there.")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, a path as good as its text, and a text as good as a list of it alone."""
    if isinstance(value, os.PathLike):
        value = str(value)
    if fits(value, hint):
        return True
    return isinstance(value, str) and any(
        fits([value], one) for one in (hint, *typing.get_args(hint)) if _is_list(one)
    )


def _is_list(hint: Any) -> bool:
    return typing.get_origin(hint) is list and typing.get_args(hint) == (str,)


def _parts(hint: Any) -> list[Any]:
    """The types of a union, and what lists in it hold; mappings are `dict`."""
    parts = []
    for one in typing.get_args(hint) or (hint,):
        origin = typing.get_origin(one)
        parts += list(typing.get_args(one)) if origin is list else [origin or one]
    return [dict, *parts] if typing.get_origin(hint) is dict else parts


def _refuse(name: str, value: Any, hint: Any) -> None:
    shown = f"a {type(value).__name__}" if "token" in name and name != "max_tokens" else shorten(value)
    quotes = isinstance(value, bool | int | float | date) and fits("", hint)
    more = ": put it in quotes (YAML reads a bare `no` as false)" if quotes else ""
    raise TypeError(f"{name}={shown} must be {_spell(hint)}{more}.")


def _spell(hint: Any) -> str:
    """A type, in the words of a recipe."""
    parts = [one for one in typing.get_args(hint) if one is not type(None)] if _is_union(hint) else [hint]
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "a mapping"}
    names = []
    for one in parts:
        origin = typing.get_origin(one)
        if isinstance(one, type) and issubclass(one, Enum):
            continue  # its values are texts
        if origin is list:
            inner = typing.get_args(one)[0]
            names.append(f"a list of {'texts' if inner is str else 'numbers' if inner is float else spell(inner)}")
        else:
            names.append(words.get(origin or one) or spell(one))
    return " or ".join(dict.fromkeys(names))


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
