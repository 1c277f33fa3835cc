"""From what a user names to rows: a file, a folder, a dataset saved on disk, or one on the Hub."""

from collections.abc import Iterator, Sequence
from glob import escape
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, config, load_dataset, load_dataset_builder, load_from_disk
from datasets.arrow_writer import ArrowWriter
from datasets.exceptions import DatasetGenerationError
from filelock import FileLock
from yaml import YAMLError

from ..disk.atomic import atomic_write
from ..disk.fingerprint import fingerprint
from .files import KNOWN, Placed, check_file, kind_of, open_bytes, read_file
from .tables import Shapes, encoded


VERSION = 1  # of how files become tables: a change makes them anew


def load_splits(name: str, config_name: str | None = None, revision: str | None = None) -> DatasetDict:
    """
    Loads a dataset by its name. What is on this machine wins over the Hub.

    Args:
        name (`str`):
            A file of rows as [`~trl_curriculum.data.files.read_file`] reads it, which is the split `train`; a folder
            of such files, whose names tell their splits as [`~datasets.load_dataset`] reads them (`train.jsonl`,
            `test.jsonl`; one without such a name is `train`); a folder of `save_to_disk`, in which a single dataset is
            `train`; else a dataset on the Hub.
        config_name, revision (`str`, *optional*):
            Configuration and revision, as in [`~datasets.load_dataset`].

    Raises:
        `FileNotFoundError`, `ValueError`: with the file, the line or row, and why. `ConnectionError`: for a name that
        is neither here nor on the Hub.
    """
    path = Path(name).expanduser()
    if path.exists() and revision:
        raise ValueError(
            f"dataset_revision={revision!r} is one of the Hub's, and {name} is on this machine: drop it (in the place "
            'of a recipe\'s, --dataset_revision "").'
        )
    if path.is_file():
        refuse_configuration(config_name, name)
        return DatasetDict({"train": read_files([path])})
    if path.is_dir():
        return _folder(path, config_name)
    if kind_of(name) is not None or name.startswith(("/", ".", "~")):
        raise FileNotFoundError(f"There is no file or folder {name}, seen from {Path.cwd()}.")
    return load_named(name, config_name, revision=revision or None)


def refuse_configuration(config_name: str | None, what: str) -> None:
    """Refuses the name of a configuration for what has none."""
    if config_name is not None:
        raise ValueError(
            f"{what} has no configurations, so {config_name!r} (dataset_config, or `name` of an entry of datasets) "
            "has no effect: drop it."
        )


def load_rows(path: str | Path) -> list[dict[str, Any]]:
    """
    The rows of a file, or of the split `train` of a folder, with all their columns and in their order: that of the
    candidates that [`~trl_curriculum.generators.load`] makes of them.
    """
    return [row for _, row in placed_rows(path)]


def placed_rows(path: str | Path) -> Iterator[Placed]:
    """
    The same rows with their places, such as `line 3`.

    Raises:
        As [`load_splits`].
    """
    if not Path(path).is_dir():
        yield from read_file(path)
        return
    splits = load_splits(str(path))
    if "train" not in splits:
        raise ValueError(f"{path} has no split 'train', only {', '.join(map(str, splits))}: name the file.")
    for k, row in enumerate(splits["train"]):
        yield f"row {k} (counted from 0)", row


def read_files(paths: Sequence[Path], alike: Sequence[Path] = ()) -> Dataset:
    """
    Files as one table, in the order given, with the types that they show, together with those that they are to be
    `alike` (of other splits). It is made once, below the cache of `datasets`, and read from there afterwards.

    Raises:
        `FileNotFoundError`, `ValueError`: as [`~trl_curriculum.data.files.read_file`].
    """
    files = [check_file(path).resolve() for path in paths]
    every = list(dict.fromkeys([*files, *(check_file(path).resolve() for path in alike)]))
    if kind_of(files[0]) == ".parquet":
        return _parquet(files)
    table = _cached(f"{fingerprint((VERSION, list(map(str, files)), [_stamp(file) for file in every]))}.arrow")
    with FileLock(f"{table}.lock"):  # several processes may want it at once: the first makes it
        if not table.exists():
            _write(files, every, table)
    return Dataset.from_file(str(table))


