"""Entries of a mixture: known keys, kinds of values, splits, patterns of files; folders and configurations."""

import json
from pathlib import Path
from typing import Any

import pytest

from trl_curriculum.data.entries import MixtureConfig, check_entries
from trl_curriculum.data.load import load_splits
from trl_curriculum.data.sources import load_mixture


ROWS = [{"prompt": f"q{k}", "code": f"00{k}", "day": "2024-01-02"} for k in range(4)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return tmp_path


def mixed(*entries: Any) -> Any:
    return load_mixture(MixtureConfig(datasets=list(entries)))["train"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "a.jsonl", "spilt": "x"}, r"entry 1 .* unknown key 'spilt' .did you mean 'split'"),
        ("a.jsonl", r"entry 1 .* is 'a.jsonl', not a mapping: write it as `- path: a.jsonl`"),
        (3, r"entry 1 .* is 3, not a mapping"),
        ({"data_files": "a.jsonl"}, r"entry 1 .* has no `path`, only data_files"),
        ({"path": 3}, r"entry 1 .* has path=3"),
        ({"path": "a.jsonl", "columns": "prompt"}, r"entry 1 .* has columns='prompt', and it must be a list"),
        ({"path": "a.jsonl", "columns": []}, r"has columns=\[\]"),
        ({"path": "a.jsonl", "fraction": "half"}, r"has fraction='half', and it must be a number"),
        ({"path": "a.jsonl", "split": None}, r"has split=None"),
        ({"path": "json", "data_files": 7}, r"has data_files=7"),
    ],
)
def test_wrong_entries(folder: Path, entry: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_entries(MixtureConfig(datasets=[{"path": "a.jsonl"}, entry]).datasets)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "json", "data_files": "a.jsonl", "split": "nosuch"}, "no split 'nosuch', only train"),
        ({"path": "a.jsonl", "split": "train+test"}, "no split 'test', only train"),
        ({"path": "a.jsonl", "split": "train[:0]"}, r"split='train\[:0\]' has no rows"),
        ({"path": "json", "data_files": {"train": "a.jsonl"}, "split": "test"}, "no split 'test', only train"),
        ({"path": "json", "data_files": "c*.jsonl"}, r"no file c\*.jsonl, which `data_files` names"),
        ({"path": "a.jsonl", "name": "main"}, "a.jsonl has no configurations, so 'main'"),
        ({"path": "json", "data_files": "a.jsonl", "name": "main"}, "has no configurations, so 'main'"),
    ],
)
def test_what_an_entry_does_not_have(folder: Path, entry: Any, words: str) -> None:
    with pytest.raises((ValueError, OSError), match=words):
        mixed(entry)


@pytest.mark.parametrize(
    ("entry", "n"),
    [
        ({"path": "json", "data_files": "*.jsonl"}, 8),
        ({"path": "json", "data_files": ["a.jsonl"], "split": "train[:2]"}, 2),
        ({"path": "json", "data_files": {"train": "a.jsonl", "test": ["b.jsonl"]}, "split": "train+test"}, 8),
        ({"path": ".", "data_files": "b.jsonl"}, 4),
        ({"path": "json", "data_dir": "."}, 8),
    ],
)
def test_local_files_keep_their_values(folder: Path, entry: Any, n: int) -> None:
    rows = mixed(entry)
    assert len(rows) == n and rows[1]["code"] == "001" and rows[1]["day"] == "2024-01-02"


def test_folders(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    (folder / "a.jsonl").rename(data / "train.jsonl")
    with pytest.raises(ValueError, match="data: BuilderConfig 'main' not found"):
        load_splits("data", "main")
    with pytest.raises(ValueError, match="dataset_revision='x' is one of the Hub's"):
        load_splits("data", revision="x")
    (data / "README.md").write_text("---\nconfigs: [\n---\n")
    with pytest.raises(ValueError, match="data: while parsing"):
        load_splits("data")
    (data / "README.md").unlink()
    (data / "data.py").write_text("print(1)")
    with pytest.raises(ValueError, match=r"data holds data\.py, which `datasets` takes for a loading script"):
        load_splits("data")
