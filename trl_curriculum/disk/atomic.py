"""One way to write a file or a folder: whole under its name, or not there."""

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


FULL = {errno.ENOSPC: "No space left", errno.EDQUOT: "Disk quota exceeded", errno.EFBIG: "File too large"}
NOT_WRITTEN = ("file write failed", "failed writing", "iostream error")  # torch's words, which knows no more
BEFORE = "~before"


class FullDiskError(OSError):
    """A disk is full; the message says which, and what to do."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """
    Yields a hidden name beside `path` at which the caller makes a file or a folder; at the end it is on the disk under
    its own name, in place of what was there before. After an error or a kill, what was there before still is; after a
    kill between the two renames by which a folder replaces another, [`recover`] brings it back.

    Args:
        path (`Path`):
            File or folder to write; its parent folder is made. The hidden name has the same suffix.

    Raises:
        `OSError`: where the disk is full, with the bytes that are free, and where a folder is in the place of the
            file, or a file in that of the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    recover(path)
    _remove_drafts_of_killed(path)
    prefix = _prefix(path)
    draft, before = (path.with_name(f"{prefix}{os.getpid()}{kind}{path.suffix}") for kind in ("", BEFORE))
    _remove(draft)
    try:
        with name_full_disk(path.parent, f"{path.name} was not written"):
            yield draft
            _synchronize(draft)
        check_kind(path, draft.is_dir())
        if draft.is_dir() and path.exists():  # a folder cannot be renamed over another
            os.rename(path, before)
            os.rename(draft, path)
            shutil.rmtree(before)
        else:
            os.replace(draft, path)
        _synchronize_folder(path.parent)
    finally:
        _remove(draft)


def check_kind(path: Path, folder: bool = False) -> None:
    """Refuses a folder where a file belongs, and a file where a `folder` does: nothing here has made it."""
    if path.exists() and path.is_dir() != folder:
        is_there, belongs = ("file", "folder") if folder else ("folder", "file")
        error = NotADirectoryError if folder else IsADirectoryError
        raise error(f"{path} is a {is_there}, where a {belongs} belongs: move it elsewhere.")


def recover(path: Path) -> None:
    """Brings back a folder that a kill between two renames has left under its hidden name; else does nothing."""
    if path.exists() or not path.parent.is_dir():
        return
    for found in sorted(os.listdir(path.parent)):
        if not (found.startswith(f".{path.stem}~") and found.endswith(f"{BEFORE}{path.suffix}")):
            continue
        process = found.removesuffix(path.suffix).removesuffix(BEFORE).rpartition("~")[2]
        elsewhere = not found.startswith(_prefix(path))
        if process.isdigit() and (elsewhere or not psutil.pid_exists(int(process))):
            os.rename(path.with_name(found), path)
            return


@contextmanager
def name_full_disk(folder: Path, what: str) -> Iterator[None]:
    """Turns the error of a full disk, from whichever library, into one that says `what` failed or takes how much."""
    try:
        yield
    except FullDiskError:
        raise
    except Exception as error:  # safetensors and torch have errors of their own for it
        number = _number_of_full(error)
        if number is None:
            raise
        free = shutil.disk_usage(folder).free
        raise FullDiskError(
            number,
            f"{os.strerror(number)}: {what} in {folder}, where {free:,} bytes are free; make room and run it again.",
        ) from error


def _number_of_full(error: Exception) -> int | None:
    """The system's number of an error of a full disk, which some libraries only tell in words; else `None`."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in FULL else None
    text = str(error)
    said = next((number for number, words in FULL.items() if words in text), None)
    return said or (errno.EIO if any(words in text for words in NOT_WRITTEN) else None)


def _prefix(path: Path) -> str:
    machine = "".join(one if one.isalnum() else "-" for one in socket.gethostname())
    return f".{path.stem}~{machine}~"


def _remove_drafts_of_killed(path: Path) -> None:
    """Only those of this machine: whether another's process lives cannot be seen from here."""
    prefix = _prefix(path)
    for found in os.listdir(path.parent):
        process = found.removesuffix(path.suffix).removeprefix(prefix).removesuffix(BEFORE)
        ours = found.startswith(prefix) and found.endswith(path.suffix) and process.isdigit()
        if ours and not psutil.pid_exists(int(process)):
            _remove(path.with_name(found))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _synchronize(path: Path) -> None:
    """So that the name does not reach the disk before the content: a power cut would leave an empty file."""
    if path.is_dir():
        for inner in path.iterdir():
            _synchronize(inner)
        _synchronize_folder(path)
    else:
        with open(path, "rb+") as file:
            os.fsync(file.fileno())


def _synchronize_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
