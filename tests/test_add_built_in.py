"""A method that joins the package touches its own file, one row of the table, and what `make pages` writes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from test_plugin import blocks


ROOT = Path(__file__).parents[1]
FILES = {  # of the page's methods, as files of the package
    "curricula/revisit.py": ("class Revisit", "CURRICULA", "trl_curriculum.curricula", "arXiv 1234.56789"),
    "shaping/shorter.py": ("class Shorter", "SHAPING", "trl_curriculum.shaping", "arXiv 9876.54321"),
}
ROWS = """
from trl_curriculum import CURRICULA
from trl_curriculum.shaping import SHAPING
from trl_curriculum.testing import case, table

test_new = table({"revisit": case(CURRICULA.make("revisit")), "shorter": case(SHAPING.make("shorter"))})
"""
FOUND = """
import contextlib, io, json
import trl_curriculum
from trl_curriculum.cli import main
from trl_curriculum.curricula import CURRICULA, Revisit
from trl_curriculum.report.tables import curricula, families, reference
from trl_curriculum.shaping import SHAPING, Shorter

assert CURRICULA.make({"revisit": {"window": 3}}) == Revisit(3) and SHAPING.make("shorter") == Shorter()
with contextlib.redirect_stdout(io.StringIO()) as printed:
    assert main(["methods", "--json"]) == 0
listed = [(one["family"], one["name"], one["paper"]) for one in json.loads(printed.getvalue())]
print(json.dumps([trl_curriculum.__file__, listed, reference(), curricula() + families()]))
"""


def test_a_new_file_is_all_that_a_built_in_method_takes(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "trl_curriculum", tmp_path / "trl_curriculum", ignore=shutil.ignore_patterns("__pycache__"))
    for file, (marker, registry, package, paper) in FILES.items():
        code = next(block for block in blocks("python") if marker in block)
        name = Path(file).stem
        decorated = code.replace("@dataclass", f'@{registry}.add("{name}", paper="{paper}")\n@dataclass', 1)
        head = f"from {package}.base import {registry}\n"
        (tmp_path / "trl_curriculum" / file).write_text(
            head + decorated.replace(f"from {package} import", f"from {package}.base import")
        )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_rows.py").write_text(ROWS)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}

    done = subprocess.run([sys.executable, "-c", FOUND], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    where, listed, reference, readme = json.loads(done.stdout.splitlines()[-1])
    assert Path(where).is_relative_to(tmp_path)
    assert ["curricula", "revisit", "arXiv 1234.56789"] in listed
    assert ["shaping", "shorter", "arXiv 9876.54321"] in listed
    for name, link in (("revisit", "1234.56789"), ("shorter", "9876.54321")):
        assert f"\n### {name}\n" in reference
        assert f"https://huggingface.co/papers/{link}" in reference

    assert "[`revisit`](#revisit)" in readme
    (row,) = [line for line in readme.splitlines() if line.startswith("| shaping")]  # names what fits, counts the rest
    rest = re.search(r"and \[(\d+) more\]", row)
    assert row.count("`") / 2 + int(rest[1] if rest else 0) == sum(family == "shaping" for family, *_ in listed)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_rows.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:] + done.stderr[-2000:]
