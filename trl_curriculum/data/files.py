"""Rows of one file, as it shows them: JSON lines, JSON, CSV or parquet, plain or gzipped."""

import csv
import gzip
import io
import json
import math
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..options import repeated, shorten


KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
KNOWN = "give .jsonl, .json, .csv, .tsv or .parquet, or one of these gzipped (.jsonl.gz)"
SURROGATE = re.compile("[\ud800-\udfff]")
Placed = tuple[str, Any]  # where in the file, such as "line 3", and what is there


def kind_of(path: str | Path) -> str | None:
    """What kind of file of rows a name is that of (`".jsonl"` for `rows.jsonl.gz` too), else `None`."""
    name = Path(path).name.lower().removesuffix(".gz")
    return next((kind for kind in KINDS if name.endswith(kind)), None)


def stem_of(path: str | Path) -> str:
    """The name of a file without its kind: `rows` of `rows.jsonl.gz`."""
    name, kind = Path(path).name, kind_of(path)
    return name[: name.lower().rindex(kind)] if kind is not None else Path(path).stem


def check_file(path: str | Path) -> Path:
    """Refuses a path at which there is no file, or none of rows."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: give the path of a file of rows.")
    if kind_of(path) is None:
        raise ValueError(f"Cannot read {path}, whose name ends in {path.suffix!r}: {KNOWN}.")
    return path


def read_file(path: str | Path) -> Iterator[Placed]:
    """
    The rows of a file with their places, as mappings of plain values.

    A value has the type that the file shows. JSON: numbers, texts and the rest are what they are, dates stay texts,
    and integers beyond 64 bits become texts. CSV, which has no types: a column is numbers if every cell is one and
    would be written so again (`7`, `2.5`, not `007`, `2.50` or `1e3`); all other columns are texts as written, `NA`,
    `null` and `true` too; an empty cell is null.

    Raises:
        `FileNotFoundError` without the file; `ValueError`, with the file and the line or row, for another kind of
        file, another encoding than UTF-8, what cannot be parsed, what is no row, and a file without rows.
    """
    path = check_file(path)
    kind = kind_of(path)
    n = 0
    try:
        for place, row in _parquet(path) if kind == ".parquet" else _texts(path, kind):
            n += 1
            if not isinstance(row, dict):
                raise ValueError(f"{path}, {place}: it is {shorten(row)}, not an object with columns.")
            yield place, row
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged or was not copied whole ({error}): write it again.") from error
    except UnicodeDecodeError as error:
        where = f"{path}, after row {n}" if n else str(path)
        raise ValueError(f"{where}: this file is not UTF-8 ({error.reason}): save it as UTF-8.") from error
    if n == 0:
        raise ValueError(f"{path} has no rows: give a file with at least one.")


def open_bytes(path: Path) -> IO[bytes]:
    """A file, gunzipped where its name says so."""
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def _texts(path: Path, kind: str | None) -> Iterator[Placed]:
    with open_bytes(path) as file:
        head = file.read(64)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or 0 in head[:4]:
        raise ValueError(f"{path}: this file is UTF-16: save it as UTF-8.")
    if kind in (".csv", ".tsv"):
        return _csv(path, "\t" if kind == ".tsv" else ",")
    return _json(path) if kind == ".json" else _json_lines(path)


# JSON


def _json_lines(path: Path) -> Iterator[Placed]:
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            text = _decoded(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, path, number)
            if text.strip():
                place = f"line {number}"
                yield place, _parsed(text, path, place, f"is not JSON: {shorten(text.strip())}")


def _json(path: Path) -> Iterator[Placed]:
    """A list of rows; one row a line is read too."""
    with open_bytes(path) as file:
        text = file.read().decode("utf-8-sig").strip()
    first, _, more = text.partition("\n")
    if text.startswith("{") and more and first.rstrip().endswith("}"):
        return _json_lines(path)
    if not text:
        return iter(())
    whole = _parsed(text, path, "", "is not JSON")
    if isinstance(whole, dict):
        raise ValueError(
            f"{path} holds one object with {', '.join(list(whole)[:5])}, and no rows: give a list of rows, or a "
            ".jsonl file with one row a line."
        )
    if not isinstance(whole, list):
        raise ValueError(f"{path} holds {shorten(whole)}, and no rows: give a list of rows.")
    return ((f"row {k} (counted from 0)", row) for k, row in enumerate(whole))


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {number} is not UTF-8 ({error.reason}): save the file as UTF-8.") from error


def _parsed(text: str, path: Path, place: str, otherwise: str) -> Any:
    where = f"{path}, {place}" if place else str(path)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        at = f" (line {error.lineno})" if not place else ""
        raise ValueError(f"{where} {otherwise} ({error.msg}, column {error.colno}){at}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: {error}.") from error
    if re.search(r"\\u[dD][89a-fA-F]", text):  # a pair is a sign, one alone cannot be encoded
        lone = next((one for one in _strings(value) if SURROGATE.search(one)), None)
        if lone is not None:
            raise ValueError(
                f"{where} has a lone surrogate (half of a UTF-16 pair) in {shorten(lone)}: remove or repair it."
            )
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (twice := repeated(pairs)) is not None:
        raise ValueError(f"an object has the key {twice!r} twice: keep one")
    return dict(pairs)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) < 19 or (len(digits) < 21 and abs(int(digits)) < 2**63) else digits


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _strings(one)


# CSV


def _csv(path: Path, separator: str) -> Iterator[Placed]:
    numbers: set[str] | None = None
    for _, cells in _cells(path, separator):
        numbers = set(cells) if numbers is None else numbers
        numbers -= {name for name in numbers if cells[name] and _number(cells[name]) is None}
    for place, cells in _cells(path, separator):
        yield (
            place,
            {
                name: (_number(cell) if name in (numbers or ()) else cell) if cell else None
                for name, cell in cells.items()
            },
        )


def _cells(path: Path, separator: str) -> Iterator[tuple[str, dict[str, str]]]:
    csv.field_size_limit(sys.maxsize)
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            header = [name or f"Unnamed: {k}" for k, name in enumerate(next(reader, []))]
            twice = [name for name in header if header.count(name) > 1]
            if twice:
                raise ValueError(f"{path} has the column {twice[0]!r} twice: rename one.")
            if len(header) == 1 and (other := next((s for s in ";\t|" if s in header[0]), None)):
                raise ValueError(f"{path} has columns apart by {other!r}, not by {separator!r}: save it with commas.")
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise ValueError(
                        f"{path}, line {reader.line_num} has {len(cells)} cells, and the header {len(header)} "
                        "columns: quote texts with commas or line breaks in them."
                    )
                if cells:
                    yield f"line {reader.line_num}", dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num} is not CSV ({error}): save it as CSV again.") from error


def _number(cell: str) -> int | float | None:
    """The number that a cell holds, if that would be written as the cell is."""
    if not re.fullmatch(r"-?\d{1,18}|-?\d+\.\d+", cell):
        return None
    value = float(cell) if "." in cell else int(cell)
    return value if str(value) == cell and math.isfinite(value) else None


# Parquet


def _parquet(path: Path) -> Iterator[Placed]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_bytes(path) as stream:
        source = io.BytesIO(stream.read()) if path.name.lower().endswith(".gz") else path
    try:
        with pq.ParquetFile(source) as file:
            decode = _decoder(file.schema_arrow)
            k = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield f"row {k} (counted from 0)", decode(row)
                    k += 1
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a whole parquet file ({first}): write it again.") from error


def _decoder(schema: Any) -> Any:
    """Turns what `datasets` keeps as JSON texts back into values; all else is left alone."""
    from datasets import Features

    features = Features.from_arrow_schema(schema)
    return features.decode_example if "Json" in repr(features) else lambda row: row
