"""What the recipe scripts make of tasks and datasets."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import DatasetMixtureConfig

from trl_curriculum.scripts.arguments import CurriculumScriptArguments
from trl_curriculum.scripts.data import load_examples, load_prompts


USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def examples(folder: Path, row: dict[str, Any], completion_column: str | None = None, **arguments: Any) -> Dataset:
    (folder / "train.jsonl").write_text(json.dumps(row))
    script_args = CurriculumScriptArguments(dataset_name=str(folder), **arguments)
    train, test = load_examples(script_args, DatasetMixtureConfig(), 0, completion_column)
    assert test is None
    return train


def test_tasks_become_prompts_with_their_answers() -> None:
    spec: Any = {"family": "lcm", "size": 2, "seed": 1, "level": 3}
    args = CurriculumScriptArguments(tasks=[spec], test_tasks=[spec | {"seed": 2}])
    train, test = load_examples(args, DatasetMixtureConfig(), 0)
    assert test is not None and len(train) == len(test) == 2
    row = train[0]
    assert row["prompt"][-1]["content"].startswith("Find the Least Common Multiple")
    assert "boxed" not in row["prompt"][-1]["content"], "GRPO's instruction has no place here"
    assert row["completion"] == [{"role": "assistant", "content": json.loads(row["entry"])["answer"]}]
    assert row["level"] == 3 and "answer" not in row
    prompts, _ = load_prompts(args, DatasetMixtureConfig(), 0)
    assert "boxed" in prompts[0]["prompt"][-1]["content"] and "completion" not in prompts[0]


@pytest.mark.parametrize("question", ["question", "prompt"])
def test_two_columns_become_a_conversation(question: str, tmp_path: Path) -> None:
    row = {question: "q", "reply": "a", "messages": [USER], "text": "q a", "level": 1}
    options = {"prompt_column": question, "system_prompt": "s", "instruction": "Be brief."}
    made = examples(tmp_path, row, "reply", **options)[0]
    system = {"role": "system", "content": "s"}
    prompt = [system, {"role": "user", "content": "q\n\nBe brief."}]
    assert made == {"prompt": prompt, "completion": [ASSISTANT], "level": 1}


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"prompt": "q", "messages": [USER, ASSISTANT], "level": 1}, {"messages", "level"}),  # No Robots
        ({"prompt": "q", "completion": "a", "text": "q a"}, {"prompt", "completion"}),
        ({"text": "q a", "prompt": "q"}, {"text"}),
        ({"input_ids": [1, 2], "labels": [-100, 2], "level": 1}, {"input_ids", "labels", "level"}),
    ],
)
def test_one_format_is_left(row: dict[str, Any], kept: set[str], tmp_path: Path) -> None:
    made = examples(tmp_path, row)
    assert set(made.column_names) == kept
    assert made[0] == {name: row[name] for name in kept}


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ({"question": "q", "answer": "a"}, None, r"neither .* only \['question', 'answer'\]: set `prompt_column`"),
        ({"question": "q", "answer": "a"}, "answer", "no column 'prompt', .*: set `prompt_column`"),
        ({"prompt": "q", "answer": "a"}, "reply", "no column 'reply', .*: set `completion_column`"),
    ],
)
def test_mistakes(row: dict[str, Any], column: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        examples(tmp_path, row, column)
