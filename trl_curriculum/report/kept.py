"""What a report needs of a run besides its history: facts, and the texts of drawn rows. It stays on this machine."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.formats import CONVERSATIONS, answer_of, prompt_of
from ..disk.atomic import atomic_write, check_kind
from ..disk.fingerprint import redact
from ..disk.state import StateError, write_json
from ..signals import BoolArray, IntArray


FOLDER = "_curriculum_report"  # not on the list of what is sent to the Hub (publish/files.py)
FACTS = "run.json"
LONGEST = {"prompt": 600, "gold": 200}  # letters that are kept of a text
COLUMNS = ("row", "draw", *LONGEST)


def write_facts(output_dir: str | Path, facts: dict[str, Any]) -> None:
    """Writes facts of a run, plain values without secrets."""
    write_json(Path(output_dir) / FOLDER / FACTS, facts)


def read_facts(output_dir: str | Path) -> dict[str, Any]:
    """Facts of a run; nothing where none were written, or something else has written them."""
    try:
        found = json.loads((Path(output_dir) / FOLDER / FACTS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_texts(output_dir: str | Path) -> pd.DataFrame:
    """
    Texts of drawn rows.

    Returns:
        `pandas.DataFrame`, indexed by row (place in the dataset): `prompt` and `gold`, shortened; both empty where the
        row has none.

    Raises:
        [`StateError`]: where a file is cut off, or something else has written it.
    """
    frames = [_read(file) for file in _files(Path(output_dir) / FOLDER)]
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype=str) for name in LONGEST}, index=pd.Index([], name="row"))
    return pd.concat(frames).sort_values("draw", kind="stable").set_index("row")[[*LONGEST]]


class RowTexts:
    """
    Writes the text of each row once, when it was drawn first.

    Args:
        output_dir (`str` or `Path`):
            The run's output directory.
        dataset (`datasets.Dataset`):
            The user's rows.
        golds, texts (`Iterable[str]`, *optional*):
            Columns that may hold right answers, and whole texts without a prompt; those that there are not do not
            count.
    """

    def __init__(
        self, output_dir: str | Path, dataset: Any, golds: Iterable[str] = (), texts: Iterable[str] = ()
    ) -> None:
        self.folder = Path(output_dir) / FOLDER
        there = set(dataset.column_names)
        self.golds, self.texts = ([name for name in names if name in there] for names in (golds, texts))
        names = dict.fromkeys(["prompt", *CONVERSATIONS, "completion", *self.golds, *self.texts])
        columns = [name for name in names if name in there]
        # Without the user's transforms, whose random numbers are the run's.
        self.dataset = dataset.with_format(None).select_columns(columns) if columns else None
        self.known: BoolArray = np.zeros(len(dataset), bool)

    def write(self, row: IntArray, draw: IntArray) -> None:
        """Writes the texts of those among the drawn rows that were not written yet, atomically."""
        rows, first = np.unique(row, return_index=True)
        fresh = ~self.known[rows]
        if self.dataset is None or not fresh.any():
            return
        read = self.dataset.__getitems__(rows[fresh].tolist())
        columns = {"row": rows[fresh], "draw": draw[first[fresh]]} | {
            name: [shorten(redact(as_text(value)), LONGEST[name]) for value in values]
            for name, values in (("prompt", map(self._prompt, read)), ("gold", map(self._gold, read)))
        }
        last = max((int(file.stem.split("-")[1]) for file in _files(self.folder)), default=-1)
        self._save(pd.DataFrame(columns), self.folder / f"texts-{last + 1:012d}.parquet")
        self.known[rows] = True

    def rewind(self, draws: int, changed: bool = False) -> None:
        """Forgets texts of rows drawn first from number `draws` on, and all where the data `changed`."""
        self.known[:] = False
        for file in _files(self.folder):
            frame = _read(file)
            kept = frame[(frame["draw"] < draws) & (frame["row"] < len(self.known)) & (not changed)]
            self.known[kept["row"].to_numpy()] = True
            if len(kept) == len(frame):
                continue
            if len(kept):
                self._save(kept, file)
            else:
                file.unlink()

    def start_over(self) -> None:
        """Moves what an earlier run has left out of the way."""
        self.known[:] = False
        move_aside(self.folder)

    def _prompt(self, row: dict[str, Any]) -> Any:
        found = _or_nothing(prompt_of, row)
        return next((row[name] for name in self.texts if row.get(name)), None) if found is None else found

    def _gold(self, row: dict[str, Any]) -> Any:
        given = next((row[name] for name in self.golds if row.get(name) is not None), None)
        return _or_nothing(answer_of, row) if given is None else given

    def _save(self, frame: pd.DataFrame, file: Path) -> None:
        with atomic_write(file) as draft:
            frame.to_parquet(draft, index=False)


def move_aside(folder: Path) -> Path | None:
    """Renames a folder that holds something to the first free `name.1`, `name.2`, …; returns its new place."""
    if not folder.exists() or not any(folder.iterdir()):
        return None
    n = 1
    while (moved := folder.with_name(f"{folder.name}.{n}")).exists():
        n += 1
    os.rename(folder, moved)
    return moved


def as_text(value: Any) -> str:
    """A text, or a conversation with a line for each turn; other values as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(one, dict) and "role" in one for one in value):
        return "\n".join(f"{one['role']}: {_content(one.get('content'))}" for one in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def shorten(text: str, longest: int) -> str:
    """A text without its middle where it is long: a question often stands at the end."""
    if len(text) <= longest:
        return text
    end = longest // 2
    return f"{text[: longest - end - 3]} … {text[-end:]}"


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def _or_nothing(read: Any, row: dict[str, Any]) -> Any:
    try:
        return read(row)
    except (ValueError, TypeError, KeyError, AttributeError):  # a format that only a function of the user's reads
        return None


def _files(folder: Path) -> Sequence[Path]:
    check_kind(folder, folder=True)
    return sorted(folder.glob("texts-*.parquet"))


def _read(file: Path) -> pd.DataFrame:
    check_kind(file)
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise _unusable(file, f"cannot be read ({str(error).splitlines()[0][:100]})") from error
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise _unusable(file, f"has no column {missing[0]!r}, so something else has written it")
    if any(frame[name].dtype.kind not in "iu" or (frame[name] < 0).any() for name in ("row", "draw")):
        raise _unusable(file, "holds a row or draw that is no number from 0 on, so something else has changed it")
    return frame


def _unusable(file: Path, why: str) -> StateError:
    return StateError(f"{file} {why}: move it elsewhere; a report then has no texts of its rows.")
