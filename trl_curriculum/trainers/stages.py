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
        before, now = _flat(json.loads(file.read_text())), _flat(json.loads(json.dumps(settings)))
        for name in {**before, **now}:
            if before.get(name) != now.get(name):
                raise ValueError(
                    f"{folder} holds a job with {name}={before.get(name)!r}, and now it is {now.get(name)!r}: use "
                    "another output_dir, or the same settings to go on."
                )

    def run(self, folder: Path, make: Callable[[Path], dict[str, Any] | None], alone: bool = False) -> dict[str, Any]:
        """
        Runs a stage unless it is done: `make` fills its folder and returns what is to be told.

        Args:
            folder (`Path`):
                The stage's.
            make (`Callable`):
                Takes the folder.
            alone (`bool`, *optional*, defaults to `False`):
                Whether the main process does it alone. The others then look for its end once a second: it may take
                longer than a collective waits.

        Returns:
            What was told, with `seconds`: those of the run that finished it.
        """
        done = folder / DONE
        self.state.wait_for_everyone()  # so that all find it done, or none
        if not done.exists():
            self.state.wait_for_everyone()
            start = time.monotonic()
            if alone and not self.state.is_main_process:
                while not done.exists():
                    time.sleep(1)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                told = make(folder) or {}
                if not alone:
                    self.state.wait_for_everyone()
                if self.state.is_main_process:
                    write_json(done, {**told, "seconds": time.monotonic() - start})
        self.state.wait_for_everyone()
        return self.told(folder)

    @staticmethod
    def told(folder: Path) -> dict[str, Any]:
        """What a stage has told; empty where it is not done."""
        file = folder / DONE
        return json.loads(file.read_text()) if file.exists() else {}


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = isinstance(value, dict) and value
        flat |= _flat(value, f"{before}{name}.") if inner else {f"{before}{name}": value}
    return flat
