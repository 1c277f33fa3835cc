"""A third party's methods, those of docs/add_a_method.md: built as a wheel, installed, found by name and tested."""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from trl_curriculum.families import FAMILIES


pytestmark = pytest.mark.xdist_group("plugin")  # one environment serves them all

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add_a_method.md").read_text()
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "my-package"
version = "1.0"

[tool.setuptools]
py-modules = ["my_package"]

"""
SPECS = {  # as a recipe's YAML gives them
    "curricula": {"revisit": {"window": 2}},
    "arms": {"prompt_length": {"k": 2}},
    "rollouts": {"middling": {"most": 0.5, "tries": 2}},
    "shaping": {"shorter": {"power": 2.0}},
    "probes": {"short_prefix": {"length": 4}},
    "rewards": {"brief": {"words": 3}},
    "selection": "nearest",
    "generators": {"sums": {"most": 5}},
    "templates": {"riddle": {"chat": True}},
    "rounds": {"counting": {"rounds": 3}},
    "bundles": {"sec_by_length": {"tau": 0.2}},
}
FOUND = """
import contextlib, io, json, sys
from types import SimpleNamespace
from trl_curriculum.cli import main
from trl_curriculum.families import FAMILIES

specs = json.loads(sys.argv[1])
made = {family: FAMILIES[family].make(spec) for family, spec in specs.items()}
shown = {"specs": {family: method.spec for family, method in made.items()}}
shown["modules"] = sorted({type(method).__module__ for method in made.values()})
try:
    FAMILIES["curricula"].make({"revisit": {"window": 0}})
except ValueError as error:
    shown["option"] = str(error)
from trl_curriculum import CurriculumGRPOConfig
args = CurriculumGRPOConfig("x", use_cpu=True, bf16=False, method=specs["bundles"], probe=specs["probes"])
shown["bundle"] = [args.curriculum, args.arms, args.rollouts]
from trl_curriculum.curricula import EDCO
shown["probe"] = args.probe_for(EDCO()) == made["probes"] == args.prefix_entropy
for name, argument in (("listed", "--json"), ("page", "revisit")):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["methods", argument]) == 0
    shown[name] = printed.getvalue()
job = SimpleNamespace(args=SimpleNamespace(output_dir=sys.argv[2] + "/rounds"))
shown["counted"] = (made["rounds"].run(job) / "number.txt").read_text()
sys.path.insert(0, sys.argv[2])  # from here on there are broken plug-ins as well
for family, registry in FAMILIES.items():
    for name in ("broken", "wrong"):
        try:
            registry.make(name)
        except (ImportError, TypeError) as error:
            shown[f"{family} {name}"] = f"{type(error).__name__}: {error}"
    try:
        registry.all()
    except ImportError as error:
        shown[f"{family} all"] = str(error)
    shown[family] = registry.get(next(iter(registry.built_in))).name
print(json.dumps(shown))
"""
ENVIRONMENT = {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
WRONG = """
from dataclasses import dataclass

import numpy as np

from my_package import Curriculum, CurriculumMethod, RolloutMethod, Shaper
from trl_curriculum.testing import conformance


@dataclass(frozen=True)
class Lost(CurriculumMethod):
    'Draws from the global generator.'


class LostCurriculum(Curriculum, of=Lost):
    def _pick(self, n):
        row = np.random.randint(0, self.pool.size, n)
        return row, self.pool.arm[row], np.full(n, np.nan)


@dataclass(frozen=True)
class Turned(Shaper):
    'Turns advantages around.'

    def advantage(self, rollouts):
        return -rollouts.advantage


@dataclass(frozen=True)
class Halves(RolloutMethod):
    'Keeps rollouts, not groups.'

    def keep(self, rollouts):
        return rollouts.reward > 0


test_lost, test_turned, test_halves = conformance(Lost()), conformance(Turned()), conformance(Halves())
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def package() -> str:
    """The methods of the page, in one module; DUMP is there to be read, and is in the package."""
    return "\n\n".join(block for block in blocks("python") if "\nclass " in block and "class DUMP" not in block)


