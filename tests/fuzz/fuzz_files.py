"""Files in other formats and encodings, damaged, misnamed or missing: data, configs, models."""

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from fuzz_kit import FREE, HARMLESS, NOTICE, REFUSE, Input, Scene, name
from fuzz_scenes import SCENES


Rows = list[dict[str, Any]]


def _lines(rows: Rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def jsonl(rows: Rows, file: Path) -> None:
    file.write_text(_lines(rows))


def array(rows: Rows, file: Path) -> None:
    file.write_text(json.dumps(rows))


def csv(rows: Rows, file: Path) -> None:
    pd.DataFrame(rows).to_csv(file, index=False)


def parquet(rows: Rows, file: Path) -> None:
    pd.DataFrame(rows).to_parquet(file, index=False)


def packed(rows: Rows, file: Path) -> None:
    file.write_bytes(gzip.compress(_lines(rows).encode()))


def tabs(rows: Rows, file: Path) -> None:
    pd.DataFrame(rows).to_csv(file, index=False, sep="\t")


def folder(rows: Rows, file: Path) -> None:
    file.mkdir()
    jsonl(rows, file / "train.jsonl")


def disk(rows: Rows, file: Path) -> None:
    from datasets import Dataset

    Dataset.from_list(rows).save_to_disk(file)


def disk_of_splits(rows: Rows, file: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(file)


WRITERS: dict[str, tuple[Callable[[Rows, Path], None], str]] = {
    "jsonl": (jsonl, ".jsonl"),
    "JSON array": (array, ".json"),
    "csv": (csv, ".csv"),
    "parquet": (parquet, ".parquet"),
    "gz": (packed, ".jsonl.gz"),
    "folder": (folder, ""),
    "save_to_disk": (disk, ""),
    "save_to_disk of splits": (disk_of_splits, ""),
    "tsv": (tabs, ".tsv"),
}


def _bytes(change: Callable[[bytes, random.Random], bytes]) -> Callable[[Path, random.Random], None]:
    return lambda file, rng: (file.write_bytes(change(file.read_bytes(), rng)), None)[1]


def _line(text: str) -> Callable[[Path, random.Random], None]:
    """Puts a line into the middle."""

    def edit(file: Path, rng: random.Random) -> None:
        lines = file.read_text().splitlines()
        lines.insert(len(lines) // 2, text)
        file.write_text("\n".join(lines) + "\n")

    return edit


def _gone(file: Path, rng: random.Random) -> None:
    file.unlink()


def _directory(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


def _dangling(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def _loop(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _fifo(file: Path, rng: random.Random) -> None:
    file.unlink()
    os.mkfifo(file)


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(3):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _half_line(content: bytes, rng: random.Random) -> bytes:
    whole = content.rstrip(b"\n")
    last = whole.rfind(b"\n")
    return whole[: last + 1 + (len(whole) - last) // 2]


DAMAGES: dict[str, tuple[Callable[[Path, random.Random], None], str]] = {
    "empty": (_bytes(lambda content, rng: b""), REFUSE),
    "only line ends": (_bytes(lambda content, rng: b"\n\n\n"), REFUSE),
    "binary": (_bytes(lambda content, rng: rng.randbytes(400)), REFUSE),
    "zeros": (_bytes(lambda content, rng: bytes(400)), REFUSE),
    "bytes flipped": (_bytes(_flip), FREE),
    "missing": (_gone, REFUSE),
    "a directory": (_directory, REFUSE),
    "a link to nowhere": (_dangling, REFUSE),
    "a link to itself": (_loop, REFUSE),
}
TEXT_DAMAGES: dict[str, tuple[Callable[[Path, random.Random], None], str]] = {
    "cut off in its last line": (_bytes(_half_line), NOTICE),
    "cut off early": (_bytes(lambda content, rng: content[:20]), REFUSE),
    "UTF-16": (_bytes(lambda content, rng: content.decode().encode("utf-16")), NOTICE),
    "UTF-16 without a mark": (_bytes(lambda content, rng: content.decode().encode("utf-16-le")), NOTICE),
    "UTF-32": (_bytes(lambda content, rng: content.decode().encode("utf-32")), NOTICE),
    "Latin-1": (_bytes(lambda content, rng: content.decode().replace("what", "whät").encode("latin-1")), NOTICE),
    "a byte order mark": (_bytes(lambda content, rng: b"\xef\xbb\xbf" + content), HARMLESS),
    "Windows' line ends": (_bytes(lambda content, rng: content.replace(b"\n", b"\r\n")), HARMLESS),
    "no last line end": (_bytes(lambda content, rng: content.rstrip(b"\n")), HARMLESS),
    "blank lines at the end": (_bytes(lambda content, rng: content + b"\n\n"), HARMLESS),
    "gzipped": (_bytes(lambda content, rng: gzip.compress(content)), NOTICE),
    "a NUL inside": (_bytes(lambda content, rng: content[:60] + b"\x00" + content[60:]), NOTICE),
}
LINE_DAMAGES: dict[str, tuple[Callable[[Path, random.Random], None], str]] = {
    "a bad line": (_line("{bad"), NOTICE),
    "a blank line": (_line(""), HARMLESS),
    "a line that is a text": (_line('"text"'), NOTICE),
    "a line that is null": (_line("null"), NOTICE),
    "a line that is a number": (_line("7"), NOTICE),
    "a line that is a list": (_line("[1, 2]"), NOTICE),
    "an empty object": (_line("{}"), NOTICE),
    "a line of commas": (_line(",,,"), NOTICE),
    "a comment": (_line("// comment"), NOTICE),
    "two objects in a line": (_line('{"a": 1} {"a": 2}'), NOTICE),
    "a key twice": (_line('{"prompt": "a", "prompt": "b", "completion": "c"}'), NOTICE),
    "half an escape": (_line('{"prompt": "\\ud8", "completion": "c"}'), NOTICE),
    "a NaN": (_line('{"prompt": NaN, "completion": NaN}'), NOTICE),
    "single quotes": (_line("{'prompt': 'a', 'completion': 'c'}"), NOTICE),
}
SUFFIXES = {".jsonl": [".parquet", ".csv", ".txt", ".data", ""], ".parquet": [".jsonl", ".csv", ".json"]}


def _used(scene: Scene) -> list[tuple[str, str]]:
    """The arguments that name files, with the files."""
    if scene.command == "select":
        return [("candidates", "data/train.jsonl"), ("targets", "targets.jsonl"), ("examples", "targets.jsonl")]
    if scene.command == "evolve":
        return [("generators", "pool.jsonl"), ("dataset_name", "data/train.jsonl")]
    return [("dataset_name", "data/train.jsonl")]


DATA_SCENES = ["sft-text", "sft-messages", "sft-pairs", "sft-alpaca", "grpo-plain", "grpo-messages", "grpo-arms"]


def data_file(rng: random.Random) -> Input:
    """A file of data in another format, damaged, or with another name."""
    chosen = rng.choice([*DATA_SCENES, *DATA_SCENES, "score-prompts", "score-messages", "select", "evolve"])
    scene = SCENES[chosen]
    argument, source = rng.choice(_used(scene))
    rows = scene.files[source]
    kind = rng.choice(["jsonl", "jsonl", "jsonl", "jsonl", "parquet", *WRITERS])
    write, suffix = WRITERS[kind]
    stem = rng.choice(["pool", "pool", "pool", "my pool", "pöol", "pool[1]", "pool*", "-pool", "pool.train", "a=b"])
    damage, allowed, edit = "none", HARMLESS, None
    if kind == "tsv":
        allowed = NOTICE
    messages = any(isinstance(value, list) for value in rows[0].values())
    if messages and kind in ("csv", "tsv"):
        allowed = NOTICE
    if kind in ("jsonl", "JSON array", "csv", "parquet", "gz") and rng.random() < 0.8:
        table = DAMAGES | (TEXT_DAMAGES if kind in ("jsonl", "csv", "JSON array") else {})
        table |= LINE_DAMAGES if kind == "jsonl" else {}
        damage = rng.choice(list(table))
        edit, allowed = table[damage]
    elif suffix in SUFFIXES and rng.random() < 0.5:
        suffix, damage, allowed = rng.choice(SUFFIXES[suffix]), "another suffix", NOTICE
    elif rng.random() < 0.15 and suffix:
        suffix, damage = suffix.upper(), "capitals in the suffix"
    file, state = f"{stem}{suffix}", rng.random()
    given: Any = [{"file": {"path": file}}] if argument == "generators" else file
    config = scene.config | {argument: given}

    def prepare(where: Path) -> None:
        write(rows, where / file)
        if edit is not None:
            edit(where / file, random.Random(state))

    tokens = name(file, stem, argument, "pool")
    return Input(
        f"data file: {damage}" if damage != "none" else f"data file: {kind}",
        scene,
        NOTICE if argument == "examples" and allowed == HARMLESS else allowed,
        (*tokens, r"(?i)\b(row|line) \d+"),
        config,
        prepare=prepare,
        what=f"{scene.name}: {argument} is {file}, {kind}, damage: {damage}",
    )


def in_folder(rng: random.Random) -> Input:
    """A folder of data in which a file is damaged, or in which there is more than one."""
    scene = SCENES[rng.choice(DATA_SCENES)]
    rows = scene.files["data/train.jsonl"]
    table = DAMAGES | TEXT_DAMAGES | LINE_DAMAGES
    more = ["a hidden file", "a README", "a second format", "a nested folder", "a test split of other columns"]
    more += ["a cache file", "a loading script", "an empty test split", "only a test split", "names without splits"]
    damage = rng.choice([*table, *more, *more])
    allowed = table[damage][1] if damage in table else HARMLESS
    if damage in ("a test split of other columns", "an empty test split", "a second format", "a loading script"):
        allowed = NOTICE
    if damage == "only a test split":
        allowed = REFUSE
    state = rng.random()

    def prepare(where: Path) -> None:
        data = where / "data"
        if damage in table:
            table[damage][0](data / "train.jsonl", random.Random(state))
        elif damage == "a hidden file":
            (data / ".DS_Store").write_bytes(b"\x00\x01")
        elif damage == "a README":
            (data / "README.md").write_text("# My data\n")
        elif damage == "a second format":
            csv(rows, data / "train.csv")
        elif damage == "a nested folder":
            (data / "old").mkdir()
        elif damage == "a test split of other columns":
            jsonl([{"other": 1}], data / "test.jsonl")
        elif damage == "a cache file":
            (data / "cache-123.arrow").write_bytes(b"x")
        elif damage == "a loading script":
            (data / "data.py").write_text("raise SystemExit\n")
        elif damage == "an empty test split":
            (data / "test.jsonl").write_text("")
        elif damage == "only a test split":
            (data / "train.jsonl").rename(data / "test.jsonl")
        elif damage == "names without splits":
            (data / "train.jsonl").rename(data / "rows.jsonl")

    return Input(
        f"data folder: {damage}",
        scene,
        allowed,
        ("train", "test", "data", r"(?i)\b(row|line) \d+"),
        prepare=prepare,
        what=f"{scene.name}: folder with {damage}",
    )


def mixture(rng: random.Random) -> Input:
    """A mixture of data sets whose entries are wrong."""
    scene = SCENES[rng.choice(["sft-pairs", "grpo-plain"])]
    rows = scene.files["data/train.jsonl"]
    entry = {"path": "json", "data_files": "data/train.jsonl"}
    kinds: dict[str, tuple[Any, str]] = {
        "no path": ([{"data_files": "data/train.jsonl"}], REFUSE),
        "an unknown key": ([entry | {"nosuch": 1}], REFUSE),
        "a missing file": ([{"path": "json", "data_files": "nosuch.jsonl"}], REFUSE),
        "an unknown path": ([{"path": "nosuch"}], REFUSE),
        "a text": (["data"], REFUSE),
        "a negative fraction": ([entry | {"fraction": -1.0}, entry], REFUSE),
        "a fraction of 0": ([entry | {"fraction": 0.0}], REFUSE),
        "a fraction that is NaN": ([entry | {"fraction": float("nan")}], REFUSE),
        "a fraction that is text": ([entry | {"fraction": "half"}], REFUSE),
        "an unknown split": ([entry | {"split": "nosuch"}], REFUSE),
        "unknown columns": ([entry | {"columns": ["nosuch"]}], REFUSE),
        "columns that are a text": ([entry | {"columns": "prompt"}], REFUSE),
        "no columns": ([entry | {"columns": []}], REFUSE),
        "other columns": ([entry, {"path": "json", "data_files": "other.jsonl"}], NOTICE),
        "other types": ([entry, {"path": "json", "data_files": "types.jsonl"}], NOTICE),
        "a column called source": ([entry, {"path": "json", "data_files": "source.jsonl"}], REFUSE),
        "the same entry twice": ([entry, entry], FREE),
        "an empty file": ([entry, {"path": "json", "data_files": "empty.jsonl"}], REFUSE),
        "a share of the rows that is too large": ([entry], REFUSE),
    }
    kind = rng.choice(list(kinds))
    given, allowed = kinds[kind]
    config = {key: value for key, value in scene.config.items() if key != "dataset_name"} | {"datasets": given}
    if kind == "a share of the rows that is too large":
        config["test_split_size"] = rng.choice([-1, 2.0, 1.0, 100, float("nan"), "x"])

    def prepare(where: Path) -> None:
        jsonl([{"other": "x"}], where / "other.jsonl")
        jsonl([row | {"prompt": 3} for row in rows], where / "types.jsonl")
        jsonl([row | {"source": "x"} for row in rows], where / "source.jsonl")
        (where / "empty.jsonl").write_text("")

    tokens = (
        "train",
        "nosuch",
        "source",
        "other",
        "types",
        "empty",
        "fraction",
        "columns",
        "split",
        "path",
        "datasets",
    )
    return Input(f"mixture: {kind}", scene, allowed, tokens, config, prepare=prepare, what=f"{scene.name}: {kind}")


def _json_value(file: str, key: str, value: Any) -> Callable[[Path], None]:
    def edit(model: Path) -> None:
        content = json.loads((model / file).read_text())
        content[key] = value
        (model / file).write_text(json.dumps(content))

    return edit


MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "config.json missing": (lambda m: (m / "config.json").unlink(), REFUSE),
    "config.json cut off": (lambda m: _cut(m / "config.json"), REFUSE),
    "config.json empty": (lambda m: _empty(m / "config.json"), REFUSE),
    "config.json a list": (lambda m: (m / "config.json").write_text("[]") and None, REFUSE),
    "an unknown architecture": (_json_value("config.json", "model_type", "nosuch"), REFUSE),
    "a wrong hidden size": (_json_value("config.json", "hidden_size", 48), REFUSE),
    "a hidden size of 0": (_json_value("config.json", "hidden_size", 0), REFUSE),
    "more layers than weights": (_json_value("config.json", "num_hidden_layers", 3), NOTICE),
    "a smaller vocabulary": (_json_value("config.json", "vocab_size", 100), REFUSE),
    "weights missing": (lambda m: (m / "model.safetensors").unlink(), REFUSE),
    "weights cut off": (lambda m: _cut(m / "model.safetensors"), REFUSE),
    "weights empty": (lambda m: _empty(m / "model.safetensors"), REFUSE),
    "weights of text": (lambda m: (m / "model.safetensors").write_text("x" * 100) and None, REFUSE),
    "tokenizer.json missing": (lambda m: (m / "tokenizer.json").unlink(), REFUSE),
    "tokenizer.json cut off": (lambda m: _cut(m / "tokenizer.json"), REFUSE),
    "tokenizer.json empty": (lambda m: _empty(m / "tokenizer.json"), REFUSE),
    "tokenizer_config.json missing": (lambda m: (m / "tokenizer_config.json").unlink(), FREE),
    "tokenizer_config.json cut off": (lambda m: _cut(m / "tokenizer_config.json"), REFUSE),
    "no padding token": (_json_value("tokenizer_config.json", "pad_token", None), FREE),
    "no end token": (_json_value("tokenizer_config.json", "eos_token", None), NOTICE),
    "no chat template": (lambda m: (m / "chat_template.jinja").unlink(missing_ok=True), FREE),
    "a chat template that is no Jinja": (lambda m: (m / "chat_template.jinja").write_text("{% for %}") and None, FREE),
    "a chat template that raises": (
        lambda m: (m / "chat_template.jinja").write_text("{{ raise_exception('not this') }}") and None,
        FREE,
    ),
    "a chat template that is empty": (lambda m: (m / "chat_template.jinja").write_text("") and None, FREE),
    "a chat template that ignores messages": (lambda m: (m / "chat_template.jinja").write_text("hi") and None, FREE),
    "a chat template with an unknown variable": (
        lambda m: (m / "chat_template.jinja").write_text("{{ nosuch.x.y }}{{ messages }}") and None,
        FREE,
    ),
    "generation_config.json cut off": (lambda m: _cut(m / "generation_config.json"), NOTICE),
    "NaN weights": (lambda m: _nan(m / "model.safetensors"), REFUSE),
    "an empty folder": (lambda m: [one.unlink() for one in m.iterdir()] and None, REFUSE),
}


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _nan(file: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, file, {"format": "pt"})


def a_model(rng: random.Random) -> Input:
    """A model whose files are damaged."""
    import shutil

    chosen = ["sft-text", "sft-messages", "sft-edco", "grpo-plain", "grpo-messages", "score-prompts", "score-messages"]
    scene = SCENES[rng.choice([*chosen, "select"])]
    kind = rng.choice(list(MODELS))
    damage, allowed = MODELS[kind]

    def prepare(where: Path) -> None:
        shutil.copytree(where / "models/tiny", where / "damaged")
        damage(where / "damaged")

    config = scene.config | {"model_name_or_path": "damaged"}
    return Input(
        f"model: {kind}",
        scene,
        allowed,
        ("damaged", "chat.?template", "token", "config", "weights", r"(?i)\brow \d+"),
        config,
        prepare=prepare,
        what=f"{scene.name}: {kind}",
    )


MAKERS = {data_file: 55, in_folder: 16, mixture: 12, a_model: 17}


def make(rng: random.Random) -> Input:
    """An input of this kind."""
    return rng.choices(list(MAKERS), list(MAKERS.values()))[0](rng)
