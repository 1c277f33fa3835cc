"""Tasks of lm-eval that are made of recipes: their held-out rows, prompts and reward functions, as in training."""

import dataclasses
import json
import os
from typing import Any

from datasets import Dataset

from ..rewards import reward


DEFAULT = {"evolve": "exact_match"}  # the reward of a command whose recipe names none


def of_recipe(recipe: str, rows: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Dataset]:
    """
    The rows that a recipe tests on.

    Args:
        recipe (`str`):
            Name or path of a recipe with `test_tasks`, or with a dataset that has a test split.
        rows (`dict`, *optional*):
            Labels of the tasks that are taken, or values of columns, such as `{"level": 4}`.
        **metadata:
            What lm-eval adds, which nothing depends on.

    Returns:
        `dict`: the split `test`, with what the reward functions read and the columns `system` and `reward_func`.

    Raises:
        `ValueError`: where it has no such rows.
    """
    from ..data.entries import MixtureConfig
    from ..scripts.arguments import CurriculumScriptArguments
    from ..scripts.data import load_prompts
    from ..scripts.recipes import find_recipe, read_recipe

    file, wanted = find_recipe(recipe), rows or {}
    written = read_recipe(file)
    known = {field.name for field in dataclasses.fields(CurriculumScriptArguments)}
    values = {name: value for name, value in written.items() if name in known and name != "eval_per_arm"}
    command = next((name for name in file.parts[::-1] if name in ("grpo", "sft", "evolve")), "grpo")
    if command != "grpo":
        values.setdefault("instruction", "")  # which GRPO alone adds
    if "test_tasks" in values:
        values["test_tasks"] = [spec for spec in values["test_tasks"] if _matches(spec, wanted)]
        if not values["test_tasks"]:
            raise ValueError(f"The recipe {recipe!r} has no rows with {rows!r} to test on.")
        values["tasks"] = values["test_tasks"]  # the rows to train on are not made
        if "task_num_proc" in values:
            values["task_num_proc"] = min(values["task_num_proc"], os.cpu_count() or 1)
        wanted = {}
    _, test = load_prompts(CurriculumScriptArguments(**values), MixtureConfig(), seed=42)
    if test is None:
        raise ValueError(f"The recipe {recipe!r} has no rows to test on: give it test_tasks or dataset_test_split.")
    test = test.filter(_matches, fn_kwargs={"wanted": wanted}) if wanted else test
    if not len(test):
        raise ValueError(f"The recipe {recipe!r} has no rows with {rows!r} to test on.")
    system = written.get("system_prompt") or ""
    judges = written.get("reward_funcs") or [DEFAULT.get(command, "exact_match")]
    judge = judges[0] if isinstance(judges, list) else judges
    for name, value in (("system", system), ("reward_func", json.dumps(judge))):
        test = test.add_column(name, [value] * len(test))
    return {"test": test}


def question(doc: dict[str, Any]) -> str:
    """What is asked: the user's message, without the system's, which lm-eval adds itself."""
    prompt = doc["prompt"]
    return prompt if isinstance(prompt, str) else "\n".join(one["content"] for one in prompt if one["role"] == "user")


def answer(doc: dict[str, Any]) -> str:
    """A right answer, for what lm-eval writes down."""
    return str(next((doc[name] for name in ("answer", "right_letter", "solution") if doc.get(name) is not None), ""))


def score(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """What the recipe's reward function gives an answer; one that it cannot score counts as wrong, and as unscored."""
    columns = {name: [value] for name, value in doc.items() if name not in ("system", "reward_func", "prompt")}
    given = reward(json.loads(doc["reward_func"]))([results[0]], **columns)[0]
    return {"accuracy": 0.0 if given is None else float(given), "unscored": float(given is None)}


def _matches(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(row.get(name) == value for name, value in wanted.items())
