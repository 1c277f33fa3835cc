"""A recipe that starts from another has its keys, and all that reads recipes sees both as one."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from trl_curriculum.cli import main
from trl_curriculum.cli.compare import CompareArguments
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.evaluation.rows import of_recipe
from trl_curriculum.scripts import hub
from trl_curriculum.scripts.launch import parse
from trl_curriculum.scripts.recipes import find_recipe, read_recipe, recipes, with_found_config


RECIPES = Path(__file__).parents[2] / "recipes"
ONE_GPU = RECIPES / "grpo" / "one_gpu.yaml"


def write(folder: Path, **files: str) -> None:
    """Recipes by their names, `sub_name` in the folder `sub`."""
    for name, text in files.items():
        path = folder / f"{name.replace('_', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def test_its_keys_win_with_all_that_they_hold(tmp_path: Path) -> None:
    write(tmp_path, own="base: grpo/one_gpu\ncurriculum: {sec: {tau: 1.0}}\narms: null\nbeta: 0.5\n")
    base = yaml.safe_load(ONE_GPU.read_text())
    assert base["curriculum"] == {"sec": {"alpha": 0.3, "tau": 0.2}} and base["arms"] == "level"
    expected = base | {"curriculum": {"sec": {"tau": 1.0}}, "arms": None, "beta": 0.5}
    assert read_recipe(tmp_path / "own.yaml") == read_recipe(tmp_path / "own.yaml", "grpo") == expected


def test_a_base_has_a_base_and_paths_begin_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a="seed: 1\nbeta: 1\nepsilon: 1\n", sub_b="base: ../a.yaml\nbeta: 2\nepsilon: 2\n")
    write(tmp_path, sub_c="base: b.yaml\nepsilon: 3\n", b="seed: 9\n")
    monkeypatch.chdir(tmp_path)  # whose b.yaml is another
    for path in (Path("sub/c.yaml"), tmp_path / "sub" / "c.yaml"):
        assert read_recipe(path) == {"seed": 1, "beta": 2, "epsilon": 3}
    write(tmp_path, sub_d=f"base: {tmp_path / 'b.yaml'}\n")
    assert read_recipe("sub/d.yaml") == {"seed": 9}


@pytest.mark.parametrize("name", ["grpo/one_gpu", "recipes/grpo/one_gpu.yaml", "grpo/one_gpu.yaml", str(ONE_GPU)])
def test_names_are_those_of_config(tmp_path: Path, name: str) -> None:
    write(tmp_path, own=f"base: {name}\n")
    assert read_recipe(tmp_path / "own.yaml") == yaml.safe_load(ONE_GPU.read_text())


@pytest.mark.parametrize(
    ("files", "command", "words"),
    [
        ({"own": "base: own.yaml"}, None, "base own.yaml leads back to"),
        ({"own": "base: b.yaml", "b": "base: c.yaml", "c": "base: b.yaml"}, "grpo", "c.yaml: base b.yaml leads back"),
        ({"own": "base: grpo/one_gqu"}, "grpo", "no recipe of that name (did you mean 'one_gpu'?)"),
        ({"own": "base: b.yaml", "b": "base: nowhere"}, "grpo", "b.yaml: base nowhere: there is no such file"),
        ({"own": "base: ../grpo/one_gpu.yaml"}, "grpo", "there is no such file"),
        ({"own": "base: sub", "sub_b": ""}, "grpo", "base sub is a folder: give a recipe in it"),
        ({"own": "base: {seed: 1}"}, "grpo", "base={'seed': 1} must be the name or the path of a recipe"),
        ({"own": "base: null"}, "grpo", "base=None must be the name or the path of a recipe"),
        ({"own": "base: b.yaml", "b": "- 1"}, "grpo", "base b.yaml is no recipe"),
        ({"own": "base: b.yaml", "b": "seed: 1\nseed: 2"}, "grpo", "line 2: 'seed' is given twice"),
        ({"own": "base: grpo/one_gpu"}, "sft", "base grpo/one_gpu: this recipe is one of `trl-curriculum grpo`"),
        ({"own": f"base: {ONE_GPU}"}, "sft", "this recipe is one of `trl-curriculum grpo`: run it so, or name"),
        ({"own": "base: b.yaml\n", "b": "base: sft/one_gpu"}, "grpo", "this recipe is one of `trl-curriculum sft`"),
        ({"own": "base: compare/cpu/countdown"}, "grpo", "this recipe is one of `trl-curriculum compare`"),
        ({"own": "base: one_gpu"}, None, "base one_gpu is a recipe of grpo and of sft: say which, as in grpo/one_gpu"),
    ],
)
def test_mistakes(
    tmp_path: Path, files: dict[str, str], command: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, **files)
    own = str(tmp_path / "own.yaml")
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        with_found_config(["--config", own], command)
    assert words in str(caught.value) and str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    if command is not None:
        assert main([command, "--config", own, "--dry_run"]) == 1
        assert capsys.readouterr().err == f"trl-curriculum {command}: {caught.value}\n"


def test_a_name_of_two_commands_is_that_of_the_run(tmp_path: Path) -> None:
    write(tmp_path, own="base: one_gpu\n")
    for command in ("grpo", "sft"):
        whole = yaml.safe_load((RECIPES / command / "one_gpu.yaml").read_text())
        assert read_recipe(tmp_path / "own.yaml", command) == whole


def test_a_grid_keeps_its_own() -> None:
    path = RECIPES / "compare" / "cpu" / "countdown.yaml"
    for command in ("compare", None):
        assert read_recipe(path, command) == yaml.safe_load(path.read_text())


OWN = """
base: b.yaml
curriculum: null
method: {cures: {outcome: math_accuracy}}
num_generations: 2
"""
BELOW = """
base: grpo/cpu/one_gpu
env: {A_BASE: set}
num_processes: 3
max_steps: 12
beta: 0.25
"""


def test_a_run_sees_one_recipe_and_the_command_line_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_BASE", "not yet")
    write(tmp_path, own=OWN, b=BELOW)
    argv = ["--config", str(tmp_path / "own.yaml"), "--max_steps", "8", "--output_dir", str(tmp_path / "out")]
    for command in ("grpo", None):
        script, training, _, _, launched = parse(load_recipe("grpo").make_parser(), argv, command=command)
        assert (training.max_steps, training.beta, training.num_generations) == (8, 0.25, 2)
        assert script.reward_funcs == ["math_accuracy"] and script.prompt_column == "problem"
        assert training.curriculum_method.name == "cures", "that of the bundle, not sec of the base"
        assert launched.from_config == ["--num_processes", "3", "--num_cpu_threads_per_process", "2"]
        assert launched.num_processes == 3 and os.environ["A_BASE"] == "set"


def test_an_unknown_key_of_a_base_is_refused(tmp_path: Path) -> None:
    write(tmp_path, own="base: b.yaml\n", b="base: grpo/cpu/one_gpu\nmax_stpes: 2\n")
    with pytest.raises(ValueError, match=r"Unknown argument 'max_stpes' in the config file \(did you mean 'max_step"):
        parse(load_recipe("grpo").make_parser(), ["--config", str(tmp_path / "own.yaml")])


def test_what_replaces_a_spec_of_the_base_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, own="base: grpo/cpu/one_gpu\n")
    parse(load_recipe("grpo").make_parser(), ["--config", str(tmp_path / "own.yaml"), "--curriculum", "uniform"])
    said = f"--curriculum uniform replaces sec of {tmp_path / 'own.yaml'}: its options (alpha, tau) go.\n"
    assert capsys.readouterr().err == said


def test_only_what_it_needs_of_the_hub_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, own="base: grpo/one_gpu\ndataset_name: grpo/cpu/math_sample\n")
    argv = ["--config", str(tmp_path / "own.yaml")]
    assert hub._names(argv, "grpo") == ["Qwen/Qwen2.5-0.5B-Instruct", "grpo/cpu/math_sample"]
    write(tmp_path, own="base: grpo/cpu/one_gpu\n")
    assert hub._names(argv, "grpo") == []


def test_a_comparison_has_whole_recipes(tmp_path: Path) -> None:
    def grid(**given: Any) -> Any:
        return CompareArguments(**{"methods": ["sec"], "output_dir": str(tmp_path)} | given).grid()

    write(
        tmp_path, own="base: grpo/cpu/one_gpu\nmax_steps: 4\n", grid="base: one_gpu\ncommand: sft\nmethods: [order]\n"
    )
    base = grid(base=str(tmp_path / "own.yaml")).base
    assert base == yaml.safe_load((RECIPES / "grpo/cpu/one_gpu.yaml").read_text()) | {"max_steps": 4}
    assert "trl-lib/Capybara" in hub._names(["--config", str(tmp_path / "grid.yaml")], "compare")
    with pytest.raises(ValueError, match=r"^base holds a base of its own: give the name or the path"):
        grid(base={"base": "grpo/one_gpu", "max_steps": 4})
    with pytest.raises(ValueError, match=r"^mine: base is the recipe that all methods share: leave it out"):
        grid(base="grpo/cpu/one_gpu", methods=[{"name": "mine", "base": "grpo/one_gpu"}])


def test_its_held_out_rows_are_those_of_its_base(tmp_path: Path) -> None:
    write(tmp_path, own="base: grpo/cpu/one_gpu\nsystem_prompt: Think.\n")
    test = of_recipe(str(tmp_path / "own.yaml"))["test"]
    assert len(test) == 10 and set(test["system"]) == {"Think."} and set(test["level"]) == {1, 2, 3, 4, 5}


def test_they_are_listed_with_what_they_have_from_it() -> None:
    rows = {one.name: one.row() for one in recipes() if one.name.startswith("grpo/")}
    assert (rows["grpo/greso"]["model"], rows["grpo/greso"]["method"]) == (
        "Qwen/Qwen2.5-0.5B-Instruct",
        "greso, refill",
    )
    assert rows["grpo/cures_allocation"]["method"] == "cures" and rows["grpo/dot"]["method"] == "dot"
    assert rows["grpo/refill_math"]["method"] == "uniform, refill" and rows["grpo/sec_math"]["method"] == "sec"


def test_a_printed_one_runs_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "grpo/greso"]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    assert read_recipe(tmp_path / "mine.yaml", "grpo") == read_recipe(find_recipe("greso", "grpo"), "grpo")
