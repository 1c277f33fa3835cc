"""Texts that were written, on disk, so that a kill does not lose them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..disk.lines import Lines
from ..lm.engines import Completion


class TextCache:
    """
    Texts by the name of the piece of work that they belong to.

    Args:
        file (`Path`, *optional*):
            Where they are, see [`~trl_curriculum.disk.lines.Lines`]; without it they are not kept.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._lines = Lines(file, _read)

    def get(self, name: str, write: Callable[[], tuple[list[Completion], float]]) -> tuple[list[Completion], float]:
        """The texts of a piece of work and the seconds that they took: those that are kept, or else written now."""

        def make() -> dict[str, Any]:
            texts, seconds = write()
            kept = [{"text": one.text, "tokens": one.tokens, "ended": one.ended} for one in texts]
            return {"seconds": seconds, "texts": kept}

        return _read(self._lines.get(name, make))


def _read(record: dict[str, Any]) -> tuple[list[Completion], float]:
    return [Completion(**one) for one in record["texts"]], float(record["seconds"])
