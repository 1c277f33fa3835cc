"""Dataset mixtures in which every row remembers which dataset it came from."""

import glob
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, ReadInstruction, concatenate_datasets
from trl import DatasetMixtureConfig
from trl.scripts.utils import DatasetConfig

from .columns import check_column
from .entries import check_entries
from .files import check_file, kind_of, stem_of
from .load import load_named, load_splits, read_files, refuse_configuration


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
    entries = check_entries(entries)
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
    size = dataset_args.test_split_size
    if not 0 < size < (1 if isinstance(size, float) else len(dataset)):
        raise ValueError(
            f"test_split_size={size} must be a share of the {len(dataset)} rows, between 0 and 1, or a number of them "
            "that leaves some."
        )
    return dataset.train_test_split(test_size=size, seed=seed)


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
    splits = _local(entry)
    if splits is None:
        options = {"data_dir": entry.data_dir, "data_files": entry.data_files, "split": entry.split}
        return load_named(entry.path, entry.name, **options)
    sizes = {str(name): len(rows) for name, rows in splits.items()}
    names = [re.split(r"[\[(]", part)[0].strip() for part in entry.split.split("+")]
    unknown = next((name for name in names if name not in sizes), None)
    if unknown is not None:
        raise ValueError(f"'{entry.path}' has no split '{unknown}', only {', '.join(sizes)}: set its `split`.")
    try:
        taken = ReadInstruction.from_spec(entry.split).to_absolute(sizes)
    except (ValueError, AssertionError) as error:
        raise ValueError(f"'{entry.path}': split={entry.split!r} cannot be read ({error}).") from error
    rows = concatenate_datasets([splits[one.splitname].select(range(one.from_, one.to)) for one in taken])
    if len(rows) == 0:
        raise ValueError(f"'{entry.path}': split={entry.split!r} has no rows: set its `split`.")
    return rows


def _local(entry: DatasetConfig) -> DatasetDict | None:
    """The splits of an entry that names files or a folder of this machine, else `None`."""
    files, builds = entry.data_files, entry.path in BUILDERS and not Path(entry.path).is_dir()
    here = kind_of(entry.path) is not None or Path(entry.path).exists()
    folder = Path(entry.data_dir or "") if builds else Path(entry.path, entry.data_dir or "")
    if files is None:
        if builds:
            return load_splits(str(folder), entry.name) if entry.data_dir and folder.is_dir() else None
        return load_splits(str(folder), entry.name) if here else None
    if not (builds or Path(entry.path).is_dir()):
        return None
    of_split = files if isinstance(files, dict) else {"train": files}
    named = {name: [one] if isinstance(one, str) else list(one) for name, one in of_split.items()}
    if any("://" in one for paths in named.values() for one in paths):
        return None
    refuse_configuration(entry.name, f"data_files of '{entry.path}'")
    found = {str(name): [path for one in paths for path in _found(folder, one)] for name, paths in named.items()}
    every = [path for paths in found.values() for path in paths]
    return DatasetDict({name: read_files(paths, every) for name, paths in found.items()})


def _found(folder: Path, pattern: str) -> list[Path]:
    """The files that a path or a pattern means."""
    given = folder / Path(pattern).expanduser()
    if given.is_file():
        return [check_file(given)]
    found = [Path(path) for path in sorted(glob.glob(str(given), recursive=True)) if Path(path).is_file()]
    if not found:
        raise FileNotFoundError(f"There is no file {given}, which `data_files` names, seen from {Path.cwd()}.")
    return [check_file(path) for path in found]


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
