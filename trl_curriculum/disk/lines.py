"""Records that are only ever added to a file, so that a kill loses none of those before."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .atomic import check_kind, name_full_disk


class Lines:
    """
    Records by name, one line of JSON each.

    Args:
        file (`Path`, *optional*):
            Where they are; without it they are not kept. A last line that a kill left unfinished is dropped.
        check (`Callable`, *optional*):
            Takes a record that was read; raises a `ValueError`, `KeyError` or `TypeError` for one of another kind.

    Raises:
        `ValueError`: for a file that something else has written or changed.
    """

    def __init__(self, file: Path | None, check: Callable[[Any], Any] = lambda record: None) -> None:
        self.file = file
        self.known: dict[str, Any] = {}
        if file is None or not file.exists():
            return
        check_kind(file)
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                name, record = json.loads(line)
                check(record)
                self.known[str(name)] = record
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{file}, line {number} holds no record that was written here ({error!r}): delete the file to "
                    "write anew."
                ) from error
        if len(whole) < len(content):
            if not b'["'.startswith(content[len(whole) :][:2]):  # what a kill left begins like a record
                raise ValueError(f"{file} ends with what was not written here: move it elsewhere to write anew.")
            os.truncate(file, len(whole))

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """The record of a name, plain values: the one that is kept, or else what `make` returns, which is added."""
        if name not in self.known:
            record = make()
            if self.file is not None:
                self._append(self.file, json.dumps([name, record]).encode() + b"\n")
            self.known[name] = record
        return self.known[name]

    @staticmethod
    def _append(path: Path, line: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            name_full_disk(path.parent, f"a line of {path.name} was not written"),
            open(path, "ab", buffering=0) as file,
        ):
            size = os.fstat(file.fileno()).st_size
            try:
                written = file.write(line)
                while written < len(line):  # the disk filled up in between: the next call says so
                    written += file.write(line[written:])
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(size)
                raise
