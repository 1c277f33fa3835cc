"""A bundle in the arguments of a run: its methods where none is given, and the arguments that they need."""

from dataclasses import fields
from typing import Any

from ..bundles import BUNDLES, Bundle
from ..curricula import CURRICULA
from ..data.names import listed
from ..probes import PROBES
from ..rollouts import ROLLOUTS
from ..shaping import SHAPING


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
    """What the bundle of a run has set of TRL's arguments, and what is not its own, in a line for the plan."""
    if getattr(args, "method", None) is None:
        return {}
    bundle = BUNDLES.make(args.method)
    sets, without = spelled(bundle.needs()), listed(_replaced(args, bundle))
    line = bundle.name + (f", which sets {sets}" if sets else "")
    return {"method": line + (f"; not its {without}, as the run names its own" if without else "")}


def _replaced(args: Any, bundle: Bundle) -> list[str]:
    """Families of which the run has no method of its bundle, since others are given beside it."""
    families = {"curriculum": CURRICULA, "probe": PROBES, "rollouts": ROLLOUTS, "shaping": SHAPING}
    found = []
    for name, spec in bundle.expand().items():
        family: Any = families.get(name)
        if family is None:  # arms, which may be columns
            continue
        own, given = ({one.name for one in family.make_all(specs)} for specs in (spec, getattr(args, name)))
        if not own <= given:
            found.append(name)
    return found