def load_named(name: str, config_name: str | None = None, **options: Any) -> Any:
    """[`~datasets.load_dataset`], with its errors in a sentence."""
    try:
        return load_dataset(name, config_name, **options)
    except (ConnectionError, FileNotFoundError) as error:
        raise ConnectionError(
            f"Could not load '{name}': neither a local path, nor in the cache, nor could the Hub be reached ({error})."
        ) from error
    except DatasetGenerationError as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"Could not read '{name}': {cause}") from error
    except RuntimeError as error:  # of a loading script
        raise ValueError(
            f"Could not load '{name}': {str(error).splitlines()[0]}; set `dataset_revision` to refs/convert/parquet."
        ) from error


def _folder(path: Path, config_name: str | None) -> DatasetDict:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        refuse_configuration(config_name, str(path))
        return _saved(path)
    script = path / f"{path.resolve().name}.py"
    if script.is_file():
        raise ValueError(
            f"The folder {path} holds {script.name}, which `datasets` takes for a loading script and does not run: "
            "name a file in it, or move that script elsewhere."
        )
    try:
        builder = load_dataset_builder(str(path.resolve()), config_name)
    except (ValueError, YAMLError) as error:  # of splits in several kinds of files, of a configuration, of README.md
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    except FileNotFoundError as error:  # of no file that `datasets` knows
        if escape(str(path.resolve())) != str(path.resolve()):
            raise ValueError(
                f"The path of the folder {path} has one of the signs * ? [, which `datasets` reads as a pattern: "
                "rename it, or name a file in it."
            ) from error
        raise FileNotFoundError(f"The folder {path} has no files of rows in it: {KNOWN}.") from error
    given = builder.config.data_files or {}
    splits = {split: [Path(file) for file in files] for split, files in given.items()}
    files = [file for of_split in splits.values() for file in of_split]
    if not files or not all(file.is_file() and kind_of(file) is not None for file in files):
        return load_named(str(path.resolve()), config_name)
    return DatasetDict({split: read_files(of_split, files) for split, of_split in splits.items()})


def _saved(path: Path) -> DatasetDict:
    """What `save_to_disk` has written."""
    try:
        saved = load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:  # of Arrow too
        raise ValueError(f"{path} is not whole, as save_to_disk writes it ({error}): save it again.") from error
    return saved if isinstance(saved, DatasetDict) else DatasetDict({"train": saved})


def _parquet(files: list[Path]) -> Dataset:
    for file in files:
        next(read_file(file))  # refuses what is no parquet file, or has no rows
    plain = [_gunzipped(file) if file.suffix == ".gz" else file for file in files]
    names = ", ".join(map(str, files))
    try:
        return load_dataset("parquet", data_files={"train": [str(file) for file in plain]})["train"]
    except DatasetGenerationError as error:
        cause = " ".join(str(error.__cause__ or error).split())
        raise ValueError(f"Could not read {names} as one table ({cause[:200]}): write them again.") from error


def _gunzipped(file: Path) -> Path:
    plain = _cached(f"{fingerprint(_stamp(file))}.parquet")
    with FileLock(f"{plain}.lock"):
        if not plain.exists():
            with open_bytes(file) as packed, atomic_write(plain) as draft:
                draft.write_bytes(packed.read())
    return plain


def _stamp(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return str(file), found.st_size, found.st_mtime_ns


def _cached(name: str) -> Path:
    folder = Path(config.HF_DATASETS_CACHE) / "trl_curriculum"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _write(files: list[Path], every: list[Path], table: Path) -> None:
    shapes = Shapes()
    for file in every:
        for _, row in read_file(file):
            shapes.add(row)
    features = shapes.features
    with atomic_write(table) as draft, ArrowWriter(path=str(draft), features=features) as writer:
        for file in files:
            for _, row in read_file(file):
                writer.write(features.encode_example(encoded(row, features)))
        writer.finalize()
