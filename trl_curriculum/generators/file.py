"""Candidates from a file of rows."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..data.files import check_file, stem_of
from ..data.load import placed_rows
from ..data.rows import settle
from ..disk.fingerprint import fingerprint
from ..registry import option
from .base import GENERATORS, Generator, GeneratorMethod, Student
from .candidates import Batch, Candidate
from .reading import from_row, in_one_form


def load(path: str | Path, unusable_rows: str = "refuse", speak: bool = True) -> list[Candidate]:
    """
    Reads the rows of a file or folder, as [`~trl_curriculum.data.load.load_rows`] reads it, as candidates, see
    [`~trl_curriculum.generators.reading.from_row`]: prompts and completions, or conversations, and, where they are
    there, `answer` and `source`. Other columns are not read; `load_rows` gives them, in the same order. Rows that are
    no candidates can be left out, with a warning unless another process is to `speak`.

    Raises:
        `FileNotFoundError`: without such a file; `ValueError`, with the line or the row, for a row that is no
        candidate.
    """
    return load_placed(path, unusable_rows, speak)[0]


def load_placed(
    path: str | Path, unusable_rows: str = "refuse", speak: bool = True
) -> tuple[list[Candidate], list[int]]:
    """The same, with the place of each candidate among the rows, counted from 0."""
    candidates, places, flaws = [], [], {}
    for k, (place, row) in enumerate(placed_rows(path)):
        try:
            candidates.append(from_row(row))
            places.append(k)
        except ValueError as error:
            if unusable_rows == "refuse":
                raise ValueError(f"{path}, {place}: {error}") from error
            flaws[k] = str(error).rstrip(".")
    settle(flaws, len(candidates) + len(flaws), len(candidates), str(path), "leave_out", speak)
    return candidates, places


@GENERATORS.add("file")
@dataclass(frozen=True)
class FileGenerator(GeneratorMethod):
    """
    Rows of a file that something else has written, as [`load`] reads it; without a `source` they get the file's name.

    Each call draws from the whole file, whatever earlier ones drew: in rounds, a row can come again in each of them.
    """

    path: str | Path = option(help="A file of rows: `.jsonl`, `.json`, `.csv` or `.parquet`.")

    def located(self, find: Callable[[str], str]) -> Self:
        return dataclasses.replace(self, path=str(check_file(find(str(self.path)))))

    def depends_on(self) -> Any:
        content = fingerprint([check_file(self.path).read_bytes()])
        return {"file": {"name": Path(self.path).name, "share": self.share, "content": content}}

    def make(self, student: Student, examples: Sequence[Candidate]) -> Generator:
        return _LikeExamples(self, examples)

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
        named = [Candidate(one.prompt, one.completion, one.answer, one.source or stem_of(path)) for one in rows]
        return Batch(in_one_form(named), [], seconds=time.monotonic() - start)


@dataclass(frozen=True)
class _LikeExamples:
    """Rows of a file as messages where the trusted examples are messages."""

    file: FileGenerator
    examples: Sequence[Candidate]

    def generate(self, *args: Any, **kwargs: Any) -> Batch:
        batch = self.file.generate(*args, **kwargs)
        if any(not isinstance(one.prompt, str) for one in self.examples):
            return dataclasses.replace(batch, accepted=[one.as_chat() for one in batch.accepted])
        return batch
