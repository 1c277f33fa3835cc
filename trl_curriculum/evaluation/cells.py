"""Runs the cells of a comparison, each as a process of its own that may be stopped and goes on later."""

import fcntl
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from tqdm import tqdm

from ..disk.atomic import atomic_write
from ..disk.stages import StageFolder
from ..trainers.resuming import begin_afresh
from .grid import Cell, Grid


logger = logging.getLogger(__name__)

RECIPE, LOG, LOCK = "recipe.yaml", "log.txt", ".lock"
PROGRAM = "import sys; from trl_curriculum.cli import main; sys.exit(main())"
SENTENCE = re.compile(r"^(?:\w+\.py|trl-curriculum \w+): .+", re.MULTILINE)  # in which a command that fails says why
POLL, PATIENCE = 0.1, 10.0  # seconds between two looks at a process, and until one that is stopped is killed


class Process(Protocol):
    """A process that leads its own group."""

    pid: int

    def poll(self) -> int | None:
        """Its code, or `None` while it runs."""


Start = Callable[[str, Path, Path, int, int], Process]  # command, recipe, log, a descriptor that it keeps, its place


@dataclass(frozen=True)
class Running:
    """A cell whose process runs."""

    cell: Cell
    process: Process
    slot: int
    said: int  # bytes of its log that are from before


class Cells:
    """
    The cells of a grid on the disk.

    Args:
        command (`str`):
            What runs them, `"grpo"` or `"sft"`.
        grid ([`Grid`]):
            Methods by seeds.
        jobs (`int`, *optional*, defaults to `1`):
            Processes at a time. GPUs are shared out among them.
        start (`Callable`, *optional*):
            Starts a process. Default: a [`Launcher`].
    """

    def __init__(self, command: str, grid: Grid, jobs: int = 1, start: Start | None = None) -> None:
        self.command, self.grid, self.jobs = command, grid, jobs
        self.start: Start = start or Launcher(jobs)
        self.failed: dict[str, str] = {}  # why, by the name of a cell

    def stage(self, cell: Cell) -> StageFolder:
        """The folder of a cell, which knows what it was made with."""
        recipe = self.grid.recipe(cell)
        settings = {name: value for name, value in recipe.items() if name != "output_dir"}  # a folder may be moved
        return StageFolder(cell.folder, {"command": self.command, "recipe": settings})

    def refuse_changed(self) -> None:
        """Refuses, before any run, a cell that was begun with other settings, finished or not."""
        for cell in self.grid.cells:
            self.stage(cell).refuse_changed()

    def finished(self) -> list[Cell]:
        """The cells that are done."""
        return [cell for cell in self.grid.cells if self.stage(cell).report() is not None]

    def run(self) -> None:
        """Runs what is not done, with a bar; what fails is kept in `failed` and does not end the others."""
        done = self.finished()
        waiting = [cell for cell in self.grid.cells if cell not in done]
        running: list[Running] = []
        bar = tqdm(total=len(self.grid.cells), initial=len(done), desc="cells", unit="cell", file=sys.stderr)
        try:
            while waiting or running:
                free = set(range(self.jobs)) - {one.slot for one in running}
                while waiting and free:
                    running += self._begin(waiting.pop(0), free, bar)
                for one in list(running):
                    if (code := one.process.poll()) is not None:
                        running.remove(one)
                        self._end(one, code, bar)
                if (names := ", ".join(one.cell.name for one in running)) != bar.postfix:
                    bar.set_postfix_str(names)
                time.sleep(POLL if running else 0)
        finally:
            stop([one.process for one in running])
            bar.close()

    def _begin(self, cell: Cell, free: set[int], bar: Any) -> list[Running]:
        stage = self.stage(cell)
        stage.begin()
        recipe = cell.folder / RECIPE
        with atomic_write(recipe) as draft:
            draft.write_text(yaml.safe_dump(self.grid.recipe(cell), sort_keys=False, allow_unicode=True))
        lock = os.open(cell.folder / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
        log = cell.folder / LOG
        said = log.stat().st_size if log.exists() else 0
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held by the process, also when this one is killed
            slot = min(free)
            process = self.start(self.command, recipe, log, lock, slot)
        except BlockingIOError:
            self._fail(cell, "a process of an earlier comparison still runs it: wait for that, or end it", bar)
            return []
        finally:
            os.close(lock)
        free.remove(slot)
        return [Running(cell, process, slot, said)]

    def _end(self, one: Running, code: int, bar: Any) -> None:
        if code != 0:
            self._fail(one.cell, why(one.cell.folder / LOG, code, one.said), bar)
            return
        self.stage(one.cell).finish({"ended_with": code})
        if not self.grid.keeps_checkpoints:
            begin_afresh(one.cell.folder)
        bar.update()

    def _fail(self, cell: Cell, reason: str, bar: Any) -> None:
        self.failed[cell.name] = reason
        bar.write(f"{cell.name} failed: {reason} (see {cell.folder / LOG})", file=sys.stderr)
        bar.update()


class Launcher:
    """
    Starts `trl-curriculum` as a process of its own.

    Args:
        jobs (`int`):
            Processes at a time.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __call__(self, command: str, recipe: Path, log: Path, kept: int, slot: int) -> Process:
        words = [sys.executable, "-c", PROGRAM, command, "--config", str(recipe)]
        if self.jobs > 1:
            words += ["--main_process_port", "0"]  # or several that launch processes would take the same
        with open(log, "ab") as file:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | self._devices(slot),
                pass_fds=(kept,),
                start_new_session=True,
            )

    def _devices(self, slot: int) -> dict[str, str]:
        """This place's share of the GPUs that can be seen, where there are enough for all places."""
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = given.split(",") if given else [str(k) for k in range(torch.cuda.device_count())]
        share = len(devices) // self.jobs
        if self.jobs == 1 or share == 0:
            return {}
        return {"CUDA_VISIBLE_DEVICES": ",".join(devices[slot * share : (slot + 1) * share])}


def why(log: Path, code: int, said: int = 0) -> str:
    """Why a process failed: the last sentence of its log, after so many bytes, that says it, or else the last line."""
    if code < 0:
        return f"it was ended by the signal {signal.Signals(-code).name}"
    text = log.read_bytes()[said:].decode(errors="replace") if log.exists() else ""
    lines = SENTENCE.findall(text) or text.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last.rstrip(".") or f"it ended with {code} and said nothing"


def stop(processes: list[Process]) -> None:
    """Ends processes with all that they have started; those that do not end in some seconds are killed."""
    until = time.monotonic() + PATIENCE
    for process in processes:
        _signal(process, signal.SIGTERM)
    for process in processes:
        while process.poll() is None and time.monotonic() < until:
            time.sleep(POLL)
        if process.poll() is None:
            _signal(process, signal.SIGKILL)


def _signal(process: Process, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
