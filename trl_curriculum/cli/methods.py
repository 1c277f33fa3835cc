"""`trl-curriculum methods`: every curriculum that a run can name, built in or from another package."""

import argparse
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..named import available_curricula, make_curriculum
from ..pool import Pool
from ..signals import SHOWS
from . import COMMANDS


COLUMNS = ("name", "trainer", "signal", "cost", "paper")


def trainers(name: str) -> str:
    """The trainers that show what a curriculum follows, with its defaults; `?` where it has options to be given."""
    pool = Pool(2, arm=[0, 1], arm_names=["a", "b"], difficulty=[0.0, 1.0])
    try:
        needs = set(make_curriculum(name, pool).needs)
    except (TypeError, ValueError):
        return "?"
    return ", ".join(trainer for trainer, shows in SHOWS.items() if needs <= set(shows))


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    parser = argparse.ArgumentParser(prog="trl-curriculum methods", description=COMMANDS["methods"])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args(argv).json
    rows = [
        {"name": name, "trainer": trainers(name), **{column: str(getattr(cls, column)) for column in COLUMNS[2:]}}
        for name, cls in sorted(available_curricula().items())
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(row[column] for column in COLUMNS))
    Console().print(table)
    return 0
