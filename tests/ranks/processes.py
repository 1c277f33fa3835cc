"""Several processes of one run, as forks of a process that has imported everything."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from accelerate.state import AcceleratorState, GradientState, PartialState
from commands import LIMIT, Done, Fork
from ports import held_port

from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.scripts.launch import run_script


def begin(body: Callable[[int], int | None], folder: Path, world: int = 2) -> list[Fork]:
    """Processes that run `body(rank)` with torchrun's environment; nobody ends the others where one ends."""
    holder, port = held_port()

    def of(rank: int) -> Callable[[], int | None]:
        def run() -> int | None:
            logging.basicConfig(force=True)  # to this process's own stderr, and not to pytest
            for state in (AcceleratorState, GradientState, PartialState):
                state._reset_state()
            numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
            os.environ |= {name: str(number) for name, number in numbers.items()}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            return body(rank)

        return run

    folders = [folder / f".process-{rank}" for rank in range(world)]
    for one in folders:
        one.mkdir(parents=True, exist_ok=True)
    forks = [Fork(of(rank), one) for rank, one in enumerate(folders)]
    holder.close()  # the forks hold it
    return forks


def end(forks: list[Fork], timeout: float = LIMIT) -> list[Done]:
    """How each of them ended, in the order of the ranks; raises `TimeoutError` where one did not."""
    until = time.monotonic() + timeout
    ended: list[Done] = []
    try:
        for fork in forks:
            ended.append(fork.wait(max(1.0, until - time.monotonic())))
    finally:
        for fork in forks[len(ended) + 1 :]:
            os.kill(fork.pid, signal.SIGKILL)
            os.waitpid(fork.pid, 0)
    return ended


def recipe_together(name: str, *argv: str, folder: Path) -> list[Done]:
    """A recipe's script in two processes, as `accelerate launch` would start it."""
    script = load_recipe(name)

    def body(rank: int) -> None:
        sys.argv = [str(script.__file__), *argv]
        run_script(script.main, script.make_parser())

    done = together(body, folder)
    assert [one.code for one in done] == [0, 0], done[0].err + done[1].err
    return done


def together(body: Callable[[int], int | None], folder: Path, world: int = 2, timeout: float = LIMIT) -> list[Done]:
    """`body(rank)` in several processes, until the last one has ended."""
    return end(begin(body, folder, world), timeout)
