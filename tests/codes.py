"""
What the public codes of papers computed on small fixed inputs, once, and where ours differ: docs/results/codes.json.

`python tests/codes.py` writes the table of docs/results/codes.md anew. Tests of shapers and of curricula give the same
inputs to ours, one test a case, named after it.
"""

import json
from pathlib import Path
from typing import Any


PAGE = Path(__file__).parents[1] / "docs" / "results" / "codes.md"
RECORD: dict[str, Any] = json.loads(PAGE.with_suffix(".json").read_text())
HEAD = "| method | code | function | inputs | ours |\n|---|---|---|---|---|\n"


def case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was given, and what their code made of it."""
    found = RECORD["cases"][name]
    return found["given"], found["theirs"]


def table() -> str:
    """A row per case."""
    rows = []
    for found in RECORD["cases"].values():
        code = RECORD["codes"][found["code"]]
        link = f"[{code['repository']}](https://github.com/{code['repository']}/blob/{code['commit']}/{code['path']})"
        functions = ", ".join(_code(function) for function in found["function"].split(", "))
        rows.append(f"| `{found['method']}` | {link} | {functions} | {found['inputs']} | {found['result']} |")
    return HEAD + "\n".join(rows) + "\n"


def _code(function: str) -> str:
    """A function's name in code, with a remark after it."""
    name, _, remark = function.partition(" ")
    return f"`{name}` {remark}".strip()


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(text[: text.index(HEAD)] + table())
