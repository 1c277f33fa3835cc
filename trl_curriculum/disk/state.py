"""State on disk: plain values as JSON, arrays as npz, in a folder that appears whole or not at all."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from .atomic import atomic_write, recover


PLAIN, ARRAYS, CHECKSUMS = "state.json", "arrays.npz", "checksums.json"


class StateError(ValueError):
    """A saved state that cannot be used; the message says why and what to do."""


def write_json(file: Path, value: Any) -> None:
    """Writes plain values to a file that is whole whenever it exists."""
    text = json.dumps(value, indent=1)
    with atomic_write(file) as draft:
        draft.write_text(text)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """
    Writes a nested dict of arrays and plain values, with checksums, to a folder that is whole whenever it exists.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = _split(state, "", arrays)
    with atomic_write(folder) as draft:
        draft.mkdir()
        (draft / PLAIN).write_text(json.dumps(plain))
        np.savez(draft / ARRAYS, **arrays)  # type: ignore[arg-type]
        (draft / CHECKSUMS).write_text(json.dumps({name: checksum(draft / name) for name in (PLAIN, ARRAYS)}))


def read_state(folder: Path) -> dict[str, Any]:
    """
    Reads back what `write_state` wrote; nothing in it is ever executed.

    Raises:
        `StateError`: if a file is missing, truncated or damaged, be it by one bit.
    """
    recover(folder)
    try:
        written = json.loads((folder / CHECKSUMS).read_text())
        for name in (PLAIN, ARRAYS):
            if written[name] != checksum(folder / name):
                raise ValueError(f"{name} does not match its checksum, so it is cut off or was changed")
        plain = json.loads((folder / PLAIN).read_text())
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return _join(plain, arrays)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise StateError(
            f"The curriculum's state in {folder} cannot be read ({type(error).__name__}: {error}); "
            "resume from an earlier checkpoint."
        ) from error


def checksum(path: Path) -> str:
    """Of the bytes of a file."""
    hasher = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def _split(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"__array__": path}
    if isinstance(value, dict):
        return {key: _split(item, f"{path}/{key}" if path else key, arrays) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _join(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return arrays[value["__array__"]]
        return {key: _join(item, arrays) for key, item in value.items()}
    return value
