"""The rows that the recipe scripts train and evaluate on."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from trl import DatasetMixtureConfig

from ..arms import Columns, make_arms
from ..data.columns import check_column
from ..data.names import keys, listed
from ..data.sources import load_mixture
from ..data.tasks import INSTRUCTION, disjoint, reasoning_gym_dataset
from ..pool import Pool
from ..probes.prompts import prompt_of
from ..rewards.answers import text_of
from .arguments import DIFFICULTIES, CurriculumScriptArguments
from .columns import check_is_there, with_context, with_options


logger = logging.getLogger(__name__)


def load_prompts(
    script_args: CurriculumScriptArguments,
    dataset_args: DatasetMixtureConfig,
    seed: int,
    or_conversations: bool = False,
) -> tuple[Dataset, Dataset | None]:
    """
    Return the prompts to train on (GRPO) and the held-out ones (`None` without any), from tasks, a mixture or one
    dataset.

    Args:
        script_args ([`CurriculumScriptArguments`]):
            Where the rows come from, and how prompts are built.
        dataset_args ([`~trl.DatasetMixtureConfig`]):
            A mixture, where that is the source.
        seed (`int`):
            Seed of a mixture's split into train and test.
        or_conversations (`bool`, *optional*, defaults to `False`):
            Whether rows may be whole conversations instead, which are left as they are.
    """
    instruction = INSTRUCTION if script_args.instruction is None else script_args.instruction
    train, test = _load_rows(script_args, dataset_args, seed, instruction)
    conversations = or_conversations and script_args.prompt_column == "prompt" and "prompt" not in train.column_names
    if script_args.tasks or (conversations and {"messages", "conversations"} & set(train.column_names)):
        return train, test
    options = (script_args.prompt_column, script_args.system_prompt, instruction)
    return _with_prompts(train, *options), None if test is None else _with_prompts(test, *options)


def load_examples(
    script_args: CurriculumScriptArguments,
    dataset_args: DatasetMixtureConfig,
    seed: int,
    completion_column: str | None = None,
    text_column: str = "text",
) -> tuple[Dataset, Dataset | None]:
    """
    Return the examples to train on (SFT) and the held-out ones, in one of TRL's formats.

    Tasks become prompts with their right answers as completions; so do the rows of a dataset with a
    `completion_column`. Of other datasets one format is left: a column of another one would mislead TRL.

    Args:
        script_args, dataset_args, seed:
            As in [`load_prompts`].
        completion_column (`str`, *optional*):
            Column of the dataset with the answers.
        text_column (`str`, *optional*, defaults to `"text"`):
            Column that holds whole texts, TRL's `dataset_text_field`.
    """
    instruction = script_args.instruction or ""
    train, test = _load_rows(script_args, dataset_args, seed, instruction)
    if script_args.tasks and (completion_column is not None or script_args.prompt_column != "prompt"):
        raise ValueError(
            "`prompt_column` and `completion_column` name columns of a dataset, but the rows come from `tasks`: drop "
            "them."
        )
    names = ("prompt", "answer") if script_args.tasks else (script_args.prompt_column, completion_column)

    def convert(dataset: Dataset) -> Dataset:
        if names[1] is None:
            return _in_one_format(dataset, text_column)
        return _with_completions(dataset, names[0], names[1], script_args.system_prompt, instruction)

    return convert(train), None if test is None else convert(test)


def split_by_arm(dataset: Dataset, arms: Any, train_dataset: Dataset | None = None) -> dict[str, Dataset]:
    """
    Return one dataset per arm, so that the metrics are `eval_<arm>_...`; no two arms share a name.

    Args:
        dataset (`datasets.Dataset`):
            Held-out rows.
        arms:
            The column that tells the arms apart, or several.
        train_dataset (`datasets.Dataset`, *optional*):
            Rows to train on: arms that only one of the two has are warned of.
    """
    source = make_arms(arms)
    if not isinstance(source, Columns):
        raise ValueError(f"`eval_per_arm` needs `arms` to be a column that tells the arms apart, and not {arms!r}.")
    anyhow = replace(source, order=None)  # held-out rows need not have all arms
    pool = Pool.from_dataset(dataset, anyhow, hash_rows=False)
    names = keys(pool.arm_names, slash=False)  # trackers read a slash as a folder
    for name, key in names.items():
        if key != name.replace("/", "-"):
            logger.warning("Metrics eval_%s_... are those of the arm %r.", key, name)
    if train_dataset is not None:
        trained = Pool.from_dataset(train_dataset, anyhow, hash_rows=False).arm_names
        for here, there, where in ((pool.arm_names, trained, "evaluated"), (trained, pool.arm_names, "trained on")):
            known = set(there)
            if only := [name for name in here if name not in known]:
                logger.warning("Arms that are only %s: %s.", where, listed(map(repr, only)))
    return {names[name]: dataset.select((pool.arm == arm).nonzero()[0]) for arm, name in enumerate(pool.arm_names)}


def locate(path: str) -> str:
    """Return a path as it is, unless it exists only as seen from the folder that holds the recipes."""
    for root in () if Path(path).exists() else Path(__file__).resolve().parents[1:3]:
        if (root / path).exists():
            return str(root / path)
    return path


def _load_rows(
    script_args: CurriculumScriptArguments, dataset_args: DatasetMixtureConfig, seed: int, instruction: str
) -> tuple[Dataset, Dataset | None]:
    if sum(map(bool, (script_args.tasks, dataset_args.datasets, script_args.dataset_name))) != 1:
        raise ValueError("Give the rows to train on by exactly one of `tasks`, `datasets` and `dataset_name`.")
    if script_args.dataset_streaming:
        raise ValueError(
            "A curriculum picks rows by their position, which a stream has not: drop `dataset_streaming`."
        )
    if script_args.tasks:
        for name in ("options_column", "context_column"):
            if getattr(script_args, name) is not None:
                raise ValueError(f"`{name}` names a column of a dataset, but the rows come from `tasks`: drop it.")
        options = (script_args.system_prompt, instruction, script_args.task_num_proc)
        specs: Any = (script_args.tasks, script_args.test_tasks)
        train = reasoning_gym_dataset(specs[0], *options)
        if not specs[1]:
            return train, None
        test = reasoning_gym_dataset(specs[1], *options)
        return disjoint(train, test), test
    train_split, test_split = "train", "test"
    if dataset_args.datasets:
        for entry in dataset_args.datasets:
            entry.path = locate(entry.path)
        splits = load_mixture(dataset_args, seed)
    else:
        assert script_args.dataset_name is not None
        train_split, test_split = script_args.dataset_train_split, script_args.dataset_test_split
        try:
            splits = load_dataset(
                locate(script_args.dataset_name), script_args.dataset_config, revision=script_args.dataset_revision
            )
        except (ConnectionError, FileNotFoundError) as error:
            raise ConnectionError(
                f"Could not load '{script_args.dataset_name}': no such local path, not in the cache, and the Hub "
                f"cannot be reached ({error})."
            ) from error
    if train_split not in splits:
        raise ValueError(f"The dataset has no split '{train_split}', only {list(splits)}: set `dataset_train_split`.")
    train, test = splits[train_split], splits[test_split] if test_split in splits else None
    if script_args.context_column is not None:
        both = (script_args.prompt_column, script_args.context_column)
        train, test = with_context(train, *both), None if test is None else with_context(test, *both)
    if script_args.options_column is None:
        return train, test
    columns = (script_args.prompt_column, script_args.options_column, script_args.right_option_column)
    return with_options(train, *columns), None if test is None else with_options(test, *columns)


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

    training_args.difficulty_column = name
    return dataset.map(count)


def _prompt_text(row: dict[str, Any]) -> str:
    prompt = prompt_of(row)
    if prompt is None:
        raise ValueError("difficulty_from='length' counts the words of prompts, but the rows have none.")
    return prompt if isinstance(prompt, str) else "\n".join(text_of([message]) for message in prompt)


def _answer_text(row: dict[str, Any], answer_column: str | None) -> str:
    if answer_column is not None:
        return str(row[answer_column])
    answer = row.get("completion") or row.get("messages") or row.get("conversations")
    if answer is None:
        raise ValueError(
            "difficulty_from='answer_length' counts the words of reference answers, but the rows have none: set "
            "answer_column (GRPO), or give prompts and completions (SFT)."
        )
    return text_of(answer)


def _with_prompts(dataset: Dataset, column: str, system: str | None, instruction: str) -> Dataset:
    """Turn a column of plain questions into conversational prompts."""
    check_is_there(dataset, column, "prompt_column")
    if column == "prompt":
        return dataset

    def to_prompt(question: str) -> dict[str, Any]:
        return {"prompt": _ask(question, system, instruction)}

    return dataset.map(to_prompt, input_columns=column, remove_columns=column)


def _with_completions(
    dataset: Dataset, prompt_column: str, completion_column: str, system: str | None, instruction: str
) -> Dataset:
    """Turn a column of questions, plain or conversational already, and one of plain answers into conversations."""
    check_is_there(dataset, prompt_column, "prompt_column")
    check_is_there(dataset, completion_column, "completion_column")

    def to_example(prompt: Any, answer: str) -> dict[str, Any]:
        return {
            "prompt": _ask(prompt, system, instruction) if isinstance(prompt, str) else prompt,
            "completion": [{"role": "assistant", "content": answer}],
        }

    columns = [prompt_column, completion_column]
    made = dataset.map(to_example, input_columns=columns, remove_columns=[c for c in columns if c != "prompt"])
    return made.remove_columns([name for name in ("messages", "text", "conversations") if name in made.column_names])


def _in_one_format(dataset: Dataset, text_column: str) -> Dataset:
    """Keep the first format that the dataset has, and drop the columns of all others."""
    formats = (("messages",), ("prompt", "completion"), (text_column,), ("conversations",), ("input_ids",))
    have = set(dataset.column_names)
    wanted = next((columns for columns in formats if have.issuperset(columns)), None)
    if wanted is None:
        raise ValueError(
            f"The dataset has neither a column 'messages' nor '{text_column}' nor 'prompt' and 'completion', only "
            f"{dataset.column_names}: set `prompt_column` and `completion_column`."
        )
    other = [name for columns in formats for name in columns if name in have and name not in wanted]
    return dataset.remove_columns(other) if other else dataset


def _ask(question: str, system: str | None, instruction: str) -> list[dict[str, str]]:
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": f"{question}\n\n{instruction}".strip()}]
