"""The rows that the recipe scripts train and evaluate on."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import DatasetMixtureConfig

from ..arms import Columns, make_arms
from ..data.common import in_common
from ..data.convert import rewrite, to_examples, to_prompts
from ..data.entries import check_entries
from ..data.formats import ALPACA, CONVERSATIONS, Half, chat, to_completion, to_half
from ..data.load import load_splits
from ..data.names import keys, listed
from ..data.sources import load_mixture
from ..data.tasks import INSTRUCTION, disjoint, reasoning_gym_dataset
from ..pool import Pool
from . import ROOTS
from .arguments import CurriculumScriptArguments
from .columns import check_is_there, with_context, with_options


logger = logging.getLogger(__name__)


def load_prompts(
    script_args: CurriculumScriptArguments, dataset_args: DatasetMixtureConfig, seed: int, answers: bool = True
) -> tuple[Dataset, Dataset | None]:
    """
    Return the prompts to train on (GRPO) and the held-out ones (`None` without any), from tasks, a mixture or one
    dataset, see [`~trl_curriculum.data.convert.to_prompts`].

    Args:
        script_args ([`CurriculumScriptArguments`]):
            Where the rows come from, and how prompts are built.
        dataset_args ([`~trl.DatasetMixtureConfig`]):
            A mixture, where that is the source.
        seed (`int`):
            Seed of a mixture's split into train and test.
        answers (`bool`, *optional*, defaults to `True`):
            Whether the last answers of conversations become the column `answer`.
    """
    instruction = INSTRUCTION if script_args.instruction is None else script_args.instruction
    ask = _asks(script_args.system_prompt, instruction)

    def convert(dataset: Dataset) -> Dataset:
        if script_args.prompt_column != "prompt":
            check_is_there(dataset, script_args.prompt_column, "prompt_column")
        elif {"prompt", *CONVERSATIONS} & set(dataset.column_names):
            _refuse_void(script_args)
        return to_prompts(dataset, script_args.prompt_column, ask, answers)

    return _load_rows(script_args, dataset_args, seed, instruction, convert, prompts=True)


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
    `completion_column`. Of other datasets one format is left, see [`~trl_curriculum.data.convert.to_examples`]: a
    column of another one would mislead TRL.

    Args:
        script_args, dataset_args, seed:
            As in [`load_prompts`].
        completion_column (`str`, *optional*):
            Column of the dataset with the answers.
        text_column (`str`, *optional*, defaults to `"text"`):
            Column that holds whole texts, TRL's `dataset_text_field`.
    """
    instruction = script_args.instruction or ""
    if script_args.tasks and (completion_column is not None or script_args.prompt_column != "prompt"):
        raise ValueError(
            "`prompt_column` and `completion_column` name columns of a dataset, but the rows come from `tasks`: drop "
            "them."
        )
    if not script_args.tasks and completion_column is None and script_args.prompt_column != "prompt":
        raise ValueError(
            f"prompt_column={script_args.prompt_column!r} names the questions, but nothing names their answers: set "
            "`completion_column`."
        )
    names = ("prompt", "answer") if script_args.tasks else (script_args.prompt_column, completion_column)
    ask = _asks(script_args.system_prompt, instruction)

    def convert(dataset: Dataset) -> Dataset:
        if names[1] is None:
            if not set(ALPACA) <= set(dataset.column_names):
                _refuse_void(script_args)
            return to_examples(dataset, text_column, ask)
        return _with_completions(dataset, names[0], names[1], ask)

    return _load_rows(script_args, dataset_args, seed, instruction, convert, prompts=False)


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
    for root in () if Path(path).exists() else ROOTS:
        if (root / path).exists():
            return str(root / path)
    return path


