"""What a mixture lists under `datasets`: entries with known keys, each of a kind that it can be."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from trl import DatasetMixtureConfig
from trl.scripts.utils import DatasetConfig

from ..registry import nearest


KEYS = tuple(field.name for field in dataclasses.fields(DatasetConfig))


@dataclasses.dataclass
class MixtureConfig(DatasetMixtureConfig):
    """
    TRL's arguments of a mixture, of which wrong entries are refused in a sentence.

    Raises:
        `ValueError`: with the number of the entry, for one that is no mapping, has an unknown key or no `path`.
    """

    def __post_init__(self) -> None:
        if not isinstance(self.datasets, list | tuple):
            raise ValueError(f"datasets={self.datasets!r} must be a list of entries such as `- path: rows.jsonl`.")
        self.datasets = [_entry(entry, k) for k, entry in enumerate(self.datasets)]
        super().__post_init__()


def _entry(entry: Any, k: int) -> Any:
    """An entry as TRL takes it; on the command line one is a JSON object, or a path."""
    if isinstance(entry, DatasetConfig):
        if not isinstance(entry.path, str) or not entry.path.lstrip().startswith("{"):
            return entry
        try:
            entry = json.loads(entry.path)
        except json.JSONDecodeError as error:
            raise ValueError(f"datasets, entry {k}, {entry.path!r} is not JSON ({error.msg}).") from error
    if not isinstance(entry, dict):
        hint = f"write it as `- path: {entry}`" if isinstance(entry, str) else "give a mapping such as {path: data}"
        raise ValueError(f"datasets, entry {k} (counted from 0) is {entry!r}, not a mapping: {hint}.")
    for key in entry:
        if key not in KEYS:
            raise ValueError(
                f"datasets, entry {k} (counted from 0) has the unknown key {key!r}{nearest(str(key), KEYS)}: an entry "
                f"has {', '.join(KEYS)}."
            )
    if "path" not in entry:
        raise ValueError(
            f"datasets, entry {k} (counted from 0) has no `path`, only {', '.join(entry) or 'nothing'}: give a file, "
            "a folder, or a dataset on the Hub."
        )
    return DatasetConfig(**entry)


def check_entries(entries: Sequence[Any]) -> list[DatasetConfig]:
    """
    The entries of a mixture, none of which holds what cannot be.

    Raises:
        `ValueError`: with the number of the entry, the key and the value.
    """
    made = [_entry(entry, k) for k, entry in enumerate(entries)]
    for k, entry in enumerate(made):
        files = entry.data_files
        texts = files.values() if isinstance(files, dict) else [files]
        needed = {
            "path": (_is_text(entry.path), "a path or a name"),
            "name": (entry.name is None or _is_text(entry.name), "a name"),
            "data_dir": (entry.data_dir is None or _is_text(entry.data_dir), "a folder"),
            "data_files": (files is None or all(map(_are_texts, texts)), "a path, a list of them, or one for a split"),
            "split": (_is_text(entry.split), "the name of a split, such as train or train[:100]"),
            "columns": (entry.columns is None or _is_list(entry.columns), "a list of columns"),
            "fraction": (entry.fraction is None or _is_share(entry.fraction), "a number of 0 or more"),
        }
        for key, (right, what) in needed.items():
            if not right:
                value = getattr(entry, key)
                raise ValueError(f"datasets, entry {k} (counted from 0) has {key}={value!r}, and it must be {what}.")
    return made


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_text, value))


def _are_texts(value: Any) -> bool:
    return _is_text(value) or _is_list(value)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
