"""A third party's curriculum: built as a wheel, installed into a fresh environment, found by name."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest


pytestmark = pytest.mark.xdist_group("plugin")  # one environment serves them all

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "curriculum-plugin"
version = "1.0"

[project.entry-points."trl_curriculum.curricula"]
revisit = "curriculum_plugin:Revisit"
broken = "curriculum_plugin.missing:Nothing"
wrong = "collections:OrderedDict"

[tool.setuptools]
py-modules = ["curriculum_plugin"]
"""


def example() -> str:
    """The curriculum of docs/add_a_method.md, as a reader would copy it."""
    text = (Path(__file__).parents[1] / "docs" / "add_a_method.md").read_text()
    return text.split("```python\n", 1)[1].split("```", 1)[0]


SCRIPT = """
import json
import numpy as np
from trl_curriculum import CURRICULA, Feedback, Pool

method = CURRICULA.make({"revisit": {"window": 2}})
curriculum = method.bind(Pool(5))
shown = {"rows": curriculum.select(3).row.tolist(), "name": type(curriculum).__name__, "spec": method.spec}
shown["saved"] = curriculum.state_dict()["method"]
try:
    CURRICULA.make({"revisit": {"window": 0}})
except ValueError as error:
    shown["option"] = str(error)
for name in ("broken", "wrong"):
    try:
        CURRICULA.make(name)
    except (ImportError, TypeError) as error:
        shown[name] = str(error)
try:
    CURRICULA.all()
except ImportError as error:
    shown["all"] = str(error)
shown["others"] = CURRICULA.make("sec").name
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the plug-in installed; it sees the packages of this one without copying them."""
    source = tmp_path_factory.mktemp("plugin")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "curriculum_plugin.py").write_text(example())
    environment = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(environment, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels = source / "wheels"
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    site = next(environment.glob("lib/python*/site-packages"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), *map(str, wheels.glob("*.whl"))], check=True)
    paths = [str(Path(__file__).parents[1]), *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "host.pth").write_text("\n".join(paths) + "\n")
    return environment / "bin" / "python"


def test_a_plug_in_is_found_and_a_broken_one_fails_by_name(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(python), "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shown = json.loads(done.stdout.splitlines()[-1])
    assert shown["name"] == "RevisitCurriculum" and all(0 <= row < 5 for row in shown["rows"])
    broken = "The plug-in curriculum 'broken' (curriculum_plugin.missing:Nothing) does not load: ModuleNotFoundError"
    assert shown["broken"].startswith(broken) and shown["all"].startswith(broken)
    assert "The plug-in curriculum 'wrong' (collections:OrderedDict) is no CurriculumMethod class." == shown["wrong"]
    assert shown["others"] == "sec"
    assert shown["spec"] == {"revisit": {"window": 2}} and shown["saved"] == "revisit"
    assert shown["option"] == "window=0 of revisit must be at least 1."


def test_a_plug_in_passes_the_conformance_table(python: Path, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_mine.py").write_text(
        "from curriculum_plugin import Revisit\nfrom trl_curriculum.testing import conformance\n"
        "test_mine = conformance(Revisit(window=2))\n"
    )
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_mine.py"]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
