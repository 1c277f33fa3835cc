"""Every kind of store writes number after number into a folder, as a process of its own; test_crashes.py looks."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from trl_curriculum.cli import score
from trl_curriculum.disk import partial
from trl_curriculum.disk.lines import Lines
from trl_curriculum.disk.state import read_state, write_json, write_state
from trl_curriculum.disk.tensors import write_tensors
from trl_curriculum.generators import Candidate, load, save
from trl_curriculum.report.history import FOLDER, History


SIZE = 4000  # numbers in one write, so that it takes a while


def write_buffer(folder: Path, k: int) -> None:
    write_tensors(folder / "buffer.safetensors", {"k": torch.full((SIZE,), k)})


def write_rows(folder: Path, k: int) -> None:
    save([Candidate(f"question {row}", str(k)) for row in range(SIZE // 10)], folder / "rows.parquet")


def read_rows(folder: Path) -> list[int]:
    return [int(row.response) for row in load(folder / "rows.parquet")]


def write_draws(folder: Path, k: int) -> None:
    History(folder, True)._write(pd.DataFrame({"k": np.full(SIZE, k)}), folder / FOLDER / "draws-000000000000.parquet")


def write_partial(folder: Path, k: int) -> None:
    store = partial._Partial(folder / "loss-0.npz", "key", (SIZE, 1))
    store.value[:] = k
    store.save(k, now=True)


def read_partial(folder: Path) -> list[int]:
    store = partial._Partial(folder / "loss-0.npz", "key", (SIZE, 1))
    return [store.done, *store.value.ravel().astype(int).tolist()]


def write_lines(folder: Path, k: int) -> None:
    Lines(folder / "lines.jsonl").get(str(k), lambda: [k] * SIZE)


def read_lines(folder: Path) -> list[int]:
    known = Lines(folder / "lines.jsonl").known
    assert [*known] == [str(k) for k in range(1, len(known) + 1)]
    return known[str(len(known))]


Store = tuple[Callable[[Path, int], Any], Callable[[Path], list[int]]]
STORES: dict[str, Store] = {
    "json": (
        lambda folder, k: write_json(folder / "value.json", [k] * SIZE),
        lambda folder: json.loads((folder / "value.json").read_text()),
    ),
    "state": (
        lambda folder, k: write_state(folder / "state", {"array": np.full(SIZE, k), "plain": k}),
        lambda folder: [*read_state(folder / "state")["array"].tolist(), read_state(folder / "state")["plain"]],
    ),
    "buffer": (write_buffer, lambda folder: load_file(folder / "buffer.safetensors")["k"].tolist()),
    "rows": (write_rows, read_rows),
    "draws": (write_draws, lambda folder: pd.read_parquet(folder / FOLDER)["k"].tolist()),
    "scores": (
        lambda folder, k: score.write(pd.DataFrame({"k": np.full(SIZE, k)}), folder / "scores.parquet", {}),
        lambda folder: pd.read_parquet(folder / "scores.parquet")["k"].tolist(),
    ),
    "partial": (write_partial, read_partial),
    "lines": (write_lines, read_lines),
}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def keep_writing(name: str, folder: Path) -> None:
    """Until it is killed; says after each write that it has returned."""
    write, _ = STORES[name]
    for k in range(1, 100_000):
        write(folder, k)
        os.write(1, f"{k}\n".encode())


def fill_up(disk: Path) -> None:
    """Writes each store on an empty small disk and on one without room; prints what happened."""
    found = {}
    for name, (write, read) in STORES.items():
        folder = disk / name
        folder.mkdir()
        write(folder, 1)
        before = files(folder)
        other = disk / "other"
        with open(other, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        try:
            write(folder, 2)
            error = "none"
        except OSError as raised:
            error = str(raised)
        left = [files(folder) == before, sorted(set(read(folder)))]
        other.unlink()
        write(folder, 2)
        found[name] = {"error": error, "left": left, "after": [files(folder) == before, sorted(set(read(folder)))]}
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "fill up":
        fill_up(Path(sys.argv[2]))
    else:
        keep_writing(sys.argv[1], Path(sys.argv[2]))