def written_tests() -> str:
    return next(block for block in blocks("python") if "import conformance" in block)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the plug-in installed; it sees the packages of this one without copying them."""
    source = tmp_path_factory.mktemp("plugin")
    (source / "pyproject.toml").write_text(PYPROJECT + blocks("toml")[0])
    (source / "my_package.py").write_text(package())
    environment = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(environment, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels = source / "wheels"
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    site = next(environment.glob("lib/python*/site-packages"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), *map(str, wheels.glob("*.whl"))], check=True)
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "host.pth").write_text("\n".join(paths) + "\n")
    return environment / "bin" / "python"


@pytest.fixture(scope="module")
def shown(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process in the plug-in's environment finds, at last with a package of broken plug-ins beside it."""
    folder = tmp_path_factory.mktemp("broken")
    info = folder / "broken_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n")
    entries = "broken = my_package.missing:Nothing\nwrong = collections:OrderedDict\n"
    groups = "".join(f"[{registry.group}]\n{entries}\n" for registry in FAMILIES.values())
    (info / "entry_points.txt").write_text(groups)
    command = [str(python), "-c", FOUND, json.dumps(SPECS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=python.parent, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_page_has_a_method_of_each_family() -> None:
    assert set(SPECS) == set(FAMILIES)
    groups = re.findall(r'entry-points\."([\w.]+)"', PAGE)
    assert sorted(groups) == sorted(registry.group for registry in FAMILIES.values())


def test_plug_ins_of_each_family_are_found_by_name_and_listed(shown: dict[str, Any]) -> None:
    assert shown["specs"] == SPECS and shown["modules"] == ["my_package"]
    assert shown["option"] == "window=0 of revisit must be at least 1."
    assert shown["bundle"] == [{"sec": {"tau": 0.2}}, "prompt_length", ["middling"]]
    assert shown["probe"] is True and shown["counted"] == "2"
    listed = json.loads(shown["listed"])
    names = {(one["family"], one["name"]) for one in listed}
    assert {(family, spec if isinstance(spec, str) else next(iter(spec))) for family, spec in SPECS.items()} <= names
    assert {("curricula", "hardest"), ("curricula", "uncertain_half")} <= names
    assert "Draws after which a row is worth one more." in " ".join(shown["page"].split())


def test_a_broken_plug_in_fails_by_name_in_each_family(shown: dict[str, Any]) -> None:
    for family, registry in FAMILIES.items():
        what = f"The plug-in {registry.family}"
        broken = f"{what} 'broken' (my_package.missing:Nothing) does not load: ModuleNotFoundError"
        wrong = f"{what} 'wrong' (collections:OrderedDict) is no {registry.base.__name__} class."
        assert shown[f"{family} broken"].startswith(f"ImportError: {broken}")
        assert shown[f"{family} all"].startswith(broken)
        assert shown[f"{family} wrong"] == f"TypeError: {wrong}"
        assert shown[family] in registry.built_in, "the others still work"


def test_the_conformance_tests_of_the_page_pass_and_those_of_wrong_methods_fail(python: Path, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_mine.py").write_text(written_tests())
    (tmp_path / "tests" / "test_wrong.py").write_text(WRONG)
    command = [str(python), "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "tests/"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT)
    failed = re.findall(r"(?m)^(?:FAILED|ERROR) tests/test_(\w+).py(?:::(\S+))?", done.stdout)
    assert done.returncode == 1 and " passed" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    assert [name for file, name in failed if file == "mine"] == []
    assert {
        "test_lost[leaves_global_random_generators_alone]",
        "test_lost[same_seed_same_draws_on_every_rank]",
        "test_turned[signs_and_zeros_stay]",
        "test_halves[it_keeps_groups_whatever_their_order]",
    } <= {name for file, name in failed if file == "wrong"}
    named = re.findall(r"^test_\w+ = conformance\((\w+)\(", written_tests(), flags=re.MULTILINE)
    assert sorted(named) == sorted(set(re.findall(r"my_package:(\w+)", PAGE))), "each method of the page is tested"
