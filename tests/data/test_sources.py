import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from trl import DatasetMixtureConfig
from trl.scripts.utils import DatasetConfig

from trl_curriculum.data.sources import load_mixture, source_names


def file(folder: Path, name: str, n: int, **extra: Any) -> DatasetConfig:
    rows = [{"prompt": f"{name}{i}", **extra} for i in range(n)]
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return DatasetConfig(path="json", data_files=str(folder / f"{name}.jsonl"))


def mixed(*entries: DatasetConfig, **options: Any) -> Any:
    return load_mixture(DatasetMixtureConfig(datasets=list(entries), **options))


def test_every_row_keeps_its_source(tmp_path: Path) -> None:
    train = mixed(file(tmp_path, "a", 10), file(tmp_path, "b", 20))["train"]
    assert Counter(train["source"]) == {"a": 10, "b": 20}
    assert all(prompt.startswith(source) for prompt, source in zip(train["prompt"], train["source"], strict=True))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.7, 0.3), (3, 1), (0, 1)])
def test_fractions_are_trls(tmp_path: Path, shares: tuple[float, float]) -> None:
    a, b = file(tmp_path, "a", 10), file(tmp_path, "b", 21)
    a.fraction, b.fraction = shares
    train = mixed(a, b)["train"]
    assert all(prompt.startswith(source) for prompt, source in zip(train["prompt"], train["source"], strict=True))


def test_split_keeps_sources_and_is_seeded(tmp_path: Path) -> None:
    entries = file(tmp_path, "a", 10), file(tmp_path, "b", 20)
    one, two = (mixed(*entries, test_split_size=0.5) for _ in range(2))
    assert {name: len(split) for name, split in one.items()} == {"train": 15, "test": 15}
    assert one["test"][:] == two["test"][:]
    assert all(row["prompt"].startswith(row["source"]) for row in one["test"])


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ([{"path": "x/a"}, {"path": "x/b", "name": "c"}], ["x/a", "x/b"]),
        ([{"path": "x/a", "name": "c"}, {"path": "x/a", "name": "d"}], ["x/a/c", "x/a/d"]),
        ([{"path": "x/a"}, {"path": "x/a", "split": "test"}], ["x/a/train", "x/a/test"]),
        ([{"path": "x/a"}, {"path": "x/a"}, {"path": "x/b"}], ["x/a/0", "x/a/1", "x/b"]),
        (
            [{"path": "json", "data_files": ["f/one.jsonl"]}, {"path": "json", "data_files": {"train": "two.jsonl"}}],
            ["one", "two"],
        ),
    ],
)
def test_names_differ_and_are_short(entries: list[dict[str, Any]], names: list[str]) -> None:
    assert source_names([DatasetConfig(**entry) for entry in entries]) == names


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`datasets`"):
        mixed()
    with pytest.raises(ValueError, match="drop `streaming`"):
        mixed(file(tmp_path, "a", 1), streaming=True)
    with pytest.raises(ValueError, match="has a column 'source' already"):
        mixed(file(tmp_path, "c", 2, source="web"))
    with pytest.raises(ConnectionError, match="'no/such-dataset'"):
        mixed(DatasetConfig(path="no/such-dataset"))
