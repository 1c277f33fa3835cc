"""Recipes of single methods start from another: each is planned, as is its twin, and every method has one."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_recipes import ON_THE_HUB, RECIPES, allowed_in, derived, differences, run

from trl_curriculum.bundles import BUNDLES
from trl_curriculum.curricula import CURRICULA
from trl_curriculum.registry import Registry
from trl_curriculum.rollouts import ROLLOUTS
from trl_curriculum.scripts.recipes import find_recipe, read_recipe, recipes
from trl_curriculum.shaping import SHAPING


WHOLE = [one for one in recipes() if one.command in ("grpo", "sft") and "/cpu/" not in one.name]
NAMES = [tuple(one.name.split("/")) for one in WHOLE if derived(one.path)]
FAMILIES: dict[str, Registry[Any]] = {"curriculum": CURRICULA, "rollouts": ROLLOUTS, "shaping": SHAPING}
WITHOUT = {("curriculum", "placebo"): "is the control of another method, which `compare` adds"}
WITHOUT_PAPER = {"temperature"}
SIZES = "round_batches every candidates step width subset neighbours initial"  # of methods
OF_THE_PAIR = {"base": "a base each", "end": "a token of the model"} | dict.fromkeys(SIZES.split(), "sizes")


def methods(path: Path, kind: str) -> set[tuple[str, str]]:
    """The methods that a recipe runs, by the argument that they are given to, and its bundle."""
    recipe = read_recipe(path, kind)
    bundle = recipe.get("method") and BUNDLES.make(recipe["method"])
    brought = bundle.expand() if bundle else {}
    found = {("method", bundle.name)} if bundle else set()
    for name, family in FAMILIES.items():
        specs = recipe[name] if recipe.get(name) is not None else brought.get(name)
        found |= {(name, one.name) for one in family.make_all(specs)}
    return found


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each dataset of the Hub a folder of its name, with 64 rows that have its columns."""
    root = tmp_path_factory.mktemp("hub")
    for name, (row, other) in ON_THE_HUB.items():
        (root / name).mkdir(parents=True)
        for split, n in (("train", 64), ("test", 4)):
            lines = [json.dumps(row | (other if i % 2 else {})) for i in range(n)]
            (root / name / f"{split}.jsonl").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize("folder", [".", "cpu"])
@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_it_is_planned(kind: str, name: str, folder: str, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = RECIPES / kind / folder / f"{name}.yaml"
    hub = read_recipe(path, kind).get("dataset_name", "")
    local = ["--dataset_name", rows / hub, "--max_steps", "200"] if folder == "." else []  # so few rows end early
    run(kind, "--config", path, "--dry_run", *local)
    plan = capsys.readouterr().out
    assert ("64 to train on" in plan) == (folder == ".")
    for argument, method in methods(path, kind):
        words = {"curriculum": f"curriculum  {method} (", "method": f"method      {method}"}
        assert words.get(argument, f"{method} (") in plan
    assert "as the run names its own" not in plan, "the base has what the bundle brings"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_twin_has_the_same_lines(kind: str, name: str) -> None:
    paths = [RECIPES / kind / folder / f"{name}.yaml" for folder in (".", "cpu")]
    bases = [yaml.safe_load(path.read_text())["base"] for path in paths]
    assert bases[1] == bases[0].replace("/", "/cpu/")
    assert bases[0] in {one.name for one in WHOLE}, "a name, by which a copy elsewhere finds it"
    strangers = differences(*paths, allowed_in(kind) | OF_THE_PAIR)
    assert not strangers, f"{name}: the twin differs from the recipe in {strangers}"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_its_head_says_how_to_run_it(kind: str, name: str) -> None:
    for folder in (".", "cpu"):
        path = RECIPES / kind / folder / f"{name}.yaml"
        _, command, flag, named = shlex.split(re.findall(r"(?m)^#   (.+)$", path.read_text())[-1])
        assert (command, flag) == (kind, "--config") and find_recipe(named, kind) == path.resolve()


def test_every_method_has_a_recipe() -> None:
    named = set().union(*(methods(one.path, one.command) for one in WHOLE))
    built_in = {(argument, name) for argument, family in FAMILIES.items() for name in family.built_in}
    built_in |= {("method", name) for name in BUNDLES.built_in}
    assert built_in - named == set(WITHOUT), "a recipe with `base: grpo/one_gpu` and its twin in recipes/grpo/cpu"


def test_no_two_runs_share_a_folder() -> None:
    folders = [read_recipe(one.path, one.command)["output_dir"] for one in recipes() if one.command in ("grpo", "sft")]
    assert len(folders) == len(set(folders))


def test_the_papers_name_them() -> None:
    page = (RECIPES.parent / "docs" / "papers.md").read_text()
    on_page = set(re.findall(r"(?m)^trl-curriculum (\w+) --config (\w+)(?= |$)", page))
    assert {(kind, name) for kind, name in NAMES if name not in WITHOUT_PAPER} <= on_page
