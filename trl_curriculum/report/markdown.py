"""Tables and links of the pages that are written here."""

import re
from collections.abc import Sequence


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; a cell is one line, in which a bar is none of the table's."""
    lines = [names, ["---"] * len(names), *rows]
    cells = [[" ".join(str(cell).split()).replace("|", "&#124;") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def link(paper: str) -> str:
    """The paper of a method, with a link to it."""
    return re.sub(r"arXiv (\d+\.\d+)", r"[\1](https://huggingface.co/papers/\1)", paper)
