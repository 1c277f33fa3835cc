"""The folder of a stage of a long job: what it was made with, and in the end what came of it."""

import json
import logging
from pathlib import Path
from typing import Any

from .atomic import atomic_write, check_kind, recover
from .fingerprint import redact
from .state import write_json


logger = logging.getLogger(__name__)

DONE, SETTINGS = "done.json", "settings.json"
MARK = {"written_by": "trl_curriculum"}  # what a folder's settings begin with, or else it is not ours to remove


class StageFolder:
    """
    A folder that says in `settings.json` what it was made with and, when it is finished, in `done.json` what came of
    it. It appears with its settings; with other settings, what is unfinished is removed and what is finished refused.

    Args:
        folder (`Path`):
            Is not there, is empty, or was made here.
        settings (`dict`):
            Plain values that its content depends on, without the secrets among them.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads(json.dumps(redact(settings)))

    def report(self) -> dict[str, Any] | None:
        """
        What came of it, or `None` where it is not finished.

        Raises:
            `ValueError`: where it was finished with other settings, naming the first, or is not ours.
        """
        if self._settings_before() is None or not (self.folder / DONE).exists():
            return None
        self.refuse_changed()
        check_kind(self.folder / DONE)
        try:
            return json.loads((self.folder / DONE).read_text())
        except ValueError as error:
            logger.warning("%s cannot be read (%s): the stage is run again.", self.folder / DONE, error)
            return None

    def refuse_changed(self) -> None:
        """
        Refuses other settings than it was begun with, whether it is finished or not.

        Raises:
            `ValueError`: naming the first, or where it is not ours.
        """
        name, then, now = _difference(self._settings_before() or self.settings, self.settings)
        if name is not None:
            raise ValueError(
                f"{self.folder} was made with {name}={then!r}, and now it is {now!r}: use another output_dir, or the "
                "same settings to go on."
            )

    def begin(self) -> None:
        """
        Makes the folder with its settings; goes on with an unfinished one that was begun with the same.

        Raises:
            `ValueError`: where it is not ours.
        """
        before = self._settings_before()
        if before is not None:
            name, then, now = _difference(before, self.settings)
            if name is None:
                return
            logger.warning(
                "%s was begun with %s=%r, and now it is %r: it is begun anew.", self.folder, name, then, now
            )
        with atomic_write(self.folder) as draft:
            draft.mkdir()
            write_json(draft / SETTINGS, {**MARK, "settings": self.settings})

    def finish(self, report: dict[str, Any]) -> dict[str, Any]:
        """Says that it is finished, and what came of it."""
        write_json(self.folder / DONE, report)
        return report

    def _settings_before(self) -> dict[str, Any] | None:
        """Of a folder that is there; `None` where there is none, or an empty one."""
        recover(self.folder)
        if not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir())):
            return None
        try:
            found = json.loads((self.folder / SETTINGS).read_text())
            if {name: found.pop(name, None) for name in MARK} == MARK:
                return found["settings"]
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            pass
        raise ValueError(
            f"{self.folder} has no {SETTINGS} that this package has written, so what it holds may be somebody else's: "
            "move it elsewhere, or use another output_dir."
        )


def _difference(before: dict[str, Any], now: dict[str, Any]) -> tuple[str | None, Any, Any]:
    """The first setting that differs: its name, value before, value now."""
    then, now = flatten(before), flatten(now)
    for name in {**then, **now}:
        if then.get(name) != now.get(name):
            return name, then.get(name), now.get(name)
    return None, None, None


def flatten(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = isinstance(value, dict) and value
        flat |= flatten(value, f"{before}{name}.") if inner else {f"{before}{name}": value}
    return flat
