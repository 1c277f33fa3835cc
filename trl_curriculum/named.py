"""Names of curricula: the built-in ones, and those that other packages register as entry points."""

import inspect
import numbers
import types
import typing
from importlib.metadata import entry_points
from typing import Any, Literal, Union

from .curricula import (
    DUMP,
    EDCO,
    SEC,
    UCB1,
    BabySteps,
    Competence,
    Curriculum,
    Cyclical,
    DataMaps,
    EVOCurate,
    LossTopK,
    Mixture,
    Order,
    SelfPaced,
    Uniform,
)
from .pool import Pool
from .registry import nearest


GROUP = "trl_curriculum.curricula"
METHODS: tuple[type[Curriculum], ...] = (
    Uniform,
    Mixture,
    Order,
    BabySteps,
    Competence,
    SEC,
    DUMP,
    UCB1,
    SelfPaced,
    LossTopK,
    DataMaps,
    Cyclical,
    EVOCurate,
    EDCO,
)
BUILT_IN: dict[str, type[Curriculum]] = {cls.name: cls for cls in METHODS}


def available_curricula() -> dict[str, type[Curriculum]]:
    """Every curriculum by name: the built-in ones and all plug-ins; a plug-in that does not load is an error."""
    return {name: _find(name) for name in _names()}


def make_curriculum(
    curriculum: str | type[Curriculum] | Curriculum, pool: Pool, seed: int = 0, **options: Any
) -> Curriculum:
    """
    Makes a curriculum from its name, its class or, as it is, an instance.

    Args:
        curriculum (`str`, `type[Curriculum]` or [`Curriculum`]):
            Name of a built-in curriculum or of an entry point in the group `trl_curriculum.curricula`; a class; or
            an instance made over the same rows.
        pool ([`Pool`]):
            Rows to choose from.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.
        options:
            Constructor options of the curriculum.

    Raises:
        `ValueError`: on an unknown name, an unknown option, or a value out of range; `TypeError` on a wrong type.
    """
    if isinstance(curriculum, Curriculum):
        if options:
            raise ValueError(f"The curriculum is already made: give {', '.join(options)} to its constructor instead.")
        if curriculum.pool.size != pool.size:
            raise ValueError(
                f"The curriculum was made for {curriculum.pool.size} rows, but the dataset has {pool.size}."
            )
        return curriculum
    cls = _find(curriculum) if isinstance(curriculum, str) else curriculum
    if not (isinstance(cls, type) and issubclass(cls, Curriculum)):
        raise TypeError(f"curriculum={curriculum!r} is not a name, a Curriculum class or an instance of one.")
    _check_options(cls, options)
    made = cls(pool, seed=seed, **options)
    made.options()  # a curriculum that could not be saved fails now, not at the first checkpoint
    return made


def _names() -> list[str]:
    return [*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN)]


def _find(name: str) -> type[Curriculum]:
    if name in BUILT_IN:
        return BUILT_IN[name]
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            try:
                cls = entry.load()
            except Exception as error:
                raise ImportError(
                    f"The plug-in curriculum {name!r} ({entry.value}) does not load: {type(error).__name__}: {error}"
                ) from error
            if not (isinstance(cls, type) and issubclass(cls, Curriculum)):
                raise TypeError(f"The plug-in curriculum {name!r} ({entry.value}) is not a Curriculum class.")
            return cls
    raise ValueError(f"Unknown curriculum {name!r}{nearest(name, _names())}: choose one of {', '.join(_names())}.")


def _check_options(cls: type[Curriculum], options: dict[str, Any]) -> None:
    parameters = inspect.signature(cls).parameters
    if "pool" not in parameters or "seed" not in parameters:
        raise TypeError(f"The constructor of {cls.__name__} must take `pool` and `seed`; it takes {list(parameters)}.")
    known = [name for name in parameters if name not in ("pool", "seed")]
    try:
        hints = typing.get_type_hints(cls.__init__)
    except NameError:  # annotations that exist for a type checker only
        hints = {}
    for name, value in options.items():
        if name not in known:
            raise ValueError(
                f"Curriculum {cls.name!r} has no option {name!r}{nearest(name, known)}: it has "
                f"{', '.join(known) or 'none'}."
            )
        if name in hints and not _fits(value, hints[name]):
            raise TypeError(f"Option {name}={value!r} of curriculum {cls.name!r} must be {_spell(hints[name])}.")


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _spell(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    return getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
