"""The rows of a selection as they are written: with score, place in the pool, and the user's own columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Value, concatenate_datasets
from datasets.arrow_writer import ArrowWriter

from ..data.tables import Shapes, encoded
from ..disk.atomic import atomic_write
from ..generators import Candidate, to_dataset
from ..signals import FloatArray, IntArray


PLACES = "rows.npy"  # beside candidates of a given pool: the place of each in it
FORMATS = ("prompt", "completion", "messages", "conversations", "text")  # of which a candidate is made
ADDED = ("score", "row")


def save_joined(
    kept: Sequence[Candidate],
    score: FloatArray | None,
    row: IntArray,
    own: Sequence[dict[str, Any]] | None,
    file: Path,
) -> None:
    """
    Writes the rows that are kept, the most wanted first, as a parquet file that training takes.

    Columns: `prompt`, `completion`, `answer` and `source` of the candidates; `score`, where the method has one, larger
    is more wanted; `row`, the place in the pool, counted from 0; and all other columns that the pool has, of which one
    that is called like these gets `pool_` before its name.

    Args:
        kept (`Sequence[Candidate]`):
            The rows.
        score (`FloatArray`, shape `(len(kept),)`, *optional*), row (`IntArray`, shape `(len(kept),)`):
            Of each.
        own (`Sequence[dict]`, *optional*):
            The pool's rows with all their columns.
        file (`Path`):
            Where to.
    """
    made = to_dataset(kept)
    if score is not None:
        made = made.add_column("score", score.astype(float).tolist(), feature=Value("float64"))
    made = made.add_column("row", row.tolist(), feature=Value("int64"))
    if own is not None:
        taken, rows = {*made.column_names, *ADDED}, [own[k] for k in row.tolist()]
        there = {name for name in ("answer", "source") if _same(made[name], [one.get(name) for one in rows])}
        left_out = {*FORMATS, *there}
        joined = [
            {f"pool_{name}" if name in taken else name: value for name, value in one.items() if name not in left_out}
            for one in rows
        ]
        if any(joined):
            made = concatenate_datasets([made, _table(joined)], axis=1)
    with atomic_write(file) as draft:
        made.to_parquet(str(draft))


def _same(written: Sequence[Any], own: Sequence[Any]) -> bool:
    """Whether a column says what the user's does, as texts."""
    return all(b in (None, "") or a == str(b) for a, b in zip(written, own, strict=True))


def _table(rows: Sequence[dict[str, Any]]) -> Dataset:
    """Rows with values of any shape as a dataset."""
    shapes = Shapes()
    for row in rows:
        shapes.add(row)
    features, stream = shapes.features, pa.BufferOutputStream()
    with ArrowWriter(stream=stream, features=features) as writer:
        for row in rows:
            writer.write(features.encode_example(encoded(row, features)))
        writer.finalize()
    return Dataset.from_buffer(stream.getvalue())
