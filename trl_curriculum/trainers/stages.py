"""A long job as folders: each stage leaves one that says when it is done, and a finished stage is never redone."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState

from ..state import write_json


DONE = "done.json"


class Stages:
    """
    Runs stages one after the other, each in a folder of its own.

    Args:
        folder (`Path`):
            Of the whole job, on a disk that all processes share.
        settings (`dict`):
            Plain values that the job depends on. A folder that was made with others is refused.

    Raises:
        `ValueError`: where the folder holds a job with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.state = folder, PartialState()
        file = folder / "settings.json"
        if self.state.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                write_json(file, settings)
        self.state.wait_for_everyone()
        before, now = json.loads(file.read_text()), json.loads(json.dumps(settings))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            name = changed[0]
            raise ValueError(
                f"{folder} holds a job with {name}={before.get(name)!r}, and now it is {now.get(name)!r}: use another "
                "output_dir, or the same settings to go on."
            )

    def run(self, name: str, make: Callable[[Path], dict[str, Any] | None]) -> tuple[Path, dict[str, Any]]:
        """
        Runs a stage unless it is done: `make` fills its folder, on every process, and returns what is to be told.

        Returns:
            The folder, and what was told, with `seconds`: those of the run that finished it.
        """
        folder = self.folder / name
        if not (folder / DONE).exists():
            start = time.monotonic()
            folder.mkdir(parents=True, exist_ok=True)
            told = make(folder) or {}
            self.state.wait_for_everyone()
            if self.state.is_main_process:
                write_json(folder / DONE, {**told, "seconds": time.monotonic() - start})
        self.state.wait_for_everyone()
        return folder, self.told(name)

    def told(self, name: str) -> dict[str, Any]:
        """What a stage has told; empty where it is not done."""
        file = self.folder / name / DONE
        return json.loads(file.read_text()) if file.exists() else {}
