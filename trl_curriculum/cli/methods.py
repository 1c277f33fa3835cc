"""`trl-curriculum methods`: every curriculum that a run can name, built in or from another package."""

import argparse
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..registry import available_curricula
from . import COMMANDS


COLUMNS = ("name", "signal", "cost", "paper")


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    parser = argparse.ArgumentParser(prog="trl-curriculum methods", description=COMMANDS["methods"])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args(argv).json
    rows = [
        {"name": name, **{column: str(getattr(cls, column)) for column in COLUMNS[1:]}}
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
