"""Arguments that every recipe script has: where the rows come from, how prompts are built, and to plan only."""

import json
from dataclasses import dataclass, field
from typing import Any

from trl import ScriptArguments

from .repeats import read_json


DIFFICULTIES = {"length": "words_of_prompt", "answer_length": "words_of_answer"}  # the columns that they become


@dataclass
class CurriculumScriptArguments(ScriptArguments):
    """
    Arguments that all recipe scripts share, on top of TRL's.

    Args:
        tasks (`list[dict]`, *optional*):
            Specs of [`~trl_curriculum.data.tasks.reasoning_gym_dataset`] to train on, instead of a dataset; on the
            command line one JSON object each.
        test_tasks (`list[dict]`, *optional*):
            Specs of the held-out rows. Training rows with a prompt that occurs in them are dropped.
        task_size (`int`, *optional*):
            Overrides the size of every spec, for a quick try.
        task_num_proc (`int`, *optional*):
            Number of processes that generate tasks.
        prompt_column (`str`, *optional*, defaults to `"prompt"`):
            Column of the dataset with the prompts; another one than `"prompt"` holds plain questions, which become
            conversations.
        system_prompt (`str`, *optional*):
            System message of prompts that are built here (tasks, or another prompt column).
        instruction (`str`, *optional*):
            What to append to questions that are built here. GRPO's default asks for the answer in a box, SFT has none.
        dataset_revision (`str`, *optional*):
            Revision of the dataset on the Hub; `refs/convert/parquet` where a dataset comes with a loading script.
        context_column (`str`, *optional*):
            Column of the dataset with a text that stands before the question.
        options_column (`str`, *optional*):
            Column of the dataset with the options of multiple-choice questions, a list of texts, a mapping from
            letters to texts, or a mapping with the lists `label` and `text`: they are appended to the questions, with
            letters.
        right_option_column (`str`, *optional*):
            Column that tells the right option by its label, its position from 0 on or its text. It becomes two
            columns, `right_letter` and `right_text`, which rewards, `answer_column` and `completion_column` can use.
        difficulty_from (`str`, *optional*):
            A static difficulty, as the run's `difficulty_column`: `"length"`, the words of the prompt,
            `"answer_length"`, those of the reference answer, or a file that `trl-curriculum score` has made of the
            same rows, `scores.parquet`.
        eval_per_arm (`bool`, *optional*, defaults to `False`):
            Whether to evaluate every arm of the held-out rows on its own.
        dry_run (`bool`, *optional*, defaults to `False`):
            Whether to print the plan and end before a model is loaded.
    """

    tasks: list[str] | None = field(
        default=None, metadata={"help": "reasoning-gym specs to train on: mappings in YAML, JSON on the command line."}
    )
    test_tasks: list[str] | None = field(default=None, metadata={"help": "reasoning-gym specs of the held-out rows."})
    task_size: int | None = field(default=None, metadata={"help": "Overrides the size of every task spec."})
    task_num_proc: int | None = field(default=None, metadata={"help": "Number of processes that generate tasks."})
    prompt_column: str = field(
        default="prompt", metadata={"help": "Column with the prompts; one not called `prompt` holds plain questions."}
    )
    system_prompt: str | None = field(default=None, metadata={"help": "System message of prompts built here."})
    instruction: str | None = field(default=None, metadata={"help": "Appended to questions of prompts built here."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Revision of the dataset on the Hub."})
    context_column: str | None = field(default=None, metadata={"help": "Column with a text before the question."})
    options_column: str | None = field(
        default=None, metadata={"help": "Column with the options of multiple-choice questions: a list or a mapping."}
    )
    right_option_column: str | None = field(
        default=None, metadata={"help": "Column that tells the right option: its label, position from 0 on, or text."}
    )
    difficulty_from: str | None = field(
        default=None,
        metadata={"help": "Difficulty: `length` or `answer_length`, in words, or a file of `trl-curriculum score`."},
    )
    eval_per_arm: bool = field(default=False, metadata={"help": "Evaluate every arm of the held-out rows by itself."})
    dry_run: bool = field(default=False, metadata={"help": "Print the plan and end before a model is loaded."})

    def __post_init__(self) -> None:
        if self.task_size is not None and self.task_size < 1:
            raise ValueError(f"task_size={self.task_size} must be at least 1.")
        if self.right_option_column is not None and self.options_column is None:
            raise ValueError(
                f"right_option_column={self.right_option_column!r} tells which of the options is right: set "
                "options_column to the column that holds them."
            )
        given = self.difficulty_from
        if given not in (None, *DIFFICULTIES) and not str(given).endswith(".parquet"):
            raise ValueError(
                f"difficulty_from={given!r} is neither 'length' nor 'answer_length', nor a .parquet file that "
                "`trl-curriculum score` has made."
            )
        for name in ("tasks", "test_tasks"):
            specs: Any = [task_spec(spec, name) for spec in getattr(self, name) or []]
            setattr(self, name, [{**s, "size": self.task_size} if self.task_size else s for s in specs])


def task_spec(spec: Any, name: str) -> dict[str, Any]:
    """A task's specification: a mapping in YAML, a JSON object on the command line."""
    try:
        spec = read_json(spec) if isinstance(spec, str) else spec
    except json.JSONDecodeError:
        pass
    if not isinstance(spec, dict) or not isinstance(spec.get("config", {}), dict | None):
        raise ValueError(f"{name}: {spec!r} is not a mapping such as {{family: countdown, size: 100, config: {{}}}}.")
    return spec


def mapping(value: Any, name: str, example: dict[str, Any]) -> dict[str, Any]:
    """Options as a mapping in YAML, a JSON object on the command line."""
    try:
        value = read_json(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        pass
    if not isinstance(value, dict | None):
        raise ValueError(f"{name}={value!r} is not a mapping of options such as {json.dumps(example)}.")
    return dict(value or {})
