"""A bundle in the arguments of a run: its methods where none is given, and the arguments that they need."""

from dataclasses import fields
from typing import Any

from ..bundles import BUNDLES, Bundle


def set_bundle(args: Any, bundle: Bundle) -> None:
    """
    Sets in the arguments of a run what a bundle stands for; methods that are given beside it win.

    Raises:
        `ValueError`: where an argument that its methods need is given another value.
    """
    for name, spec in bundle.expand().items():
        if getattr(args, name) is None:
            setattr(args, name, spec)
    defaults = {field.name: field.default for field in fields(args)}
    for name, value in bundle.needs().items():
        given = getattr(args, name, None)
        if given not in (value, defaults.get(name)):
            raise ValueError(
                f"method {bundle.name!r} is the paper's with {name}={value!r}, and {name}={given!r} is given: leave "
                f"{name} out, or take its methods by their names: {spelled(bundle.expand())}."
            )
        setattr(args, name, value)


def spelled(values: dict[str, Any]) -> str:
    """Arguments as they are given in Python."""
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def bundle_line(args: Any) -> dict[str, str]:
    """What the bundle of a run has set of TRL's arguments, as a line of what is printed before training."""
    if getattr(args, "method", None) is None:
        return {}
    bundle = BUNDLES.make(args.method)
    sets = spelled(bundle.needs())
    return {"method": bundle.name + (f", which sets {sets}" if sets else "")}
