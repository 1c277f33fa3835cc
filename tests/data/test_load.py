"""Files, folders and saved datasets become rows, with the values that the file shows."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from trl_curriculum.data.load import load_rows, load_splits
from trl_curriculum.pool import Pool


ROWS = [{"a": "x", "n": 1}, {"a": "y", "n": 2}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = "a,n\nx,1\ny,2\n"


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def parquet(folder: Path, rows: list[dict[str, Any]] = ROWS) -> bytes:
    Dataset.from_list(rows).to_parquet(folder / "made.parquet")
    return (folder / "made.parquet").read_bytes()


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "json lines", "csv", "tsv", "parquet"])
def test_every_kind_of_file(kind: str, packed: str, tmp_path: Path) -> None:
    content = {
        "jsonl": LINES,
        "json": json.dumps(ROWS, indent=1),
        "json lines": LINES,
        "csv": CSV,
        "tsv": CSV.replace(",", "\t"),
        "parquet": parquet(tmp_path),
    }[kind]
    path = write(tmp_path / "in" / f"rows.{kind.split()[0]}{packed}", content)
    splits = load_splits(str(path))
    assert list(splits) == ["train"]
    assert list(splits["train"]) == ROWS == load_rows(path)


@pytest.mark.parametrize(("kind", "content"), [("jsonl", LINES), ("csv", CSV), ("jsonl.gz", LINES)])
def test_files_in_a_folder_are_splits(kind: str, content: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.{kind}", content)
    assert {name: list(rows) for name, rows in load_splits(str(tmp_path)).items()} == {"train": ROWS, "test": ROWS}
    assert load_rows(tmp_path) == ROWS


def test_splits_have_the_same_types(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a\n007\n")
    write(tmp_path / "test.csv", "a\n1\n")
    splits = load_splits(str(tmp_path))
    assert list(splits["train"]) == [{"a": "007"}] and list(splits["test"]) == [{"a": "1"}]


def test_what_save_to_disk_wrote(tmp_path: Path) -> None:
    rows = Dataset.from_list(ROWS)
    rows.save_to_disk(tmp_path / "one")
    DatasetDict(train=rows, test=rows).save_to_disk(tmp_path / "two")
    assert list(load_splits(str(tmp_path / "one"))["train"]) == ROWS == load_rows(tmp_path / "one")
    assert list(load_splits(str(tmp_path / "two"))) == ["train", "test"]
    (tmp_path / "two" / "test" / "state.json").unlink()
    with pytest.raises((ValueError, FileNotFoundError), match="two"):
        load_splits(str(tmp_path / "two"))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", '{"a": 1}\n')
    assert list(load_splits(str(path))["train"]) == [{"a": 1}]
    write(path, '{"a": 22}\n')
    assert list(load_splits(str(path))["train"]) == [{"a": 22}]


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-01", "2024-01-02T00:00:00Z"],  # no dates
        [1, 2.5],  # an integer stays one
        [1, None, True],
        ["q", [{"role": "user", "content": "q"}]],
        [{"x": 1}, {"y": "s"}],  # no keys of others
        [{"x": 1, "y": 2}, {"x": 3}],
        [{}, {}],
        [2**63 - 1, -(2**63) + 1],
        [[{"role": "user", "content": "q"}], [{"role": "user", "content": "q", "name": "n"}]],
        [[{"f": {"x": 1}}], [{"f": {"x": "1"}}]],
        [{}, {"a": []}],
        ["é\u2028 \\ud83d", "\U0001f600"],
        ["NaN", "null", "007"],
    ],
)
def test_json_values_stay_what_they_are(values: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", "".join(json.dumps({"v": value}) + "\n" for value in values))
    read = [row["v"] for row in load_splits(str(path))["train"]]
    assert read == values == [row["v"] for row in load_rows(path)]
    assert list(map(type, read)) == list(map(type, values))


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([1, "x", 2.5, True], ["1", "x", "2.5", "true"]),
        ([10**30], [str(10**30)]),
        ([2**63, -(2**63)], [str(2**63), str(-(2**63))]),
    ],
)
def test_numbers_beside_texts_are_texts(values: list[Any], read: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", "".join(json.dumps({"v": value}) + "\n" for value in values))
    assert [row["v"] for row in load_splits(str(path))["train"]] == read


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["007", "8"], ["007", "8"]),
        (["NA", "null", "None", "x"], ["NA", "null", "None", "x"]),
        (["true", "False"], ["true", "False"]),
        (["1.50", "2.25"], ["1.50", "2.25"]),
        (["1e3", "2"], ["1e3", "2"]),
        (["nan", "1.0"], ["nan", "1.0"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["2024-01-01", "2024-01-02"], ["2024-01-01", "2024-01-02"]),
        (["-7", "0"], [-7, 0]),
        (["1.5", "2"], [1.5, 2]),
        (["1", "", "3"], [1, None, 3]),
        (["x", ""], ["x", None]),
        (['"a, ""b""\nc"'], ['a, "b"\nc']),
    ],
)
def test_csv_cells_stay_as_they_are_written(cells: list[str], read: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "v,w\n" + "".join(f"{cell},k\n" for cell in cells))
    got = [row["v"] for row in load_splits(str(path))["train"]]
    assert got == read and list(map(type, got)) == list(map(type, read))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert load_rows(write(tmp_path / "rows.csv", CSV.encode("utf-8-sig"))) == ROWS
    assert load_rows(write(tmp_path / "rows.jsonl", LINES.encode("utf-8-sig"))) == ROWS
    assert load_rows(write(tmp_path / "rows.json", json.dumps(ROWS).encode("utf-8-sig"))) == ROWS


def test_rows_may_have_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", '{"a": 1}\n\n{"b": 2}\n')
    assert list(load_splits(str(path))["train"]) == [{"a": 1, "b": None}, {"a": None, "b": 2}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.jsonl", LINES + "{nope}\n", r"rows\.jsonl, line 3 is not JSON: '\{nope\}'"),
        ("rows.jsonl", LINES + '{"a": "x', "line 3 is not JSON"),
        ("rows.jsonl", LINES + "[1]\n", r"line 3: it is \[1\], not an object"),
        ("rows.jsonl", LINES + '{"a": 1, "a": 2}\n', "line 3: an object has the key 'a' twice"),
        ("rows.jsonl", LINES + '{"a": "half \\ud83d"}\n', "line 3 has a lone surrogate"),
        ("rows.jsonl", LINES + '{"half \\udc00": 1}\n', "line 3 has a lone surrogate"),
        ("rows.jsonl.gz", LINES + "{nope}\n", r"rows\.jsonl\.gz, line 3 is not JSON"),
        ("rows.jsonl", LINES.encode("utf-16"), "this file is UTF-16: save it as UTF-8"),
        ("rows.jsonl", LINES.encode("utf-16-le"), "this file is UTF-16: save it as UTF-8"),
        ("rows.csv", CSV.encode("utf-16"), "this file is UTF-16: save it as UTF-8"),
        ("rows.jsonl", LINES.encode() + '{"a": "é"}\n'.encode("latin-1"), "line 3 is not UTF-8"),
        ("rows.csv", CSV.encode() + "é,3\n".encode("latin-1"), "is not UTF-8"),
        ("rows.jsonl", "", "has no rows"),
        ("rows.json", "[]", "has no rows"),
        ("rows.csv", "a,b\n", "has no rows"),
        ("rows.json", json.dumps({"data": ROWS, "version": 1}), "holds one object with data, version, and no rows"),
        ("rows.json", json.dumps({"data": ROWS}, indent=1), "holds one object with data, and no rows"),
        ("rows.json", '"x"', "holds 'x', and no rows"),
        ("rows.json", json.dumps([*ROWS, "x"]), r"row 2 \(counted from 0\): it is 'x'"),
        ("rows.json", json.dumps(ROWS, indent=1)[:-3], r"is not JSON .*\(line"),
        ("rows.csv", CSV + "z\n", "line 4 has 1 cells, and the header 2 columns"),
        ("rows.csv", CSV + '"z,3\n', "line 4 is not CSV"),
        ("rows.csv", "a,a\n1,2\n", "has the column 'a' twice"),
        ("rows.csv", CSV.replace(",", ";"), "columns apart by ';'"),
        ("rows.parquet", b"PAR1 and more", "is not a whole parquet file"),
        ("rows.txt", "x", r"Cannot read .*rows\.txt"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, content: Any, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, content)
    for read in (lambda: load_splits(str(path)), lambda: load_rows(path)):
        with pytest.raises(ValueError, match=said) as raised:
            read()
        assert "\n" not in str(raised.value) and str(path) in str(raised.value)


def test_cut_files(tmp_path: Path) -> None:
    cut = tmp_path / "rows.jsonl.gz"
    cut.write_bytes(gzip.compress("".join(json.dumps({"a": k}) + "\n" for k in range(999)).encode())[:-20])
    table = tmp_path / "rows.parquet"
    table.write_bytes(parquet(tmp_path)[:-9])
    for path, said in ((cut, "was not copied whole"), (table, "not a whole parquet file")):
        with pytest.raises(ValueError, match=said):
            load_splits(str(path))


def test_places_without_rows(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file or folder .*none\.jsonl"):
        load_splits(str(tmp_path / "none.jsonl"))
    with pytest.raises(FileNotFoundError, match="has no files of rows"):
        load_splits(str(tmp_path))
    write(tmp_path / "notes.xyz", "x")
    with pytest.raises(FileNotFoundError, match="has no files of rows"):
        load_splits(str(tmp_path))
    write(tmp_path / "train.csv", CSV)
    write(tmp_path / "test.jsonl", LINES)
    with pytest.raises(ValueError, match=str(tmp_path)):
        load_splits(str(tmp_path))
    with pytest.raises(ConnectionError, match="'no/such-dataset'"):
        load_splits("no/such-dataset")


def test_a_folder_whose_name_is_a_pattern(tmp_path: Path) -> None:
    write(tmp_path / "pool[1]" / "train.jsonl", LINES)
    with pytest.raises(ValueError, match=r"pool\[1\] has one of the signs .* reads as a pattern: rename it"):
        load_splits(str(tmp_path / "pool[1]"))
    assert list(load_splits(str(tmp_path / "pool[1]" / "train.jsonl"))["train"]) == ROWS


def test_what_is_here_wins_over_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "openai" / "gsm8k" / "train.jsonl", LINES)
    monkeypatch.chdir(tmp_path)
    assert list(load_splits("openai/gsm8k")["train"]) == ROWS


@pytest.mark.parametrize(("content", "kind"), [("d\n0.50\n1.25\n", "csv"), ('{"d": 1}\n{"d": 2.5}\n', "jsonl")])
def test_a_difficulty_is_a_number_however_it_is_kept(content: str, kind: str, tmp_path: Path) -> None:
    rows = load_splits(str(write(tmp_path / f"rows.{kind}", content)))["train"]
    pool = Pool.from_dataset(rows, difficulty_column="d", hash_rows=False)
    assert pool.difficulty is not None
    assert pool.difficulty.tolist() == ([0.5, 1.25] if kind == "csv" else [1, 2.5])
    assert Pool.from_dataset(rows, "d").arm_names == (("0.50", "1.25") if kind == "csv" else ("1.0", "2.5"))
