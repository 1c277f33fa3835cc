"""What docs/evaluation.md shows can be typed: its code runs, with a tiny model and its tasks for large ones."""

import re
import shlex
from pathlib import Path

import pytest
import tiny
import yaml
from harness import sft_trainer
from trl import TrlParser

from trl_curriculum.cli.eval import EvalArguments
from trl_curriculum.evaluation.callback import evaluations
from trl_curriculum.evaluation.index import OWN, find_tasks
from trl_curriculum.evaluation.measure import load_tasks
from trl_curriculum.evaluation.settings import EvaluationSettings, LiveSettings


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text()
TASKS = f"""{{"include_path": {str(Path(__file__).parent / "own_tasks")!r}, "tasks": """


def block(word: str, kind: str = "python") -> str:
    return next(text for text in re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL) if word in text)


def test_the_trainer_evaluates(tiny_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = (
        block("CurriculumSFTTrainer(")
        .replace("Qwen/Qwen3-1.7B-Base", tiny_path)
        .replace('["gsm8k"]', '["letters_choice"]')
    )
    code = code.replace("max_steps=200", "max_steps=2, use_cpu=True, bf16=False").replace('{"tasks": ', TASKS)
    scope: dict = {"dataset": tiny.sft_dataset(16)}
    exec(code, scope)
    assert set(scope["trainer"].lm_eval_results) == {"letters_choice", "letters_choice_stderr"}


def test_the_callback_can_be_added(tmp_path: Path) -> None:
    scope: dict = {"trainer": sft_trainer(tmp_path, max_steps=1)}
    exec(block("add_callback").replace('["arc_easy"]', '["letters_choice"]').replace('{"tasks": ', TASKS), scope)
    scope["trainer"].train()
    assert [row["step"] for row in evaluations(scope["trainer"].state.log_history)] == [1]


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    recipe = tmp_path / "my_recipe.yaml"
    recipe.write_text("test_tasks: [{family: chain_sum, size: 2, level: 1}, {family: chain_sum, size: 3, level: 2}]\n")
    text = block("include:", "yaml").replace("PACKAGE/evaluation/tasks", str(OWN))
    (tmp_path / "mine.yaml").write_text(text.replace("my_recipe.yaml", str(recipe)))
    settings = EvaluationSettings(["mine"], include_path=str(tmp_path))
    (task,) = load_tasks(settings, find_tasks(["mine"], settings.include_path))["tasks"].values()
    assert len(task.eval_docs) == 3 and task.config.generation_kwargs["max_gen_toks"] == 512


def test_commands_and_names_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    commands = [shlex.split(line)[2:] for line in block("trl-curriculum eval", "bash").splitlines()]
    for words in commands:
        (args,) = TrlParser([EvalArguments]).parse_args_and_config(words)
        assert args.tasks
    assert len(commands) == 3
    table = PAGE[PAGE.index("| after | evaluate with |") :].split("\n\n")[0]
    named = {name for line in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", line.split("|")[2])}
    assert named == {
        path.relative_to(ROOT / "recipes" / "eval").with_suffix("").as_posix()
        for path in (ROOT / "recipes" / "eval").rglob("*.yaml")
    }
    for name in re.findall(r"`(curriculum_\w+)`", PAGE):
        assert any(
            yaml.safe_load(path.read_text().replace("!function", "")).get(kind) == name
            for path in OWN.rglob("*.yaml")
            for kind in ("task", "group")
        ), name
    assert f"({LiveSettings(['a']).every}, unless set)" in PAGE
