"""A static difficulty that is computed from the rows."""

from typing import Any

from datasets import Dataset

from ..data.columns import check_column
from ..data.convert import rewrite
from ..data.formats import answer_of, prompt_of, to_text
from ..rewards.answers import text_of
from .arguments import DIFFICULTIES, CurriculumScriptArguments


def with_difficulty(dataset: Dataset, script_args: CurriculumScriptArguments, training_args: Any) -> Dataset:
    """
    Return the rows to train on with the static difficulty of `difficulty_from`, if one is asked for: it becomes the
    run's `difficulty_column`.

    Words are what lies between white space. The words of an answer stand for its complexity.
    """
    if script_args.difficulty_from is None:
        return dataset
    if training_args.difficulty_column is not None:
        raise ValueError(
            f"difficulty_from={script_args.difficulty_from!r} and "
            f"difficulty_column={training_args.difficulty_column!r} both say what is difficult: drop one."
        )
    name = DIFFICULTIES[script_args.difficulty_from]
    if name in dataset.column_names:
        raise ValueError(f"The dataset has a column '{name}', which `difficulty_from` makes: rename yours.")
    answer_column = getattr(training_args, "answer_column", None)
    if answer_column is not None:
        check_column(answer_column, dataset.column_names, "answer_column")

    def count(row: dict[str, Any]) -> dict[str, int]:
        text = _prompt_text(row) if name == "words_of_prompt" else _answer_text(row, answer_column)
        return {name: len(text.split())}

    made = rewrite(dataset, count)
    training_args.difficulty_column = name
    return made


def _prompt_text(row: dict[str, Any]) -> str:
    prompt = prompt_of(row)
    if prompt is None:
        raise ValueError("difficulty_from='length' counts the words of prompts, but the rows have none.")
    return prompt if isinstance(prompt, str) else "\n".join(text_of([message]) for message in prompt)


def _answer_text(row: dict[str, Any], answer_column: str | None) -> str:
    if answer_column is not None:
        return to_text(row[answer_column], f"`{answer_column}`") or ""
    answer = answer_of(row)
    if answer is None:
        raise ValueError(
            "difficulty_from='answer_length' counts the words of reference answers, but the rows have none: set "
            "answer_column (GRPO), or give prompts and completions (SFT)."
        )
    return answer
