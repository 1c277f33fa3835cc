"""
The contract tests and trainers' tests of this checkout with other versions of TRL and transformers, in the environment
`.venv-upstream`: `make upstream TRL=1.16.0 TRANSFORMERS=5.24.0`, which runs this and notes the result in
docs/support.md. `TRL` may be a folder with a checkout of it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "support.md"
MARKER = "<!-- versions -->"
HEAD = (
    "| TRL | transformers | hooks that are relied on | trainers' tests | result |\n| --- | --- | --- | --- | --- |\n"
)
CONTRACTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "trainers").glob("test_contract*.py"))


@dataclass(frozen=True)
class Outcome:
    """How a set of tests ended: how many passed, and the failures by test and message."""

    passed: int
    failures: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.passed} passed" + (f", {len(self.failures)} failed" if self.failures else "")


def read_report(report: Path) -> Outcome:
    """The outcome that pytest has written as JUnit's XML."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures, passed = [], 0
    for case in cases:
        wrong = next((child for child in case if child.tag in ("failure", "error")), None)
        if wrong is not None:
            failures.append((case.get("name", "?"), wrong.get("message", "").split("\n")[0]))
        elif case.find("skipped") is None:
            passed += 1
    return Outcome(passed, tuple(failures))


def hook_of(failure: tuple[str, str]) -> str:
    """What has changed upstream, in the words of the contract test; else the test and what it said."""
    test, message = failure
    return (
        message.split("changed under trl_curriculum: ", 1)[-1] if "changed under" in message else f"{test}: {message}"
    )


def updated(page: str, row: tuple[str, ...]) -> str:
    """The page with a row of the table of versions, in place of an earlier one of the same versions and tests."""
    before, table, after = page.split(MARKER)
    lines = table.strip().splitlines()[2:]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    kept = [*(old for old in rows if old[:2] != row[:2]), row]
    kept.sort(key=lambda one: [[int(part) if part.isdigit() else 0 for part in cell.split(".")] for cell in one[:2]])
    made = HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in kept)
    return f"{before}{MARKER}\n{made}{MARKER}{after}"


def _pytest(tests: list[str]) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        argv = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-m", "not slow", f"--junitxml={report}", *tests]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run([sys.executable, "-m", "pytest", *argv], cwd=ROOT, env=environment, check=False)
        if not report.exists():
            raise SystemExit("pytest wrote no report: see above.")
        return read_report(report)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl", required=True, help="version of TRL, or a folder with a checkout of it")
    parser.add_argument("--transformers", required=True, help="version of transformers")
    parser.add_argument("--tests", nargs="+", default=["tests/trainers"], help="which trainers' tests to run")
    args = parser.parse_args()
    trl = str(Path(args.trl).resolve()) if Path(args.trl).is_dir() else f"trl=={args.trl}"
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(pin for pin in pins if pin.split("==")[0] not in ("trl", "transformers")))
        constraints.flush()
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c"]
        subprocess.run([*pip, constraints.name, trl, f"transformers=={args.transformers}"], check=True)
    code = "import trl, transformers; print(trl.__version__, transformers.__version__)"
    versions = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    contracts = _pytest(CONTRACTS)
    if contracts.failures:
        print(f"\nThe first hook that has changed: {hook_of(contracts.failures[0])}")
    tests = [test for test in args.tests if test not in CONTRACTS]
    trained = _pytest([*tests, *(f"--ignore={path}" for path in CONTRACTS)])
    failures = contracts.failures + trained.failures
    which = (
        ""
        if args.tests == ["tests/trainers"]
        else f" ({', '.join(dict.fromkeys(Path(test.split('::')[0]).stem for test in args.tests))})"
    )
    result = "works" if not failures else f"fails: {hook_of(failures[0])}".replace("|", "/")
    PAGE.write_text(updated(PAGE.read_text(), (*versions, str(contracts), f"{trained}{which}", result)))
    print(f"\nTRL {versions[0]} with transformers {versions[1]}: {contracts} of the contract, {trained}; {result}.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
