"""A static difficulty that is computed from the rows, or was measured on them before."""

from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from ..data.columns import check_column
from ..data.convert import rewrite
from ..data.formats import answer_of, prompt_of, to_text
from ..rewards.answers import text_of
from ..signals import FloatArray
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
    name = DIFFICULTIES.get(script_args.difficulty_from, "scored_difficulty")
    if name in dataset.column_names:
        raise ValueError(f"The dataset has a column '{name}', which `difficulty_from` makes: rename yours.")
    if script_args.difficulty_from not in DIFFICULTIES:
        training_args.difficulty_column = name
        return dataset.add_column(name, _scored(script_args.difficulty_from, len(dataset)).tolist())
    answer_column = getattr(training_args, "answer_column", None)
    if answer_column is not None:
        check_column(answer_column, dataset.column_names, "answer_column")

    def count(row: dict[str, Any]) -> dict[str, int]:
        text = _prompt_text(row) if name == "words_of_prompt" else _answer_text(row, answer_column)
        return {name: len(text.split())}

    made = rewrite(dataset, count)
    training_args.difficulty_column = name
    return made


def _scored(file: str, n: int) -> FloatArray:
    """
    Difficulty of each of `n` rows from a file of `trl-curriculum score`: its column `difficulty`, or else `score`,
    of which a larger one is less certain. A row without a score is as hard as the median.
    """
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise ValueError(
            f"difficulty_from={file!r} is no file that can be read as parquet: give one that `trl-curriculum score` "
            "has made."
        ) from error
    column = "difficulty" if "difficulty" in frame else "score"
    if missing := [name for name in ("row", column) if name not in frame]:
        raise ValueError(
            f"difficulty_from={file!r} has no column {missing[0]!r}: give a file that `trl-curriculum score` has made."
        )
    row, value = frame["row"].to_numpy(), frame[column].to_numpy(float)
    if len(row) != len(set(row.tolist())) or row.min(initial=0) < 0 or row.max(initial=0) >= n:
        raise ValueError(
            f"difficulty_from={file!r} has scores of {len(row)} rows up to row {row.max(initial=0)}, and the dataset "
            f"has {n}: score the rows that are trained on, with the same arguments."
        )
    if not np.isfinite(value).any():
        raise ValueError(f"difficulty_from={file!r} has no score that is a number.")
    made = np.full(n, np.median(value[np.isfinite(value)]))
    made[row[np.isfinite(value)]] = value[np.isfinite(value)]
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
