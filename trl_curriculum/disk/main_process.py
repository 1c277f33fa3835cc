"""Work that the main process does for all: its result or its error reaches the others, and so does its death."""

import atexit
import functools
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist


T = TypeVar("T")

LONGEST = timedelta(days=1)  # that the main process may work while the others wait (ours)
LOOK_FOR = 5.0  # seconds until another machine must see a new file
KNOWN_ERRORS = (ValueError, OSError, ImportError, RuntimeError)


class ProcessLostError(OSError):
    """Another process of the run has ended, or took longer than it may."""


def on_main_process(make: Callable[[], T], longest: timedelta = LONGEST) -> T:
    """
    Calls a function in the main process; all processes return what it returned, or raise what it raised.

    Must be called by all processes. The others wait on connections of their own (gloo): they may wait for longer than
    a collective does, and notice at once when the main process is killed.

    Args:
        make (`Callable`):
            Returns a plain value.
        longest (`timedelta`, *optional*, defaults to one day):
            How long they wait (ours). Only a machine that vanishes without a word is noticed as late as that.

    Raises:
        [`ProcessLostError`]: where the main process ended before the function did, or that took too long.
    """
    if not _are_several():
        return make()
    if dist.get_rank() > 0:
        with _lost_if_it_fails(longest):
            result, kind, message = _broadcast(None, longest)
        if kind is not None:
            raise next(one for one in KNOWN_ERRORS if one.__name__ == kind)(message)
        return result
    try:
        result = make()
    except BaseException as error:
        kind = next((one for one in KNOWN_ERRORS if isinstance(error, one)), RuntimeError).__name__
        message = str(error) if isinstance(error, KNOWN_ERRORS) else f"The main process failed with {error!r}."
        with suppress(RuntimeError):  # what went wrong first is what is reported
            _broadcast((None, kind, message), longest)
        raise
    with _lost_if_it_fails(longest):
        _broadcast((result, None, None), longest)
    return result


def check_shared(folder: Path, longest: timedelta = LONGEST) -> None:
    """
    Makes a folder and refuses one that not all processes see.

    Raises:
        `ValueError`: naming a process that does not.
    """
    if not _are_several():
        folder.mkdir(parents=True, exist_ok=True)
        return

    def put() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        name = f".seen-by-all-{secrets.token_hex(8)}"
        (folder / name).touch()
        return name

    token = folder / on_main_process(put, longest)
    until = time.monotonic() + LOOK_FOR
    while not token.exists() and time.monotonic() < until:
        time.sleep(0.1)
    seen: list[Any] = [None] * dist.get_world_size()
    with _lost_if_it_fails(longest):
        dist.all_gather_object(seen, (token.exists(), socket.gethostname()), _group(dist.group.WORLD, longest))
    on_main_process(token.unlink, longest)
    for rank, (found, machine) in enumerate(seen):
        if not found:
            raise ValueError(
                f"Process {rank} on {machine} does not see what process 0 on {seen[0][1]} writes to {folder}: give an "
                "output_dir on a disk that all processes share."
            )


def _are_several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@functools.cache
def _group(world: Any, longest: timedelta) -> Any:
    group = dist.new_group(backend="gloo", timeout=longest)
    atexit.register(dist.destroy_process_group, group)  # or its threads may abort a process that ends well
    return group


def _broadcast(value: Any, longest: timedelta) -> Any:
    box = [value]
    dist.broadcast_object_list(box, src=0, group=_group(dist.group.WORLD, longest))
    return box[0]


@contextmanager
def _lost_if_it_fails(longest: timedelta) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    except RuntimeError as error:
        if time.monotonic() - start < longest.total_seconds():
            why = "has ended: its log says why; start the run again, and it goes on where it was"
        else:
            why = f"did not answer for {longest}: see what it is doing, or allow more time"
        who = "The main process" if dist.get_rank() > 0 else "Another process of the run"
        raise ProcessLostError(f"{who} {why}.") from error
