"""What `make upstream` makes of its tests' reports, and where it writes it."""

from pathlib import Path

from upstream import MARKER, PAGE, hook_of, read_report, updated


REPORT = """<testsuites><testsuite>
<testcase name="test_a" /><testcase name="test_b"><skipped message="no" /></testcase>
<testcase name="test_c"><failure message="AssertionError: TRL 1.17.0 or transformers 5.24.0 changed under trl_curriculum: the rollout buffer&#10;assert 1">x</failure></testcase>
<testcase name="test_d"><error message="ImportError: no name">x</error></testcase>
</testsuite></testsuites>"""  # noqa: E501


def test_the_first_hook_that_has_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    outcome = read_report(tmp_path / "report.xml")
    assert outcome.passed == 1 and str(outcome) == "1 passed, 2 failed"
    assert hook_of(outcome.failures[0]) == "the rollout buffer"
    assert hook_of(outcome.failures[1]) == "test_d: ImportError: no name"


def test_a_result_takes_its_row_of_the_table() -> None:
    page = f"before {MARKER}\n{MARKER} after"
    page = updated(page, ("1.16.0", "5.24.0", "3 passed", "4 passed", "works"))
    page = updated(page, ("1.16.0", "5.9.0", "1 passed, 2 failed", "4 passed", "fails: the rollout buffer"))
    page = updated(page, ("1.16.0", "5.24.0", "3 passed", "5 passed", "works"))
    rows = page.split(MARKER)[1].strip().splitlines()[2:]
    assert rows == [
        "| 1.16.0 | 5.9.0 | 1 passed, 2 failed | 4 passed | fails: the rollout buffer |",
        "| 1.16.0 | 5.24.0 | 3 passed | 5 passed | works |",
    ]
    assert page.startswith("before ") and page.endswith(" after")


def test_the_page_has_its_table() -> None:
    assert PAGE.read_text().count(MARKER) == 2
