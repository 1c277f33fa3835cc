"""
A method and its options: a frozen dataclass, a value that can be compared, saved and printed.

Options are declared once, by [`option`], and checked when a method is made: before any work, whoever spells them.
"""

import dataclasses
import inspect
import math
import numbers
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Union


LARGEST = 2**63 - 1  # of whole numbers: seeds, sizes and counts are stored in 64 bits


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    source: str = "ours",
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    kw_only: bool = False,
) -> Any:
    """
    Declares an option of a method.

    Args:
        default (*optional*):
            Without one it must be given.
        help (`str`):
            One sentence: what it does.
        source (`str`, *optional*, defaults to `"ours"`):
            Whose the default is: the paper's, its code's or ours.
        least, most, above, below (`float`, *optional*):
            Limits of a number, or of those in a list; the latter two are themselves outside. Numbers are always
            finite and lie within 64 bits.
        kw_only (`bool`, *optional*, defaults to `False`):
            Whether it has to be named: for options of a base class, which would come before a method's own.
    """
    limits = {"least": least, "most": most, "above": above, "below": below}
    metadata = {"help": help, "source": source} | {name: value for name, value in limits.items() if value is not None}
    return dataclasses.field(default=default, metadata=metadata, kw_only=kw_only)


@dataclass(frozen=True)
class Method:
    """A method with its options. Subclasses are frozen dataclasses whose fields are declared by [`option`]."""

    name: ClassVar[str] = ""  # under which it is registered
    paper: ClassVar[str] = "-"
    trainers: ClassVar[tuple[str, ...]] = ("GRPO", "SFT")

    def __post_init__(self) -> None:
        for name, value in vars(type(self)).items():
            if isinstance(value, dataclasses.Field):
                raise TypeError(
                    f"{type(self).__name__} declares the option {name!r} and is no @dataclass(frozen=True)."
                )
        check_options(self, self.name or type(self).__name__)
        self.check()

    def check(self) -> None:
        """Refuses options that do not go together, in one sentence."""

    @property
    def options(self) -> dict[str, Any]:
        """All options with their values."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.init}

    @property
    def spec(self) -> str | dict[str, Any]:
        """The method as a recipe spells it: its name, with the options that differ from their defaults."""
        changed = {
            field.name: value
            for field in dataclasses.fields(self)
            if field.init and (value := getattr(self, field.name)) != default_of(field)
        }
        return {self.name: _plain(changed)} if changed else self.name

    @classmethod
    def summary(cls) -> str:
        """The first sentence of its docstring."""
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())


def default_of(field: dataclasses.Field) -> Any:
    """An option's default, or `dataclasses.MISSING`."""
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def check_options(made: Any, what: str) -> None:
    """
    Refuses values that are not of the type, or not within the limits, that the fields of a dataclass declare.

    Raises:
        `ValueError`: on a value out of range; `TypeError` on a wrong type.
    """
    hints = typing.get_type_hints(type(made))
    for field in dataclasses.fields(made):
        if field.init:
            _check(getattr(made, field.name), field, hints[field.name], what)


def _check(value: Any, field: dataclasses.Field, hint: Any, what: str) -> None:
    limits, where = spell_limits(field.metadata), f"{field.name}={shorten(value)} of {what}"
    if not fits(value, hint):
        kind = spell(hint)
        raise TypeError(f"{where} must be {kind if not limits or 'one of' in kind else f'{kind}, {limits}'}.")
    for number in _numbers(value):
        check_number(number, field.metadata, where)


def check_number(value: Any, limits: Any, where: str) -> None:
    """
    Refuses a number that is not finite, too large to be stored, or outside of its limits.

    Args:
        value (`int` or `float`):
            The number.
        limits (`Mapping[str, float]`):
            Of `least`, `most`, `above` and `below`, those that hold, as [`option`] takes them.
        where (`str`):
            What it is called in the message.

    Raises:
        `ValueError`: in one sentence that says what is allowed.
    """
    whole = isinstance(value, numbers.Integral)
    if whole and not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{where} is no number that can be stored: it must lie within 64 bits.")
    words = [spell_limits(limits)]
    if not whole and math.isnan(value):
        raise ValueError(f"{where} is not a number{f': it must be {words[0]}' if words[0] else ''}.")
    if not whole and math.isinf(value):
        words.append("finite")
    elif (
        value >= limits.get("least", -math.inf)
        and value <= limits.get("most", math.inf)
        and value > limits.get("above", -math.inf)
        and value < limits.get("below", math.inf)
    ):
        return
    raise ValueError(f"{where} must be {' and '.join(filter(None, words))}.")


def _numbers(value: Any) -> Iterator[Any]:
    """The numbers in a value: itself, or those of a list; what takes a mapping checks what it holds."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _numbers(one)


def shorten(value: Any, most: int = 80) -> str:
    """A value as it is written, cut where it is long."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a number of over 30 digits"
    return text if len(text) <= most else f"{text[:most]}…"


def repeated(pairs: list[tuple[str, Any]]) -> str | None:
    """The first key that an object in JSON has twice: of two values the last would count, without a word."""
    names = [name for name, _ in pairs]
    return next(name for name in names if names.count(name) > 1) if len(set(names)) < len(names) else None


def spell_limits(limits: Any) -> str:
    """The limits of a number, in words."""
    words = (("least", "at least"), ("above", "above"), ("most", "at most"), ("below", "below"))
    return " and ".join(f"{word} {limits[name]:g}" for name, word in words if name in limits)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type."""
    if hint is Any:
        return True  # it is a class, of which nothing is an instance
    origin = typing.get_origin(hint)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in typing.get_args(hint))
    if origin in (Union, types.UnionType):
        return any(fits(value, choice) for choice in typing.get_args(hint))
    if origin is dict:
        key, item = typing.get_args(hint)
        return isinstance(value, dict) and all(fits(k, key) and fits(v, item) for k, v in value.items())
    if origin in (list, tuple):
        inner = typing.get_args(hint)[0]
        return isinstance(value, list | tuple) and all(fits(one, inner) for one in value)
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def spell(hint: Any) -> str:
    """A type, in words."""
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (Union, types.UnionType):
        return " or ".join(spell(one) for one in typing.get_args(hint))
    return (
        getattr(hint, "__name__", str(hint))
        if isinstance(hint, type) and hint is not type(None)
        else ("None" if hint is type(None) else str(hint))
    )


def _plain(value: Any) -> Any:
    """A value as JSON or YAML holds it."""
    if isinstance(value, Method):
        return value.spec
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, numbers.Integral | numbers.Real) and not isinstance(value, bool | int | float):
        return value.item() if hasattr(value, "item") else float(value)
    return str(value) if isinstance(value, Path) else value
