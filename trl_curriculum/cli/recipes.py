"""`trl-curriculum recipes [NAME]`: the recipes that come with the package, or the text of one."""

import argparse
import json
from collections.abc import Sequence
from textwrap import shorten

from ..scripts.recipes import find_recipe, recipes
from . import COMMANDS


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    parser = argparse.ArgumentParser(
        prog="trl-curriculum recipes",
        description=f"{COMMANDS['recipes']}. `--config NAME` finds a recipe by its name; "
        "`trl-curriculum recipes NAME > mine.yaml` makes a copy to change.",
    )
    parser.add_argument("name", nargs="?", help="a recipe, which is then printed")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(argv)
    if args.name is not None:
        print(find_recipe(args.name).read_text(encoding="utf-8"), end="")
        return 0
    rows = [one.row() for one in recipes()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    columns = [("name", *(one["name"] for one in rows)), ("method", *(one["method"] for one in rows))]
    columns.append(("model", *(one["model"] for one in rows)))
    columns.append(("what it is", *(shorten(one["about"], 100, placeholder=" …") for one in rows)))
    widths = [max(map(len, column)) for column in columns]
    for line in zip(*columns, strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0
