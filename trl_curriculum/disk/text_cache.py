"""Texts that were written, on disk, so that a kill does not lose them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..lm.engines import Completion


class Kept:
    """
    Texts by the name of the piece of work that they belong to, one line of JSON each.

    Args:
        file (`Path`, *optional*):
            Where they are; without it they are not kept. A last line that a kill left unfinished is dropped.

    Raises:
        `ValueError`: for a file that something else has written or changed.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.known: dict[str, tuple[list[Completion], float]] = {}
        if file is None or not file.exists():
            return
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = json.loads(line)
                texts = [Completion(**one) for one in record["texts"]]
                self.known[record["name"]] = texts, float(record["seconds"])
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{file}, line {number} holds no written texts ({error!r}): delete the file to write anew."
                ) from error
        if len(whole) < len(content):
            os.truncate(file, len(whole))

    def get(self, name: str, write: Callable[[], tuple[list[Completion], float]]) -> tuple[list[Completion], float]:
        """The texts of a piece of work and the seconds that they took: those that are kept, or else written now."""
        if name not in self.known:
            texts, seconds = self.known[name] = write()
            if self.file is not None:
                record = {"name": name, "seconds": seconds, "texts": [_record(one) for one in texts]}
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with open(self.file, "ab") as file:
                    file.write(json.dumps(record).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
        return self.known[name]


def _record(one: Completion) -> dict[str, Any]:
    return {"text": one.text, "tokens": one.tokens, "ended": one.ended}
