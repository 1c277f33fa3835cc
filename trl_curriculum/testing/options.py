"""What every method does with values of options that cannot be: it refuses them at once, or works with them."""

import dataclasses
import math
from typing import Any


EXTREME: tuple[Any, ...] = (1e308, 1e-308, 2**62)
WRONG: tuple[Any, ...] = (
    *(math.nan, math.inf, -math.inf, -1, -0.5, 0, 0.0, 2, 1.5, 10**30, -(10**30), -1e308, 2**63),
    *(None, True, "", "floaty", "1", [], [math.nan], ["a"], {}, {"a": 1}, {1: math.nan}, object()),
)


def a_sentence(error: BaseException, name: str = "") -> bool:
    """Whether an error is one sentence, that names an option."""
    text = str(error)
    return name in text and "\n" not in text and text.endswith(".") and len(text) < 600


def a_value_of_an_option_is_refused_at_once_or_works(case: Any) -> None:
    cls, options = type(case.method), case.method.options
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        for value in (*EXTREME, *WRONG):
            try:
                method = cls(**{**options, field.name: value})
            except (TypeError, ValueError) as error:
                assert a_sentence(error, field.name), f"{field.name}={value!r}: {type(error).__name__}: {error}"
                continue
            if value not in EXTREME:
                continue
            try:
                dataclasses.replace(case, method=method).try_out()
            except ValueError as error:  # one that these rows rule out
                assert a_sentence(error), f"{field.name}={value!r}: {type(error).__name__}: {error}"
