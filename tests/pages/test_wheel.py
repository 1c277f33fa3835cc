"""What a built wheel carries, and what its long description links to."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from trl_curriculum.report.long_description import absolute


ROOT = Path(__file__).parents[2]
SKILL = "trl_curriculum/.agents/skills/trl-curriculum/SKILL.md"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("trl_curriculum", "recipes"):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    shutil.copytree(ROOT / "evals" / "tasks", source / "evals" / "tasks")
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "-w", str(made), str(source)], check=True, capture_output=True)
    return zipfile.ZipFile(next(made.glob("*.whl")))


def test_it_carries_the_skill_and_the_recipes(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert SKILL in names
    assert wheel.read(SKILL).decode() == (ROOT / SKILL).read_text()
    recipes = {f"trl_curriculum/{path.relative_to(ROOT)}" for path in (ROOT / "recipes").rglob("*.yaml")}
    assert recipes <= names and len(recipes) > 20
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "trl_curriculum").rglob("*.py")}
    assert modules <= names


def test_the_skill_is_one_as_agents_read_it() -> None:
    text = (ROOT / SKILL).read_text()
    _, head, body = text.split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["name"] == Path(SKILL).parent.name and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", facts["name"])
    assert 0 < len(facts["description"]) <= 1024 and "Use when" in facts["description"]
    assert len(text.splitlines()) <= 200 and body.count("```bash") >= 4


def test_links_of_the_long_description_are_absolute() -> None:
    page = absolute((ROOT / "README.md").read_text(), "https://host.example/me/it/", "v1.0")
    targets = re.findall(r"\]\(([^)\s]+)\)", page)
    assert len(targets) > 10 and all(target.startswith("https://") for target in targets)
    assert "](https://host.example/me/it/raw/v1.0/docs/results/ladder/picture.svg)" in page
    assert "](https://host.example/me/it/blob/v1.0/docs/results.md#a-small-real-model)" in page
    assert absolute("[a](#here) [b](mailto:x@y.z)", "https://h", "v1") == "[a](#here) [b](mailto:x@y.z)"
