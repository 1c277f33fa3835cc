"""The sentences of docs/troubleshooting.md are those that the code says."""

import ast
import re
from functools import cache
from pathlib import Path


ROOT = Path(__file__).parents[2]
HOLE = "\0"  # where a value is put in


@cache
def sentences() -> list[str]:
    """Every text of the package; values that are put in are holes."""
    found = []
    for folder in ("trl_curriculum", "recipes"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    found.append(
                        "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(re.sub(r"%[sdgr]", HOLE, node.value))
    return found


def is_said(quoted: str) -> bool:
    """Whether a text of the code has the parts of a quotation, in their order."""
    parts = [part.strip() for part in re.split(r"…|%[sdgr]", quoted) if part.strip()]
    pattern = re.compile(".*".join(map(re.escape, parts)), flags=re.DOTALL)
    return any(pattern.search(text) for text in sentences())


def quotations() -> list[str]:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    return [quoted for row in rows if not (quoted := row.split("`")[1]).startswith("curriculum/")]


def test_the_sentences_are_those_of_the_code() -> None:
    assert len(quotations()) > 25
    assert [quoted for quoted in quotations() if not is_said(quoted)] == []


def test_a_sentence_that_nobody_says_is_found() -> None:
    assert not is_said("there is no such file, and no recipe of that colour")
    assert not is_said("no recipe of that name … there is no such file")
