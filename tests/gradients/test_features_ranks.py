"""Gradient features by two real processes: those of one, each row computed once, and gone on with by either."""

import json
import shutil
from pathlib import Path
from typing import Any

import features_two
import pytest
import torch
from features_two import Counted, rows, write
from harness import launch, once

from trl_curriculum.gradients import read_features


N = len(rows())


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process writes that nobody disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    write(folder, Counted())
    return contents(folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        begun = Counted(stop_after=3)
        with pytest.raises(KeyboardInterrupt):
            write(folder / "begun by one", begun)
        (folder / "begun.json").write_text(json.dumps(begun.forwards))
        options: dict[str, Any] = {"begin": ["begun by two"], "write": ["whole", "begun by one"]}
        done = launch(folder, 2, features_two.__file__, threads=torch.get_num_threads(), **options)
        assert done.code == 0, done.err[-3000:]

    return once(tmp_path_factory, "features_two", make)


def forwards(folder: Path, name: str) -> list[list[int]]:
    """How many rows each forward had, of each process."""
    told = [json.loads((folder / f"told_{rank}.json").read_text()) for rank in (0, 1)]
    assert [one["processes"] for one in told] == [2, 2]
    return [one["forwards"][name] for one in told]


def test_the_same_bytes_as_one_process(two: Path, alone: dict[str, bytes]) -> None:
    assert contents(two / "whole") == alone
    first, second = forwards(two, "whole")
    assert sum(first) + sum(second) == N and abs(len(first) - len(second)) <= 1


def test_one_process_goes_on_where_two_stopped(two: Path, alone: dict[str, bytes], tmp_path: Path) -> None:
    begun = forwards(two, "begun by two")
    assert [len(one) for one in begun] == [2, 2]
    left = N - sum(sum(one) for one in begun)
    folder = shutil.copytree(two / "begun by two", tmp_path / "copy")
    with pytest.raises(ValueError, match=rf"{left} of {N} features in .* were not computed: run it again"):
        read_features(folder)
    rest = Counted()
    write(folder, rest)
    assert sum(rest.forwards) == left
    assert contents(folder) == alone


def test_two_processes_go_on_where_one_stopped(two: Path, alone: dict[str, bytes]) -> None:
    begun = json.loads((two / "begun.json").read_text())
    assert len(begun) == 3
    assert sum(sum(one) for one in forwards(two, "begun by one")) == N - sum(begun)
    assert contents(two / "begun by one") == alone
