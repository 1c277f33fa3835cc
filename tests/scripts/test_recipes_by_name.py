"""Recipes are found by name, from a checkout and from an installed wheel, and listed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trl_curriculum.cli import main
from trl_curriculum.scripts.recipes import find_recipe, recipes, with_found_config


ROOT = Path(__file__).parents[2]
COUNTDOWN = ROOT / "recipes" / "grpo" / "sec_countdown.yaml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a wheel fills it: the recipes are inside the package."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "trl_curriculum", site / "trl_curriculum", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "recipes", site / "trl_curriculum" / "recipes")
    return site


MAIN = "import sys; from trl_curriculum.cli import main; code = main(); print('torch' in sys.modules); sys.exit(code)"


def installed(wheel: Path, *argv: str, folder: Path, code: str = MAIN) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    return subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )


@pytest.mark.parametrize(
    "name",
    [
        "sec_countdown",
        "sec_countdown.yaml",
        "grpo/sec_countdown",
        "recipes/grpo/sec_countdown.yaml",
        "./sec_countdown",
    ],
)
def test_spellings(name: str) -> None:
    assert find_recipe(name) == COUNTDOWN == find_recipe(name, "grpo")


def test_its_cpu_twin() -> None:
    twin = COUNTDOWN.parent / "cpu" / COUNTDOWN.name
    for name in ("cpu/sec_countdown", "grpo/cpu/sec_countdown", "recipes/grpo/cpu/sec_countdown.yaml"):
        assert find_recipe(name, "grpo") == twin


def test_a_file_of_ones_own_comes_first(tmp_path: Path) -> None:
    (tmp_path / "recipes" / "grpo").mkdir(parents=True)
    for name in ("sec_countdown", "recipes/grpo/sec_countdown.yaml"):
        (tmp_path / name).write_text("output_dir: mine")
        assert find_recipe(name) == Path(name)


@pytest.mark.parametrize(
    ("name", "command", "words"),
    [
        ("sec_cuntdown", "grpo", "no recipe of that name (did you mean 'sec_countdown'?)"),
        ("recipes/grpo/sec_cuntdown.yaml", None, "did you mean 'sec_countdown'?"),
        ("sec_countdown", "sft", "is one of `trl-curriculum grpo`"),
        ("/nowhere/sec_countdown.yaml", "grpo", "there is no such file, and no recipe of that name (did you mean"),
        ("../grpo/sec_countdown.yaml", "grpo", "there is no such file"),
        ("grpo", "grpo", "there is no such file"),
        ("sec_countdown.json", "grpo", "there is no such file"),
        ("", "grpo", "is a folder"),
        (".", "grpo", "is a folder"),
        ("countdown", "grpo", "`trl-curriculum recipes` lists"),
    ],
)
def test_what_is_not_there(name: str, command: str | None, words: str) -> None:
    with pytest.raises(FileNotFoundError) as error:
        find_recipe(name, command)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_which_file_is_used_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--config", "sec_countdown", "--dry_run"], ["--config=sec_countdown", "--dry_run"]):
        assert with_found_config(argv, "grpo") == ["--config", str(COUNTDOWN), "--dry_run"]
        assert capsys.readouterr().err == f"Recipe: {COUNTDOWN}\n"
    assert with_found_config(["--config", str(COUNTDOWN), "--config"], "grpo") == [
        "--config",
        str(COUNTDOWN),
        "--config",
    ]
    assert not capsys.readouterr().err


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(list((ROOT / "recipes").rglob("*.yaml")))
    line = next(line for line in lines if line.startswith("grpo/sec_countdown "))
    assert line.split()[:3] == ["grpo/sec_countdown", "sec", "Qwen/Qwen2.5-3B"]
    assert line.endswith("SEC (Self-Evolving Curriculum, arXiv 2505.14970) on Countdown")
    assert main(["recipes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["name"] and row["method"] and row["about"] for row in rows)
    assert main(["recipes", "sec_countdown"]) == 0
    assert capsys.readouterr().out == COUNTDOWN.read_text()


def test_every_listed_name_is_found() -> None:
    for one in recipes():
        assert find_recipe(one.name, one.command) == one.path


def test_from_a_wheel(wheel: Path, tmp_path: Path) -> None:
    done = installed(wheel, "recipes", "cpu/sec_countdown", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith((COUNTDOWN.parent / "cpu" / COUNTDOWN.name).read_text())
    (tmp_path / "mine.yaml").write_text("base: grpo/cpu/greso\n")
    code = f"from trl_curriculum.scripts.recipes import read_recipe; print(read_recipe('mine.yaml')['arms']); {MAIN}"
    done = installed(wheel, "sft", "--config", "mine.yaml", folder=tmp_path, code=code)
    assert "mine.yaml: base grpo/cpu/greso: this recipe is one of `trl-curriculum grpo`" in done.stderr
    assert done.stdout == "level\nFalse\n", "it is told before torch is imported"
    done = installed(wheel, "sft", "--config", "evo_curate_no_robot", "--dry_run", folder=tmp_path)
    assert done.returncode == 1 and "did you mean 'evo_curate_no_robots'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == "False\n", "a typo is told before torch is imported"
