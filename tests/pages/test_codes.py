"""docs/results/codes.md says of each case what its test holds."""

import ast
import re
from pathlib import Path

from codes import HEAD, PAGE, RECORD, table


TESTS = [Path(__file__).parents[1] / name / f"test_{name}_codes.py" for name in ("shaping", "curricula")]


def test_the_table_is_that_of_the_record() -> None:
    text = PAGE.read_text()
    assert text[text.index(HEAD) :] == table(), "run python tests/codes.py"


def test_each_case_has_a_test_and_each_code_a_commit_and_a_case() -> None:
    found = [
        node.name for path in TESTS for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    assert [name for name in found if name.startswith("test_")] == [f"test_{name}" for name in RECORD["cases"]]
    assert {one["code"] for one in RECORD["cases"].values()} == set(RECORD["codes"])
    assert all(re.fullmatch("[0-9a-f]{40}", code["commit"]) for code in RECORD["codes"].values())
    assert all(re.match("equal|differs", one["result"]) for one in RECORD["cases"].values())
