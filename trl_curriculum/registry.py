"""
Methods by name, in one grammar for all families: `name`, `{name: {option: value}}`, or an object.

A method is a frozen dataclass of options, a value that can be compared, saved and printed. Its options are declared
once, by [`option`], and checked when it is made: before any work, whoever spells them.
"""

import dataclasses
import difflib
import importlib
import inspect
import json
import math
import numbers
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, Literal, TypeVar, Union


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
            Limits of a number; the latter two are themselves outside.
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
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            if field.init:
                _check(self, field, hints[field.name])
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
            if field.init and (value := getattr(self, field.name)) != _default(field)
        }
        return {self.name: _plain(changed)} if changed else self.name

    @classmethod
    def summary(cls) -> str:
        """The first sentence of its docstring."""
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())


M = TypeVar("M", bound=Method)
C = TypeVar("C", bound=type)
Spec = str | dict[str, Any] | Method | type[Method] | None


class Registry(Generic[M]):
    """
    The methods of one family, built in or from other packages.

    Args:
        family (`str`):
            What a method of it is called, such as `"curriculum"`.
        base (`type`):
            Class of its methods.
        group (`str`):
            Entry points by which other packages add methods, each naming a class.
    """

    def __init__(self, family: str, base: type[M], group: str) -> None:
        self.family, self.base, self.group = family, base, group
        self.built_in: dict[str, type[M]] = {}

    def add(self, name: str, **facts: Any) -> Callable[[C], C]:
        """
        Registers a class under a name.

        Args:
            name (`str`):
                As recipes spell it.
            facts:
                Class attributes that are the same for all its instances: `paper`, `trainers`, …
        """

        def register(cls: C) -> C:
            if self.built_in.get(name, cls).__qualname__ != cls.__qualname__:
                raise ValueError(f"Two {self.family} methods are called {name!r}: {self.built_in[name]} and {cls}.")
            for fact, value in {"name": name, **facts}.items():
                setattr(cls, fact, value)
            self.built_in[name] = cls
            return cls

        return register

    def load(self, package: str, path: Iterable[str]) -> dict[str, type[M]]:
        """Imports every file of a package, so that its methods register themselves; returns them by class name."""
        for module in pkgutil.iter_modules(path):
            importlib.import_module(f"{package}.{module.name}")
        return {cls.__name__: cls for cls in self.built_in.values()}

    def names(self) -> list[str]:
        """All names, the built-in ones first."""
        return [*self.built_in, *(entry.name for entry in self._entries() if entry.name not in self.built_in)]

    def all(self) -> dict[str, type[M]]:
        """Every method by name; a plug-in that does not load is an error."""
        return {name: self.get(name) for name in self.names()}

    def get(self, name: str) -> type[M]:
        """
        The class of that name.

        Raises:
            `ValueError`: on an unknown name; `ImportError` on a plug-in that does not load, `TypeError` on one that is
            something else.
        """
        if name in self.built_in:
            return self.built_in[name]
        entry = next((entry for entry in self._entries() if entry.name == name), None)
        if entry is None:
            known = self.names()
            raise ValueError(
                f"Unknown {self.family} {name!r}{nearest(name, known)}: choose one of {', '.join(known)}."
            )
        try:
            cls = entry.load()
        except Exception as error:
            raise ImportError(
                f"The plug-in {self.family} {name!r} ({entry.value}) does not load: {type(error).__name__}: {error}"
            ) from error
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            raise TypeError(f"The plug-in {self.family} {name!r} ({entry.value}) is no {self.base.__name__} class.")
        if not cls.name:
            cls.name = name
        return cls

    def make(self, spec: Spec, **defaults: Any) -> M:
        """
        Makes a method of its spec.

        Args:
            spec:
                A name; a mapping `{name: {option: value}}`, also as JSON; a class; or a method, which stays as it is.
            defaults:
                Options to be set where the method has them and the spec does not set them.

        Raises:
            `ValueError`: on an unknown name or option, or a value out of range; `TypeError` on a wrong type.
        """
        if isinstance(spec, self.base):
            return spec
        options: dict[str, Any]
        if isinstance(spec, type) and issubclass(spec, self.base):
            name, cls, options = spec.name or spec.__name__, spec, {}
        else:
            name, options = self.parse(spec)
            cls = self.get(name)
        known = {field.name: field for field in dataclasses.fields(cls) if field.init}
        for given in options:
            if given not in known:
                raise ValueError(
                    f"{self.family.capitalize()} {name!r} has no option {given!r}{nearest(given, known)}: it has "
                    f"{', '.join(known) or 'none'}."
                )
        for field in known.values():
            if field.name not in options and _default(field) is dataclasses.MISSING and field.name not in defaults:
                raise ValueError(f"{self.family.capitalize()} {name!r} needs the option {field.name!r}.")
        return cls(**{given: value for given, value in defaults.items() if given in known} | options)

    def make_all(self, specs: Any) -> tuple[M, ...]:
        """Makes the methods of a list of specs; of one spec alone; of nothing where it is `None` or `"none"`."""
        if specs is None or specs == "none" or specs == ["none"]:
            return ()
        return tuple(self.make(spec) for spec in (specs if isinstance(specs, list | tuple) else [specs]))

    def parse(self, spec: Any) -> tuple[str, dict[str, Any]]:
        """The name and the options of a spec, unchecked."""
        if isinstance(spec, str) and spec.lstrip().startswith("{"):
            try:
                spec = json.loads(spec, object_pairs_hook=_without_repeats)
            except json.JSONDecodeError as error:
                raise ValueError(f"The {self.family} {spec!r} is no JSON: {error}.") from error
        if isinstance(spec, str):
            return spec, {}
        example = f"a name, or {{name: {{option: value}}}} such as {next(iter(self.built_in), 'name')!r}"
        if not isinstance(spec, dict) or len(spec) != 1:
            raise TypeError(f"The {self.family} {spec!r} is not {example}.")
        ((name, options),) = spec.items()
        if not isinstance(name, str) or not isinstance(options, dict | None):
            raise TypeError(f"The {self.family} {spec!r} is not {example}.")
        return name, dict(options or {})

    def _entries(self) -> Sequence[EntryPoint]:
        return list(entry_points(group=self.group))


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for an unknown name that is close to a known one, and nothing otherwise."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def make_options(cls: type, options: dict[str, Any], what: str) -> Any:
    """
    Makes a dataclass of options that is no method of a family.

    Raises:
        `ValueError`: on an unknown name or a value out of range; `TypeError` on a wrong type.
    """
    known, hints = list(inspect.signature(cls).parameters), typing.get_type_hints(cls)
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{what} has no option {name!r}{nearest(name, known)}: it has {', '.join(known)}.")
        if not _fits(value, hints[name]):
            raise TypeError(f"{name}={value!r} in {what} must be {spell(hints[name])}.")
    return cls(**options)


