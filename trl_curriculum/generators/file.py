"""Candidates from a file: JSONL or parquet."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.rows import settle
from ..disk.fingerprint import fingerprint
from ..registry import option
from .base import GENERATORS, GeneratorMethod, Student
from .candidates import Batch, Candidate


def load(path: str | Path, unusable_rows: str = "refuse", speak: bool = True) -> list[Candidate]:
    """
    Reads the rows of a `.jsonl` or `.parquet` file: `prompt` and `completion`, and, where they are there, `answer` and
    `source`. Other columns are not read. Rows that are no candidates can be left out, with a warning unless another
    process is to `speak`.

    Raises:
        `FileNotFoundError`: without such a file; `ValueError`, with the row's number (the first is 1), for a row that
        is no candidate.
    """
    path = check_file(path)
    candidates, flaws = [], {}
    for number, row in enumerate(_jsonl(path) if path.suffix == ".jsonl" else _parquet(path), start=1):
        try:
            candidates.append(_candidate(row))
        except ValueError as error:
            if unusable_rows == "refuse":
                raise ValueError(f"{path}, row {number}: {error}") from error
            flaws[number] = str(error).rstrip(".")
    settle(flaws, len(candidates) + len(flaws), len(candidates), str(path), "leave_out", speak)
    if not candidates:
        raise ValueError(f"{path} has no rows: give a file with at least one.")
    return candidates


def check_file(path: str | Path) -> Path:
    """Refuses a path at which there is no file, or none that [`load`] reads."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: give the path of a .jsonl or .parquet file of rows.")
    if path.suffix not in (".jsonl", ".parquet"):
        raise ValueError(f"Cannot read {path.name}: give a .jsonl or a .parquet file.")
    return path


@GENERATORS.add("file")
@dataclass(frozen=True)
class FileGenerator(GeneratorMethod):
    """
    Rows of a file that something else has written, as [`load`] reads it; without a `source` they get the file's name.

    Each call draws from the whole file, whatever earlier ones drew: in rounds, a row can come again in each of them.
    """

    path: str | Path = option(help="A `.jsonl` or `.parquet` file.")

    def located(self, find: Callable[[str], str]) -> Self:
        return dataclasses.replace(self, path=str(check_file(find(str(self.path)))))

    def depends_on(self) -> Any:
        content = fingerprint([check_file(self.path).read_bytes()])
        return {"file": {"name": Path(self.path).name, "share": self.share, "content": content}}

    def make(self, student: Student, examples: Sequence[Candidate]) -> Self:
        return self

    def generate(
        self, n: int | None = None, seed: int = 0, folder: str | Path | None = None, disable_tqdm: bool = False
    ) -> Batch:
        """
        Rows of the file: all in their order, or n drawn without replacement by the seed, in the order of the file.

        Raises:
            `ValueError`: as [`load`], and where the file has fewer than n rows.
        """
        start = time.monotonic()
        path = Path(self.path)
        rows = load(path)
        if n is not None and not 1 <= n <= len(rows):
            raise ValueError(f"{n} rows of {path} were asked for, and it has {len(rows)}: ask for 1 to as many.")
        if n is not None:
            rows = [rows[k] for k in np.sort(np.random.default_rng(seed).choice(len(rows), n, replace=False))]
        named = [Candidate(one.prompt, one.completion, one.answer, one.source or path.stem) for one in rows]
        return Batch(named, [], seconds=time.monotonic() - start)


def _candidate(row: Any) -> Candidate:
    if not isinstance(row, dict):
        raise ValueError(f"it is {_short(row)}, not an object with `prompt` and `completion`.")
    for name in ("prompt", "completion"):
        if row.get(name) is None:
            raise ValueError(f"`{name}` is missing or null; the row has {sorted(row)}.")
    both = [
        [{"role": message["role"], "content": message["content"]} for message in value]
        if isinstance(value, list) and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in value)
        else value
        for value in (row["prompt"], row["completion"])
    ]
    source = row.get("source")
    return Candidate(both[0], both[1], row.get("answer"), "" if source is None else source)


def _jsonl(path: Path) -> Iterator[Any]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1] if not lines[-1] else lines, start=1):
        try:
            yield json.loads(line)
        except ValueError as error:  # of JSON or of its encoding
            raise ValueError(f"{path}, row {number} is not JSON ({error}): {_short(line)}.") from error


def _parquet(path: Path) -> Iterator[Any]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a parquet file ({error}): write it again.") from error
    with file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
