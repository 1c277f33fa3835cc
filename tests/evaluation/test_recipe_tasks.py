"""Tasks that are made of recipes, and recipes that name tasks: rows, prompts and rewards are those of training."""

from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
import yaml
from lm_eval.tasks import TaskManager

from trl_curriculum.cli.eval import EvalArguments
from trl_curriculum.evaluation.index import OWN, find_tasks, tasks_key
from trl_curriculum.evaluation.measure import load_tasks
from trl_curriculum.evaluation.rows import of_recipe
from trl_curriculum.evaluation.settings import EvaluationSettings


ROOT = Path(__file__).parents[2]
THEIRS = Path(lm_eval.tasks.__file__).parent
RECIPES = sorted((ROOT / "recipes" / "eval").rglob("*.yaml"))
# Where lm-eval keeps the tasks that recipes name; to read all of its folders takes long
FOLDERS = "aime arc commonsense_qa gsm8k headqa hendrycks_math humaneval ifeval logiqa mbpp medmcqa medqa"
FOLDERS += " minerva_math mmlu openbookqa"


@pytest.fixture(scope="module")
def index() -> Any:
    folders = [THEIRS / name for name in FOLDERS.split()]
    return TaskManager(include_path=[*folders, OWN], include_defaults=False).task_index


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_name_tasks_that_there_are(path: Path, index: Any) -> None:
    written = yaml.safe_load(path.read_text())
    assert [name for name in written["tasks"] if name not in index] == []
    EvalArguments(**written)  # every option is one
    model = written["model_name_or_path"].split("/")[0]
    outputs = {yaml.safe_load(one.read_text()).get("output_dir") for one in (ROOT / "recipes").rglob("*.yaml")}
    assert model in outputs | {"smollm2-135m"}


def test_every_level_of_the_recipes_has_its_task() -> None:
    manager = TaskManager(include_path=str(OWN), include_defaults=False)
    tasks = {name: entry.cfg for name, entry in manager.task_index.items() if "dataset_kwargs" in (entry.cfg or {})}
    asked = [(one["dataset_kwargs"]["recipe"], one["dataset_kwargs"].get("rows", {})) for one in tasks.values()]
    for recipe in ("grpo/sec_countdown", "grpo/sec_zebra", "grpo/sec_arc1d", "grpo/dump_knights_knaves"):
        label = "people" if "knights" in recipe else "level"
        specs = yaml.safe_load((ROOT / "recipes" / f"{recipe}.yaml").read_text())["test_tasks"]
        assert [rows[label] for name, rows in asked if name == recipe and rows] != []
        assert {rows[label] for name, rows in asked if name == recipe} == {spec[label] for spec in specs}
    held_out = yaml.safe_load((OWN / "countdown" / "countdown_held_out.yaml").read_text())
    assert held_out["dataset_kwargs"]["rows"] == {"level": 4}
    groups = {name: entry.cfg["task"] for name, entry in manager.task_index.items() if "group" in (entry.cfg or {})}
    assert sorted(name for names in groups.values() for name in names) == sorted(
        name for name in tasks if name.rsplit("_", 1)[-1].isdigit()
    )


def test_rows_and_rewards_are_those_of_training() -> None:
    names = ["curriculum_countdown_1", "curriculum_sums", "curriculum_math_sample", "curriculum_medqa_sample"]
    loaded = load_tasks(EvaluationSettings(names), find_tasks(names))["tasks"]
    docs = {name: task.eval_docs[0] for name, task in loaded.items()}
    again = of_recipe("grpo/sec_countdown", {"level": 1})["test"]
    assert again[0] == docs["curriculum_countdown_1"] and len(again) == 200  # from a seed: the same each time
    asked = loaded["curriculum_countdown_1"].doc_to_text(docs["curriculum_countdown_1"])
    assert asked.endswith("put your final answer, and nothing else, inside \\boxed{}.")
    for name, right in (("curriculum_countdown_1", None), ("curriculum_sums", None), ("curriculum_medqa_sample", "A")):
        task, doc = loaded[name], docs[name]
        answer = right or task.doc_to_target(doc)
        assert task.process_results(doc, [f"\\boxed{{{answer}}}"]) == {"accuracy": 1.0, "unscored": 0.0}, name
        assert task.process_results(doc, ["\\boxed{no}"]) == {"accuracy": 0.0, "unscored": 0.0}, name
    assert docs["curriculum_math_sample"]["reward_func"] == '"math_accuracy"'


def test_an_answer_that_cannot_be_scored_is_wrong_and_counted() -> None:
    doc = of_recipe("grpo/cpu/sec_math")["test"][0] | {"answer": None}
    task = load_tasks(EvaluationSettings(["curriculum_math_sample"]), find_tasks(["curriculum_math_sample"]))
    scores = task["tasks"]["curriculum_math_sample"].process_results(doc, ["\\boxed{7}"])
    assert scores == {"accuracy": 0.0, "unscored": 1.0}


def test_a_recipe_of_ones_own_is_four_lines(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "test_tasks: [{family: chain_sum, size: 3, seed: 5, config: {min_terms: 2, max_terms: 2}}]\n"
        "system_prompt: Be brief.\ninstruction: Only the number.\nreward_funcs: [exact_match]\n"
    )
    task = f"include: {OWN / '_recipe.yaml'}\ntask: mine\ndataset_kwargs: {{recipe: {recipe}}}\n"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text(task)
    before = tasks_key(str(tmp_path / "tasks"))
    settings = EvaluationSettings(["mine"], include_path=str(tmp_path / "tasks"))
    (mine,) = load_tasks(settings, find_tasks(["mine"], settings.include_path))["tasks"].values()
    doc = mine.eval_docs[0]
    assert mine.doc_to_text(doc).endswith("Only the number.") and "Be brief" not in mine.doc_to_text(doc)
    assert mine.fewshot_context(doc, 0).startswith("Be brief.")
    assert mine.process_results(doc, [doc["answer"]])["accuracy"] == 1
    (tmp_path / "tasks" / "mine.yaml").write_text(task.replace("{recipe", "{rows: {level: 3}, recipe"))
    assert tasks_key(str(tmp_path / "tasks")) != before
    with pytest.raises(
        ValueError, match=r"'mine' cannot be loaded .* has no rows with \{'level': 3\} to test on\)\.$"
    ):
        load_tasks(settings, find_tasks(["mine"], settings.include_path))


@pytest.mark.parametrize(
    "recipe, rows, sentence",
    [
        ("grpo/sec_countdown", {"level": 9}, "has no rows with {'level': 9} to test on"),
        ("grpo/sec_cuntdown", None, "did you mean 'sec_countdown'?"),
    ],
)
def test_a_recipe_without_such_rows_is_refused(recipe: str, rows: Any, sentence: str) -> None:
    with pytest.raises((ValueError, OSError)) as error:
        of_recipe(recipe, rows)
    assert sentence in str(error.value)