def _default(field: dataclasses.Field) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def _check(method: Method, field: dataclasses.Field, hint: Any) -> None:
    value, limits = getattr(method, field.name), field.metadata
    where = f"{field.name}={value!r} of {method.name or type(method).__name__}"
    if not _fits(value, hint):
        raise TypeError(f"{where} must be {spell(hint)}.")
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return
    if math.isnan(value):
        raise ValueError(f"{where} is not a number.")
    inside = (
        value >= limits.get("least", -math.inf)
        and value <= limits.get("most", math.inf)
        and value > limits.get("above", -math.inf)
        and value < limits.get("below", math.inf)
    )
    if not inside or math.isinf(value):
        raise ValueError(f"{where} must be {spell_limits(limits) or 'finite'}.")


def spell_limits(limits: Any) -> str:
    """The limits of a number, in words."""
    words = (("least", "at least"), ("above", "above"), ("most", "at most"), ("below", "below"))
    return " and ".join(f"{word} {limits[name]:g}" for name, word in words if name in limits)


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True  # it is a class, of which nothing is an instance
    origin = typing.get_origin(hint)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in typing.get_args(hint))
    if origin in (Union, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    if origin is dict:
        key, item = typing.get_args(hint)
        return isinstance(value, dict) and all(_fits(k, key) and _fits(v, item) for k, v in value.items())
    if origin in (list, tuple):
        inner = typing.get_args(hint)[0]
        return isinstance(value, list | tuple) and all(_fits(one, inner) for one in value)
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
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"The option {twice!r} is given twice: leave one out.")
    return dict(pairs)