def _load_rows(
    script_args: CurriculumScriptArguments,
    dataset_args: DatasetMixtureConfig,
    seed: int,
    instruction: str,
    convert: Callable[[Dataset], Dataset],
    prompts: bool,
) -> tuple[Dataset, Dataset | None]:
    """The rows to train on and those held out, in one of TRL's formats: prompts, or examples of SFT."""
    if sum(map(bool, (script_args.tasks, dataset_args.datasets, script_args.dataset_name))) != 1:
        raise ValueError("Give the rows to train on by exactly one of `tasks`, `datasets` and `dataset_name`.")
    if script_args.dataset_streaming:
        raise ValueError(
            "A curriculum picks rows by their position, which a stream has not: drop `dataset_streaming`."
        )
    if script_args.tasks:
        return _load_tasks(script_args, instruction, (lambda rows: rows) if prompts else convert)

    def prepare(dataset: Dataset) -> Dataset:
        if script_args.context_column is not None:
            dataset = with_context(dataset, script_args.prompt_column, script_args.context_column)
        if script_args.options_column is not None:
            columns = (script_args.prompt_column, script_args.options_column, script_args.right_option_column)
            dataset = with_options(dataset, *columns)
        return convert(dataset)

    def prepare_sources(parts: dict[str, Dataset]) -> dict[str, Dataset]:
        made = {}
        for source, part in parts.items():
            try:
                made[source] = prepare(part)
            except ValueError as error:
                raise ValueError(f"Source '{source}': {error}") from error
        return in_common(made, prompts)

    if dataset_args.datasets:
        dataset_args.datasets = check_entries(dataset_args.datasets)
        for entry in dataset_args.datasets:
            entry.path = locate(entry.path)
        splits = load_mixture(dataset_args, seed, prepare_sources)
        return splits["train"], splits.get("test")
    assert script_args.dataset_name is not None
    name = locate(script_args.dataset_name)
    splits = load_splits(name, script_args.dataset_config, script_args.dataset_revision)
    train_split, test_split = script_args.dataset_train_split, script_args.dataset_test_split
    if train_split not in splits:
        raise ValueError(f"The dataset has no split '{train_split}', only {list(splits)}: set `dataset_train_split`.")
    kept = {split: splits[split] for split in (train_split, test_split) if split in splits}
    made = {}
    for split, rows in kept.items():
        try:
            made[split] = prepare(rows)
        except ValueError as error:
            raise ValueError(f"{name}, split '{split}': {error}") from error
    return made[train_split], made.get(test_split)


def _load_tasks(
    script_args: CurriculumScriptArguments, instruction: str, convert: Callable[[Dataset], Dataset]
) -> tuple[Dataset, Dataset | None]:
    for name in ("options_column", "context_column"):
        if getattr(script_args, name) is not None:
            raise ValueError(f"`{name}` names a column of a dataset, but the rows come from `tasks`: drop it.")
    options = (script_args.system_prompt, instruction, script_args.task_num_proc)
    specs: Any = (script_args.tasks, script_args.test_tasks)
    train = reasoning_gym_dataset(specs[0], *options)
    if not specs[1]:
        return convert(train), None
    test = reasoning_gym_dataset(specs[1], *options)
    return convert(disjoint(train, test)), convert(test)


def _with_completions(
    dataset: Dataset, prompt_column: str, completion_column: str, ask: Callable[[str], Half]
) -> Dataset:
    """Turn a column of questions and one of answers, plain or conversational already, into conversations."""
    check_is_there(dataset, prompt_column, "prompt_column")
    check_is_there(dataset, completion_column, "completion_column")

    def to_example(row: dict[str, Any]) -> dict[str, Any]:
        prompt = to_half(row[prompt_column], f"`{prompt_column}`")
        completion = to_completion(row[completion_column], f"`{completion_column}`")
        return {
            "prompt": ask(prompt) if isinstance(prompt, str) else prompt,
            "completion": chat(completion, "assistant"),
        }

    others = ("messages", "text", "conversations")
    return rewrite(dataset, to_example, (prompt_column, completion_column, *others))


def _refuse_void(script_args: CurriculumScriptArguments) -> None:
    """Refuses what is put around plain questions where the rows have prompts or conversations of their own."""
    for name in ("system_prompt", "instruction"):
        if getattr(script_args, name):
            raise ValueError(
                f"{name}={getattr(script_args, name)!r} has no effect on rows that have prompts, texts or messages of "
                "their own: put it into the rows, or leave it out."
            )


def _asks(system: str | None, instruction: str) -> Callable[[str], Half]:
    """What makes a conversational prompt of a plain question, and nothing of a blank one."""
    before = [{"role": "system", "content": system}] if system else []

    def ask(question: str) -> Half:
        if not question.strip():
            return None  # an instruction is no question
        return [*before, {"role": "user", "content": f"{question}\n\n{instruction}".strip()}]

    return ask
