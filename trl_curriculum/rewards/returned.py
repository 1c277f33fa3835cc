"""What reward functions return: one number a completion, or a sentence that names the function and the row."""

import inspect
import math
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch

from .base import Rewards


RowOf = Callable[[int], int | None]  # row of the user's dataset that a completion belongs to


def checked(values: Any, name: str, n: int, row_of: RowOf) -> Rewards:
    """
    Rewards as TRL takes them: finite numbers, and `None` where one does not apply.

    Args:
        values:
            What a function returned.
        name (`str`):
            Of the function.
        n (`int`):
            How many completions it was given.
        row_of (`Callable`):
            Row of the dataset of each, `None` where that is not known.

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
    return [_number(value, name, k, row_of) for k, value in enumerate(values)]


def _number(value: Any, name: str, k: int, row_of: RowOf) -> float | None:
    if isinstance(value, torch.Tensor | np.ndarray | np.generic) and len(value.reshape(-1)) == 1:
        value = value.item()
    if value is None:
        return None
    where = f"completion {k}" if (row := row_of(k)) is None else f"a completion of row {row}"
    if not isinstance(value, Real | Decimal):
        raise TypeError(
            f"The reward {name!r} returned {_short(value)} for {where}: return a number, or None where it does not "
            "apply."
        )
    if not math.isfinite(value):
        raise ValueError(
            f"The reward {name!r} returned {value} for {where}: return a finite number, or None where it does not "
            "apply."
        )
    return float(value)


def is_async(function: Any) -> bool:
    """Whether a function, or what an object does when it is called, is asynchronous."""
    return inspect.iscoroutinefunction(function if inspect.isroutine(function) else type(function).__call__)


def guarded(function: Any, row_of: RowOf) -> Any:
    """A reward function, plain or asynchronous, whose rewards are checked; reward models are left as they are."""
    if isinstance(function, torch.nn.Module):
        return function
    name = getattr(function, "__name__", type(function).__name__)
    if is_async(function):

        async def answer(*, completions: list[Any], **columns: Any) -> Rewards:
            return checked(await function(completions=completions, **columns), name, len(completions), row_of)
    else:

        def answer(*, completions: list[Any], **columns: Any) -> Rewards:  # type: ignore[misc]
            return checked(function(completions=completions, **columns), name, len(completions), row_of)

    answer.__name__ = name
    return answer


def _short(value: Any) -> str:
    text = f"a {type(value).__name__}, {value!r}" if value is not None else "None"
    return text if len(text) <= 80 else f"{text[:77]}…"
