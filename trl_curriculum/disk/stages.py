"""A long job as folders: each stage leaves one that says when it is done, and a finished stage is never redone."""

import gc
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from .state import write_json


logger = logging.getLogger(__name__)

DONE, SETTINGS = "done.json", "settings.json"


class Stages:
    """
    Runs stages one after the other, each in a folder of its own, on a disk that all processes share.
    """

    def __init__(self) -> None:
        self.state = PartialState()

    def run(
        self,
        folder: Path,
        settings: dict[str, Any],
        make: Callable[[Path], dict[str, Any] | None],
        alone: bool = False,
    ) -> dict[str, Any]:
        """
        Runs a stage unless it is done: `make` fills its folder and returns what is to be told.

        Args:
            folder (`Path`):
                The stage's.
            settings (`dict`):
                Plain values that the stage depends on. What was done with others is refused; what was only begun with
                others is begun anew.
            make (`Callable`):
                Takes the folder.
            alone (`bool`, *optional*, defaults to `False`):
                Whether the main process does it alone. The others then look for its end once a second: it may take
                longer than a collective waits.

        Returns:
            What was told, with `seconds`: those of the run that finished it.

        Raises:
            `ValueError`: where the stage was done with other settings, naming the first that differs.
        """
        done = folder / DONE
        self.state.wait_for_everyone()  # so that all find it done, or none
        if done.exists():
            self._check(folder, settings)
            return self.told(folder)
        self.state.wait_for_everyone()
        start = time.monotonic()
        if alone and not self.state.is_main_process:
            while not done.exists():
                time.sleep(1)
        else:
            if self.state.is_main_process:
                self._begin(folder, settings)
            if not alone:
                self.state.wait_for_everyone()
            told = make(folder) or {}
            gc.collect()  # models that trainers hold in cycles go before those of the next stage come
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
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

    @staticmethod
    def _check(folder: Path, settings: dict[str, Any]) -> None:
        name, before, now = _difference(folder, settings)
        if name is not None:
            raise ValueError(
                f"{folder} was made with {name}={before!r}, and now it is {now!r}: use another output_dir, or the "
                "same settings to go on."
            )

    @staticmethod
    def _begin(folder: Path, settings: dict[str, Any]) -> None:
        if folder.exists():
            name, before, now = _difference(folder, settings)
            if name is not None:
                logger.warning(
                    "%s was begun with %s=%r, and now it is %r: it is begun anew.", folder, name, before, now
                )
                shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, settings)


def _difference(folder: Path, settings: dict[str, Any]) -> tuple[str | None, Any, Any]:
    """The first setting in which a stage differs from what it was made with: name, value before, value now."""
    try:
        before = _flat(json.loads((folder / SETTINGS).read_text()))
    except (OSError, ValueError):
        return None, None, None
    now = _flat(json.loads(json.dumps(settings)))
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            return name, before.get(name), now.get(name)
    return None, None, None


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = isinstance(value, dict) and value
        flat |= _flat(value, f"{before}{name}.") if inner else {f"{before}{name}": value}
    return flat
