"""What is printed: names from data are text there, never markup, and nothing that is printed may end a run."""

import io
import logging
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..data.names import shown
from ..stdout import say


logger = logging.getLogger(__name__)

LONGEST = 30  # rows of a table that are printed
WIDTH = 110  # columns where no terminal says its own


def show(*tables: Table) -> None:
    """Prints tables."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    for table in tables:
        made = io.StringIO()
        width = shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout is not None else WIDTH
        Console(file=made, width=width, color_system=None, safe_box=not encoding.startswith("utf")).print(table)
        say(made.getvalue().rstrip("\n"))


def table(
    title: str,
    columns: Mapping[str, str],
    rows: Iterable[Sequence[Any]],
    boxed: bool = False,
    longest: int | None = LONGEST,
) -> Table:
    """
    A table whose cells and title are text, whatever they hold.

    Args:
        title (`str`):
            Above it.
        columns (`Mapping[str, str]`):
            Their names, and for each `"name"` (text from data, shortened), `"words"` (text that may fold) or
            `"number"`.
        rows (`Iterable[Sequence]`):
            Cells: text, or numbers with a fraction, which get three digits.
        boxed (`bool`, *optional*, defaults to `False`):
            Whether it has lines.
        longest (`int`, *optional*, defaults to `30`):
            Rows after which it only says how many follow.
    """
    look: dict[str, Any] = {} if boxed else {"box": None, "pad_edge": False, "title_justify": "left"}
    made = Table(title=Text(shown(title, WIDTH)), **look)
    for name, kind in columns.items():
        made.add_column(
            Text(shown(name)),
            justify="right" if kind == "number" else "left",
            overflow="fold",
            no_wrap=kind == "name",
        )
    rows = list(rows)
    n = len(rows) if longest is None or len(rows) <= longest + 1 else longest
    for row in rows[:n]:
        made.add_row(*(_cell(value, kind) for value, kind in zip(row, columns.values(), strict=True)))
    if n < len(rows):
        made.add_row(Text(f"… {len(rows) - n:,} more"), *(Text("") for _ in range(len(columns) - 1)))
    return made


def _cell(value: Any, kind: str) -> Text:
    if isinstance(value, float):
        return Text("-" if math.isnan(value) else f"{value:.3f}")
    if kind == "name":
        return Text(shown(value))
    return Text(shown(value, 2000) if str(value) else "")


def lines(named: Mapping[str, str], first: int = 12) -> str:
    """Lines such as `name        text`."""
    return "\n".join(f"{name:<{first}}{text}" for name, text in named.items())
