"""Work that the main process does for all: its result or its error reaches the others, and so does its death."""

import atexit
import functools
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist


T = TypeVar("T")

LONGEST = timedelta(days=1)  # that the main process may work while the others wait (ours)
MEET = timedelta(minutes=30)  # in which all processes must come together for the first time (ours)
SPEAK = timedelta(seconds=10)  # that a process leaves the main process to say why all of them end (ours)
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
    if not are_several():
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
    if not are_several():
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
    seen = gather_from_all((token.exists(), socket.gethostname()), longest)
    on_main_process(token.unlink, longest)
    for rank, (found, machine) in enumerate(seen):
        if not found:
            raise ValueError(
                f"Process {rank} on {machine} does not see what process 0 on {seen[0][1]} writes to {folder}: give an "
                "output_dir on a disk that all processes share."
            )


def gather_from_all(value: T, longest: timedelta = LONGEST) -> list[T]:
    """
    A plain value of each process, in the order of their ranks; the same list on all. Must be called by all processes.

    Raises:
        [`ProcessLostError`]: where one of them has ended, or takes longer than it may.
    """
    if not are_several():
        return [value]
    every: list[Any] = [None] * dist.get_world_size()
    with _lost_if_it_fails(longest):
        dist.all_gather_object(every, value, _group(dist.group.WORLD, longest))
    return every


def fail_together(message: str, longest: timedelta = LONGEST) -> NoReturn:
    """
    Ends all processes with code 1 for a reason that all have found: the main process raises it as a `ValueError`, the
    others leave without a word once that has ended.
    """
    if not are_several() or dist.get_rank() == 0:
        raise ValueError(message)
    with suppress(RuntimeError):  # a launcher ends all as soon as one has ended: the main process speaks first
        nothing = torch.zeros(1)
        dist.broadcast(nothing, 0, _group(dist.group.WORLD, longest), async_op=True).wait(SPEAK)
    leave(1)


def leave(code: int) -> NoReturn:
    """Ends this process as it is: threads of a broken connection may abort one that takes its time."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def name_lost_process(longest: timedelta | None = None) -> Iterator[None]:
    """
    Says in one sentence that another process is gone, where a collective of somebody else's fails for that.

    Args:
        longest (`timedelta`, *optional*):
            How long such a collective waits, `ddp_timeout`, where it is known.

    Raises:
        [`ProcessLostError`]: in place of what torch raised.
    """
    try:
        yield
    except RuntimeError as error:
        if not are_several() or not is_of_lost_process(error):
            raise
        raise _lost(error, longest) from error


def limit_waiting(longest: timedelta) -> None:
    """Has collectives wait for `longest` where their back end is gloo, for which transformers leaves out its limit."""
    if are_several() and dist.get_backend() == "gloo":
        dist.distributed_c10d._set_pg_timeout(longest)


def is_of_lost_process(error: BaseException) -> bool:
    """Whether torch raised an error because another process of a collective is gone, or does not answer."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/" in str(error))


def are_several() -> bool:
    """Whether this is one of several processes of a run."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@functools.cache
def _group(world: Any, longest: timedelta) -> Any:
    if dist.get_backend() == "gloo":
        dist.barrier()  # notices one that has ended already: a new group would wait for it
    group = dist.new_group(backend="gloo", timeout=min(longest, MEET))
    dist.distributed_c10d._set_pg_timeout(longest, group)
    atexit.register(dist.destroy_process_group, group)  # or its threads may abort a process that ends well
    return group


def _broadcast(value: Any, longest: timedelta) -> Any:
    box = [value]
    dist.broadcast_object_list(box, src=0, group=_group(dist.group.WORLD, longest))
    return box[0]


@contextmanager
def _lost_if_it_fails(longest: timedelta) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise _lost(error, longest) from error


def _lost(error: RuntimeError, longest: timedelta | None) -> ProcessLostError:
    sys.excepthook = _say_and_leave
    who = "The main process" if dist.get_rank() > 0 else "Another process of the run"
    if re.search("timed? ?out", str(error).lower()):
        return ProcessLostError(
            f"{who} did not answer for {longest or 'as long as it may take'}: see what it is doing, or allow more "
            "time (ddp_timeout, in seconds)."
        )
    return ProcessLostError(f"{who} has ended: its log says why; start the run again, and it goes on where it was.")


def _say_and_leave(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An uncaught error once a process was lost."""
    sys.__excepthook__(kind, error, trace)
    leave(1)
