"""Dataset mixtures in which every row remembers which dataset it came from."""

import dataclasses
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from trl import DatasetMixtureConfig, get_dataset
from trl.scripts.utils import DatasetConfig


SOURCE = "source"


def load_mixture(dataset_args: DatasetMixtureConfig, seed: int = 42) -> DatasetDict:
    """
    Load a mixture as [`~trl.get_dataset`] does, and add the column `source`, which can serve as the arm of a
    curriculum.

    A source is named by the dataset's path (a local file by its stem), with its `name`, `split` and position added
    only where two entries would be called the same. Unlike TRL's, the split into train and test is seeded, so that a
    resumed run and every process see the same rows.

    Args:
        dataset_args ([`~trl.DatasetMixtureConfig`]):
            The mixture; `fraction`, `columns` and `test_split_size` mean what they mean in TRL.
        seed (`int`, *optional*, defaults to `42`):
            Seed of the split into train and test.
    """
    entries = dataset_args.datasets
    if not entries:
        raise ValueError("The mixture is empty: list at least one dataset with a `path` under `datasets`.")
    if dataset_args.streaming:
        raise ValueError("A curriculum picks rows by their position, which a stream has not: drop `streaming`.")
    sizes = []
    for entry in entries:
        part = _load(DatasetMixtureConfig(datasets=[dataclasses.replace(entry, fraction=None)]))
        if SOURCE in part.column_names:
            raise ValueError(
                f"Dataset '{entry.path}' has a column '{SOURCE}' already, which the mixture needs for itself: "
                "rename it, or leave it out with `columns`."
            )
        sizes.append(len(part))
    whole = _load(dataclasses.replace(dataset_args, datasets=list(entries), test_split_size=None))
    counts = _kept(entries, sizes)
    if sum(counts) != len(whole):
        raise RuntimeError(
            f"TRL mixed {len(whole)} rows where {sum(counts)} were expected ({counts}): this release of TRL mixes "
            "datasets in a way that trl_curriculum does not know, please report it."
        )
    dataset = whole.add_column(SOURCE, np.repeat(source_names(entries), counts).tolist())
    if dataset_args.test_split_size is None:
        return DatasetDict({"train": dataset})
    return dataset.train_test_split(test_size=dataset_args.test_split_size, seed=seed)


def source_names(entries: list[DatasetConfig]) -> list[str]:
    """Return a different name for every entry, as short as that allows."""
    names = [_stem(entry) for entry in entries]
    for details in ([entry.name for entry in entries], [entry.split for entry in entries], range(len(entries))):
        told_apart = {name for name in names if len({d for n, d in zip(names, details, strict=True) if n == name}) > 1}
        names = [
            f"{name}/{detail}" if name in told_apart and detail is not None else name
            for name, detail in zip(names, details, strict=True)
        ]
    return names


def _load(dataset_args: DatasetMixtureConfig) -> Dataset:
    paths = ", ".join(f"'{entry.path}'" for entry in dataset_args.datasets)
    try:
        return get_dataset(dataset_args)["train"]
    except (ConnectionError, FileNotFoundError) as error:
        raise ConnectionError(
            f"Could not load {paths}: neither a local path, nor in the cache, nor could the Hub be reached ({error})."
        ) from error


def _kept(entries: list[DatasetConfig], sizes: list[int]) -> list[int]:
    """Return how many rows TRL keeps of each dataset: all, or else the share that `fraction` asks for."""
    fractions = [entry.fraction for entry in entries if entry.fraction is not None]
    if not fractions:
        return sizes
    shares = np.array(fractions) / sum(fractions)
    total = min(size / share for size, share in zip(sizes, shares, strict=True) if share > 0)
    return [round(share * total) for share in shares]


def _stem(entry: DatasetConfig) -> str:
    files = list(entry.data_files.values()) if isinstance(entry.data_files, dict) else entry.data_files
    first = files[0] if isinstance(files, list) and files else files
    if isinstance(first, str):
        return Path(first).stem
    return Path(entry.path).name if Path(entry.path).exists() else entry.path
