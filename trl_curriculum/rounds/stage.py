"""A stage of a long job: a value whose fields are what its result depends on."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..disk.fingerprint import fingerprint_rows


Report = dict[str, Any]
IGNORED = "ignored"  # of a field on which the result does not depend, or which another field stands for


@dataclass(frozen=True)
class RecordedBy:
    """Marks a field that counts by what a function makes of it."""

    make: Callable[[Any], Any]


@dataclass(frozen=True)
class Stage:
    """
    What fills a folder. A subclass adds fields and `run`; results of others are fields that hold their paths.

    Its fields are what the result depends on: a finished stage is not run again with the same, and refused with
    others. `Annotated[…, IGNORED]` marks a field that does not count, `Annotated[…, RecordedBy(f)]` one that counts by
    what `f` makes of it.
    """

    main_process_only: ClassVar[bool] = False  # or else all processes run it together

    def run(self, folder: Path) -> Report:
        """
        Fills the folder, or goes on with what a run that was stopped has left there.

        Returns:
            Plain values that say what came of it.
        """
        raise NotImplementedError

    def settings(self, output_dir: Path) -> dict[str, Any]:
        """The fields as plain values; paths count from `output_dir`, so that it can be moved."""
        return plain_fields(self, output_dir)


def plain_fields(value: Any, output_dir: Path) -> dict[str, Any]:
    """The fields of a dataclass that count, as plain values."""
    found = {}
    for field in dataclasses.fields(value):
        marks = getattr(field.type, "__metadata__", ())
        if IGNORED not in marks:
            by = next((mark.make for mark in marks if isinstance(mark, RecordedBy)), lambda given: given)
            found[field.name] = plain(by(getattr(value, field.name)), output_dir)
    return found


def plain(value: Any, output_dir: Path) -> Any:
    """A value as JSON holds it, the same in every process: rows by a fingerprint, functions by their names."""
    if isinstance(value, dict):
        return {str(name): plain(item, output_dir) for name, item in value.items()}
    if isinstance(value, list | tuple):
        if value and all(map(dataclasses.is_dataclass, value)):
            return fingerprint_rows(value)
        return [plain(item, output_dir) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, Path):
        return str(value.relative_to(output_dir) if value.is_relative_to(output_dir) else value)
    if dataclasses.is_dataclass(value):
        return plain_fields(value, output_dir)
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
