"""The rows that the recipe scripts train and evaluate on."""

from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from trl import DatasetMixtureConfig

from ..mixture import load_mixture
from ..pool import Pool
from ..tasks import INSTRUCTION, disjoint, reasoning_gym_dataset


def load_data(script_args: Any, dataset_args: DatasetMixtureConfig, seed: int) -> tuple[Dataset, Dataset | None]:
    """
    Return the training rows and the held-out rows (`None` without any), from tasks, a mixture or one dataset.

    Args:
        script_args (`CurriculumGRPOScriptArguments`):
            Where the rows come from, and how prompts are built.
        dataset_args ([`~trl.DatasetMixtureConfig`]):
            A mixture, where that is the source.
        seed (`int`):
            Seed of a mixture's split into train and test.
    """
    if sum(map(bool, (script_args.tasks, dataset_args.datasets, script_args.dataset_name))) != 1:
        raise ValueError("Give the rows to train on by exactly one of `tasks`, `datasets` and `dataset_name`.")
    if script_args.dataset_streaming:
        raise ValueError(
            "A curriculum picks rows by their position, which a stream has not: drop `dataset_streaming`."
        )
    instruction = INSTRUCTION if script_args.instruction is None else script_args.instruction
    if script_args.tasks:
        options = (script_args.system_prompt, instruction, script_args.task_num_proc)
        train = reasoning_gym_dataset(script_args.tasks, *options)
        if not script_args.test_tasks:
            return train, None
        test = reasoning_gym_dataset(script_args.test_tasks, *options)
        return disjoint(train, test), test
    train_split, test_split = "train", "test"
    if dataset_args.datasets:
        for entry in dataset_args.datasets:
            entry.path = _locate(entry.path)
        splits = load_mixture(dataset_args, seed)
    else:
        train_split, test_split = script_args.dataset_train_split, script_args.dataset_test_split
        try:
            splits = load_dataset(_locate(script_args.dataset_name), script_args.dataset_config)
        except (ConnectionError, FileNotFoundError) as error:
            raise ConnectionError(
                f"Could not load '{script_args.dataset_name}': no such local path, not in the cache, and the Hub "
                f"cannot be reached ({error})."
            ) from error
    if train_split not in splits:
        raise ValueError(f"The dataset has no split '{train_split}', only {list(splits)}: set `dataset_train_split`.")
    prompts = [
        _with_prompts(splits[split], script_args.prompt_column, script_args.system_prompt, instruction)
        for split in (train_split, test_split)
        if split in splits
    ]
    return prompts[0], prompts[1] if len(prompts) > 1 else None


def split_by_arm(dataset: Dataset, arm_column: list[str] | str | None) -> dict[str, Dataset]:
    """Return one dataset per arm, so that the metrics are `eval_<arm>_...`."""
    if not arm_column:
        raise ValueError("`eval_per_arm` needs `arm_column`, the column that tells the arms apart.")
    pool = Pool.from_dataset(dataset, arm_column, hash_rows=False)
    names = [name.replace("/", "-") for name in pool.arm_names]  # trackers read a slash as a folder
    return {name: dataset.select((pool.arm == arm).nonzero()[0]) for arm, name in enumerate(names)}


def _locate(path: str) -> str:
    """Return a path as it is, unless it exists only as seen from the folder that holds the recipes."""
    for root in () if Path(path).exists() else Path(__file__).resolve().parents[1:3]:
        if (root / path).exists():
            return str(root / path)
    return path


def _with_prompts(dataset: Dataset, column: str, system: str | None, instruction: str) -> Dataset:
    """Turn a column of plain questions into conversational prompts."""
    if column not in dataset.column_names:
        raise ValueError(f"The dataset has no column '{column}', only {dataset.column_names}: set `prompt_column`.")
    if column == "prompt":
        return dataset
    before = [{"role": "system", "content": system}] if system else []

    def to_prompt(question: str) -> dict[str, Any]:
        return {"prompt": [*before, {"role": "user", "content": f"{question}\n\n{instruction}".strip()}]}

    return dataset.map(to_prompt, input_columns=column, remove_columns=column)
