"""Dataset mixtures in which every row remembers which dataset it came from."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, ReadInstruction, concatenate_datasets
from trl import DatasetMixtureConfig
from trl.scripts.utils import DatasetConfig

from .columns import check_column
from .files import kind_of, stem_of
from .load import load_named, load_splits, read_files


SOURCE = "source"
BUILDERS = ("json", "csv", "parquet")  # of `datasets`, as a `path` beside `data_files`


def load_mixture(
    dataset_args: DatasetMixtureConfig,
    seed: int = 42,
    convert: Callable[[dict[str, Dataset]], dict[str, Dataset]] | None = None,
) -> DatasetDict:
    """
    Load a mixture as [`~trl.get_dataset`] does, and add the column `source`, which can serve as the arm of a
    curriculum.

    A source is named by the dataset's path (a local file by its stem), with its `name`, `split` and position added
    only where two entries would be called the same. Files, folders and datasets on disk are read as
    [`~trl_curriculum.data.load.load_splits`] reads them. Unlike TRL's, the split into train and test is seeded, so
    that a resumed run and every process see the same rows.

    Args:
        dataset_args ([`~trl.DatasetMixtureConfig`]):
            The mixture; `fraction`, `columns` and `test_split_size` mean what they mean in TRL.
        seed (`int`, *optional*, defaults to `42`):
            Seed of the split into train and test.
        convert (`Callable`, *optional*):
            Brings the sources, by their names, into a common format.

    Raises:
        `ValueError`: with the source, for what cannot be mixed, and as `load_splits`.
    """
    entries = dataset_args.datasets
    if not entries:
        raise ValueError("The mixture is empty: list at least one dataset with a `path` under `datasets`.")
    if dataset_args.streaming:
        raise ValueError("A curriculum picks rows by their position, which a stream has not: drop `streaming`.")
    parts = {}
    for name, entry in zip(source_names(entries), entries, strict=True):
        part = _load(entry)
        if entry.columns is not None:
            for column in entry.columns:
                check_column(column, part.column_names, f"columns of source '{name}':")
            part = part.select_columns(entry.columns)
        if SOURCE in part.column_names:
            raise ValueError(
                f"Dataset '{entry.path}' has a column '{SOURCE}' already, which the mixture needs for itself: "
                "rename it, or leave it out with `columns`."
            )
        parts[name] = part
    counts = _kept(entries, [len(part) for part in parts.values()])
    parts = {name: part.select(range(n)) for (name, part), n in zip(parts.items(), counts, strict=True)}
    parts = parts if convert is None else convert(parts)
    whole = concatenate_datasets(list(parts.values()))
    dataset = whole.add_column(SOURCE, np.repeat(list(parts), counts).tolist())
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


def _load(entry: DatasetConfig) -> Dataset:
    """One entry's split. Local files are ours to read, all else `datasets` reads."""
    files = entry.data_files
    if entry.path in BUILDERS and files is not None:
        of_split = files.get(entry.split, []) if isinstance(files, dict) else files
        paths = [Path(file) for file in ([of_split] if isinstance(of_split, str) else of_split)]
        if paths and all(path.is_file() and kind_of(path) is not None for path in paths):
            return read_files(paths)
    if files is None and entry.data_dir is None and (kind_of(entry.path) is not None or Path(entry.path).exists()):
        splits = load_splits(entry.path, entry.name)
        sizes = {str(name): len(rows) for name, rows in splits.items()}
        asked = re.split(r"[\[+]", entry.split)[0].strip()
        if asked not in sizes:
            raise ValueError(f"'{entry.path}' has no split '{asked}', only {', '.join(sizes)}: set its `split`.")
        taken = ReadInstruction.from_spec(entry.split).to_absolute(sizes)
        return concatenate_datasets([splits[one.splitname].select(range(one.from_, one.to)) for one in taken])
    options = {"data_dir": entry.data_dir, "data_files": files, "split": entry.split}
    return load_named(entry.path, entry.name, **options)


def _kept(entries: list[DatasetConfig], sizes: list[int]) -> list[int]:
    """Return how many rows TRL keeps of each dataset: all, or else the share that `fraction` asks for."""
    fractions = [entry.fraction for entry in entries if entry.fraction is not None]
    if not fractions:
        return sizes
    if len(fractions) < len(entries):
        raise ValueError("`fraction` is set for some datasets of the mixture: set it for all of them, or for none.")
    if not all(math.isfinite(fraction) and fraction >= 0 for fraction in fractions) or not sum(fractions):
        raise ValueError(f"The fractions {fractions} of the mixture must be 0 or more, and not all 0.")
    shares = [fraction / sum(fractions) for fraction in fractions]
    total = min(size / share for size, share in zip(sizes, shares, strict=True) if share > 0)
    return [round(share * total) for share in shares]


def _stem(entry: DatasetConfig) -> str:
    files = list(entry.data_files.values()) if isinstance(entry.data_files, dict) else entry.data_files
    first = files[0] if isinstance(files, list) and files else files
    if isinstance(first, str):
        return stem_of(first)
    if kind_of(entry.path) is not None:
        return stem_of(entry.path)
    return Path(entry.path).name if Path(entry.path).exists() else entry.path
