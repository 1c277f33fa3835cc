"""
Methods by name, in one grammar for all families: `name`, `{name: {option: value}}`, or an object.

A registry knows no method: classes register themselves, other packages' by entry points.
"""

import dataclasses
import difflib
import functools
import importlib
import inspect
import json
import pkgutil
import typing
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from .options import Method, default_of, fits, option, repeated, shorten, spell


__all__ = ["Method", "Registry", "make_options", "nearest", "option"]

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
        example (`str`, *optional*):
            A spec with an option, for messages on what is none. Default: the first name.
    """

    def __init__(self, family: str, base: type[M], group: str, example: str | None = None) -> None:
        self.family, self.base, self.group, self.example = family, base, group, example
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
        entry = self._entry(name)
        if entry is None:  # installed since the entry points were read, if anywhere
            installed.cache_clear()
            entry = self._entry(name)
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
        if not vars(cls).get("name"):  # what it inherits is the name of another method
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
            if field.name not in options and default_of(field) is dataclasses.MISSING and field.name not in defaults:
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
                spec = json.loads(spec, object_pairs_hook=without_repeats)
            except json.JSONDecodeError as error:
                raise ValueError(f"The {self.family} {spec!r} is no JSON: {error}.") from error
        if isinstance(spec, str) and spec.lstrip().startswith("["):
            raise ValueError(
                f"The {self.family} {spec!r} is a list in one text: on the command line give its entries one after "
                "the other, with spaces between them."
            )
        if isinstance(spec, str):
            return spec, {}
        such_as = self.example or repr(next(iter(self.built_in), "name"))
        example = f"a name, or {{name: {{option: value}}}} such as {such_as}"
        if not isinstance(spec, dict) or len(spec) != 1:
            raise TypeError(f"The {self.family} {spec!r} is not {example}.")
        ((name, options),) = spec.items()
        if not isinstance(name, str) or not isinstance(options, dict | None):
            raise TypeError(f"The {self.family} {spec!r} is not {example}.")
        return name, dict(options or {})

    def _entries(self) -> Sequence[EntryPoint]:
        return installed(self.group)

    def _entry(self, name: str) -> EntryPoint | None:
        return next((entry for entry in self._entries() if entry.name == name), None)


@functools.cache
def installed(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, of all installed packages: read off the disk once, which takes 12 ms."""
    return tuple(entry_points(group=group))


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
    if not isinstance(options, dict):
        raise TypeError(f"{what}={shorten(options)} must be a mapping of options, of {', '.join(known)}.")
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{what} has no option {name!r}{nearest(name, known)}: it has {', '.join(known)}.")
        if not fits(value, hints[name]):
            raise TypeError(f"{name}={shorten(value)} in {what} must be {spell(hints[name])}.")
    return cls(**options)


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in JSON, none of whose keys is given twice."""
    if (twice := repeated(pairs)) is not None:
        raise ValueError(f"The option {twice!r} is given twice: leave one out.")
    return dict(pairs)
