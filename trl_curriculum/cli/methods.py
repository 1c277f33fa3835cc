"""`trl-curriculum methods [NAME]`: what a run can name, built in or from another package, with its options."""

import argparse
import inspect
import json
import re
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..families import FAMILIES, options, row
from ..options import Method
from ..registry import nearest
from . import COMMANDS


COLUMNS = ("name", "family", "trainers", "signal", "cost", "paper")


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    parser = argparse.ArgumentParser(prog="trl-curriculum methods", description=COMMANDS["methods"])
    parser.add_argument("name", nargs="?", help="a method, whose options are then listed")
    parser.add_argument("--family", choices=list(FAMILIES), help="only the methods of this family")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(argv)
    found = [
        (family, cls)
        for family, registry in FAMILIES.items()
        if args.family in (None, family)
        for _, cls in sorted(registry.all().items())
    ]
    if args.name is not None:
        chosen = [(family, cls) for family, cls in found if cls.name == args.name]
        if not chosen:
            known = [cls.name for _, cls in found]
            raise ValueError(f"No method is called {args.name!r}{nearest(args.name, known)}: see them without a name.")
        return _show(chosen, args.json)
    rows = [row(family, cls) for family, cls in found]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for one in rows:
        table.add_row(*(escape(str(one[column])) for column in COLUMNS))
    Console().print(table)
    return 0


def _show(chosen: list[tuple[str, type[Method]]], as_json: bool) -> int:
    shown = [row(family, cls) | {"options": options(cls)} for family, cls in chosen]
    if as_json:
        print(json.dumps(shown, indent=2, default=str))
        return 0
    for one, (_, cls) in zip(shown, chosen, strict=True):
        text = inspect.cleandoc(cls.__doc__ or "")
        print(re.sub(r"\n*Example:.*", "", text, flags=re.DOTALL), end="\n\n")
        print(f"{one['family']}; {one['trainers']}; {one['paper']}; extra cost: {one['cost'] or 'free'}\n")
        table = Table("option", "default", "type", "what it does", "default from", box=None, pad_edge=False)
        for each in one["options"]:
            kind = " ".join(filter(None, (each["type"], each["limits"])))
            cells = (
                each["name"],
                "needed" if each["needed"] else str(each["default"]),
                kind,
                each["help"],
                each["source"],
            )
            table.add_row(*map(escape, cells))
        Console().print(table)
    return 0
