"""Runs commands as forks of a process that has imported everything: seconds, not a minute of imports."""

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tqdm

from trl_curriculum.cli import main
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.scripts.launch import run_script


LIMIT = 900.0  # seconds that a command may take: generous, for only one that hangs shall meet it
ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT  # asks whether a process has ended, and leaves it to be waited for
SCRIPTS = {"grpo": "grpo", "sft": "sft", "evolve": "evolve", "select": "select_rows"}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.said

    @property
    def sentence(self) -> str:
        """The last line of standard error, of a command that ended in one sentence."""
        assert self.code == 1, (self.code, self.said)
        assert not self.traceback, self.said
        return self.err.strip().splitlines()[-1]


def command(
    argv: list[str], folder: Path, launched: bool = False, timeout: float = LIMIT, kill_after: float | None = None
) -> Done:
    """
    `trl-curriculum` with these arguments, run in a folder. Without `launched` a training command is the script that
    `accelerate launch` would start, in one process. It is killed after `kill_after` seconds, where that is given.
    """

    def body() -> int:
        os.chdir(folder)
        if launched or argv[0] not in SCRIPTS:
            return main(argv)
        script = load_recipe(SCRIPTS[argv[0]])
        sys.argv = [str(script.__file__), *argv[1:]]
        run_script(script.main, script.make_parser())
        return 0

    return forked(body, folder, timeout, kill_after)


def forked(
    body: Callable[[], int | None], folder: Path, timeout: float = LIMIT, kill_after: float | None = None
) -> Done:
    """A function in a process of its own; its return value is the code, or -9 where it was killed."""
    return Fork(body, folder).wait(timeout, kill_after)


def own_locks() -> None:
    """Gives bars locks of their own: those of a fork are shared with all others, and one may be killed with it."""
    classes: list[Any] = [tqdm.std.tqdm]
    for cls in classes:
        classes += cls.__subclasses__()
        if "_lock" in vars(cls) or cls is tqdm.std.tqdm:
            cls.set_lock(threading.RLock())


class Fork:
    """A function that runs in a process of its own, and whose return value is the code."""

    def __init__(self, body: Callable[[], int | None], folder: Path) -> None:
        self.logs = [folder / f".{name}" for name in ("stdout", "stderr")]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        with contextlib.suppress(BaseException):
            os.setsid()
            own_locks()
            logging.getLogger().handlers.clear()  # pytest's, which keep warnings from standard error
            for number, log in enumerate(self.logs, start=1):
                os.dup2(os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644), number)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            faulthandler.enable()  # tells where it stands when `wait` has waited for too long
            try:
                code = body() or 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)

    def kill_when(self, condition: Callable[[], bool]) -> Done:
        """Kills it as soon as something holds, or waits until it has ended."""
        until = time.monotonic() + LIMIT
        while not condition() and time.monotonic() < until and os.waitid(os.P_PID, self.pid, ENDED) is None:
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self, timeout: float = LIMIT, kill_after: float | None = None) -> Done:
        """How it ended, killed after some seconds if asked for; raises `TimeoutError` where it did not end."""
        start = time.monotonic()
        while True:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                break
            if kill_after is not None and time.monotonic() > start + kill_after:
                os.kill(self.pid, signal.SIGKILL)
            if time.monotonic() > start + timeout:
                os.kill(self.pid, signal.SIGABRT)
                time.sleep(1)
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(
                    f"The command was still there after {timeout} s: {self.logs[1].read_text()[-4000:]}"
                )
            time.sleep(0.02 if kill_after is None else 0.002)
        return Done(os.waitstatus_to_exitcode(status), *(log.read_text() for log in self.logs))
