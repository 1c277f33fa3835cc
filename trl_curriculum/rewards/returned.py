"""What reward functions return: one number a completion, or a sentence that names the function and the row."""

import inspect
import logging
import math
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch

from ..options import shorten
from .base import Rewards


logger = logging.getLogger(__name__)

RowOf = Callable[[int], int | None]  # row of the user's dataset that a completion belongs to


def checked(values: Any, name: str, n: int, row_of: RowOf, told: set[str] | None = None) -> Rewards:
    """
    Rewards as TRL takes them: finite numbers, and `None` where one does not apply. NaN counts as that, with a warning.

    Args:
        values:
            What a function returned.
        name (`str`):
            Of the function.
        n (`int`):
            How many completions it was given.
        row_of (`Callable`):
            Row of the dataset of each, `None` where that is not known.
        told (`set[str]`, *optional*):
            Functions whose NaN was warned of before, to which this one is added.

    Raises:
        `TypeError` or `ValueError`: naming the function and the row.
    """
    if isinstance(values, np.ndarray | torch.Tensor):
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise TypeError(
            f"The reward {name!r} returned {_short(values)} for {n} completions: return a list with a number for each."
        )
    if len(values) != n:
        raise ValueError(
            f"The reward {name!r} returned {len(values)} numbers for {n} completions: return one for each."
        )
    rewards = [_number(value, name, k, row_of) for k, value in enumerate(values)]
    unclear = [k for k, reward in enumerate(rewards) if reward is not None and math.isnan(reward)]
    if unclear and (told is None or name not in told):
        logger.warning(
            "The reward %r returned nan for %s: it counts as None, which says that the reward does not apply.",
            name,
            _where(unclear[0], row_of),
        )
        if told is not None:
            told.add(name)
    return [None if k in unclear else reward for k, reward in enumerate(rewards)]


def _where(k: int, row_of: RowOf) -> str:
    return f"completion {k}" if (row := row_of(k)) is None else f"a completion of row {row}"


def _number(value: Any, name: str, k: int, row_of: RowOf) -> float | None:
    if isinstance(value, torch.Tensor | np.ndarray | np.generic) and len(value.reshape(-1)) == 1:
        value = value.item()
    if value is None:
        return None
    if not isinstance(value, Real | Decimal):
        raise TypeError(
            f"The reward {name!r} returned {_short(value)} for {_where(k, row_of)}: return a number, or None "
            "where it does not apply."
        )
    if math.isinf(value):
        raise ValueError(
            f"The reward {name!r} returned {value} for {_where(k, row_of)}: return a finite number, or None "
            "where it does not apply."
        )
    return float(value)


def is_async(function: Any) -> bool:
    """Whether a function, or what an object does when it is called, is asynchronous."""
    return inspect.iscoroutinefunction(function if inspect.isroutine(function) else type(function).__call__)


def guarded(function: Any, row_of: RowOf) -> Any:
    """A reward function, plain or asynchronous, whose rewards are checked; reward models are left as they are."""
    if isinstance(function, torch.nn.Module):
        return function
    name, told = getattr(function, "__name__", type(function).__name__), set[str]()
    if is_async(function):

        async def answer(*, completions: list[Any], **columns: Any) -> Rewards:
            return checked(await function(completions=completions, **columns), name, len(completions), row_of, told)
    else:

        def answer(*, completions: list[Any], **columns: Any) -> Rewards:  # type: ignore[misc]
            return checked(function(completions=completions, **columns), name, len(completions), row_of, told)

    answer.__name__ = name
    return answer


def _short(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}, {shorten(value)}"
