"""A process that is killed, fails or hangs: the others end by themselves, soon, and in one sentence that says why."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import pytest
from accelerate import Accelerator
from commands import Done
from processes import begin, together
from transformers import TrainerCallback

from trl_curriculum import CurriculumSFTTrainer
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.rounds.loop import run_stages
from trl_curriculum.rounds.stage import Stage
from trl_curriculum.scripts.launch import run_script


ENDED = " has ended: its log says why; start the run again, and it goes on where it was."
BOUND = 600  # seconds, far above what a busy machine takes: only one that waits for ever is still there


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(2 * BOUND)


class At(TrainerCallback):
    """Does something at the begin of a step."""

    def __init__(self, step: int, does: Callable[[], None]) -> None:
        self.step, self.does = step, does

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.does()


def before_it_trains(folder: Path, does: Callable[[], None] | None, **changes: Any) -> None:
    run = harness.sft_trainer(folder, **changes)
    if does is not None:
        does()
    run.train()


def in_a_step(folder: Path, does: Callable[[], None] | None, **changes: Any) -> None:
    run = harness.sft_trainer(folder, **changes)
    if does is not None:
        run.add_callback(At(2, does))
    run.train()


def in_a_save(folder: Path, does: Callable[[], None] | None, **changes: Any) -> None:
    run = harness.sft_trainer(folder, save_strategy="steps", save_steps=2, **changes)
    if does is not None:
        run._save_process_state = lambda folder: does()  # type: ignore[method-assign]
    run.train()


def in_a_generation(folder: Path, does: Callable[[], None] | None, **changes: Any) -> None:
    run = harness.trainer(folder, **changes)
    if does is not None:
        run._calculate_rewards = lambda *args: does()  # type: ignore[method-assign]
    run.train()


def in_a_probe(folder: Path, does: Callable[[], None] | None, **changes: Any) -> None:
    if does is not None:
        TransformersEngine.complete = lambda *args, **kwargs: does()  # type: ignore[method-assign]
    probe = {"prefix_entropy": {"length": 3, "quick_answer": None}}
    harness.sft_run(folder, curriculum={"edco": {"rounds": 2, "top_n": 8}}, probe=probe, **changes)


@dataclass(frozen=True)
class Together(Stage):
    does: Any

    def run(self, folder: Path) -> dict[str, Any]:
        if self.does is not None:
            self.does()
        return {}

    def settings(self, output_dir: Path) -> dict[str, Any]:
        return {}


def in_a_stage(folder: Path, does: Callable[[], None] | None) -> None:
    Accelerator(cpu=True)
    run_stages({"together": Together(does)}, folder / "run")


PHASES = (before_it_trains, in_a_step, in_a_save, in_a_generation, in_a_probe, in_a_stage)


def both(folder: Path, phase: Any, does: Callable[[], None], victim: int = 1, **changes: Any) -> tuple[Done, Done]:
    """The process to which it happens, and the other, which must end by itself."""
    run = lambda rank: phase(folder, does if rank == victim else None, **changes)  # noqa: E731
    done = together(run, folder, timeout=BOUND)
    return done[victim], done[1 - victim]


@pytest.mark.parametrize("phase", PHASES)
def test_killed(tmp_path: Path, phase: Any) -> None:
    killed, other = both(tmp_path, phase, kill)
    assert killed.code == -signal.SIGKILL and other.code == 1
    assert other.err.strip().endswith(f"ProcessLostError: Another process of the run{ENDED}"), other.err


@pytest.mark.parametrize("phase", [in_a_step, in_a_stage])
def test_the_main_process_is_killed(tmp_path: Path, phase: Any) -> None:
    killed, other = both(tmp_path, phase, kill, victim=0)
    assert killed.code == -signal.SIGKILL and other.code == 1
    assert other.err.strip().endswith(f"ProcessLostError: The main process{ENDED}"), other.err


def fail() -> None:
    raise ValueError("This machine has no disk.")


@pytest.mark.parametrize("phase", [in_a_step, in_a_stage])
def test_an_error_of_one_process_alone(tmp_path: Path, phase: Any) -> None:
    failed, other = both(tmp_path, phase, fail)
    assert (failed.code, other.code) == (1, 1)
    assert failed.err.strip().endswith("ValueError: This machine has no disk.")
    assert other.err.strip().endswith(f"ProcessLostError: Another process of the run{ENDED}"), other.err


@pytest.mark.parametrize("phase", [before_it_trains, in_a_step])
def test_one_that_hangs_is_waited_for_no_longer_than_it_may(tmp_path: Path, phase: Any) -> None:
    """As one that reads its data for too long."""

    forks = begin(lambda rank: phase(tmp_path, hang if rank == 1 else None, ddp_timeout=4), tmp_path)
    try:
        other = forks[0].wait(BOUND)
    finally:
        os.killpg(forks[1].pid, signal.SIGKILL)
        forks[1].wait()
    assert other.code == 1
    words = "ProcessLostError: Another process of the run did not answer for 0:00:04: see what it is doing, or allow"
    assert other.err.strip().splitlines()[-1].startswith(f"trl_curriculum.disk.main_process.{words}"), other.err
    assert "(ddp_timeout, in seconds)" in other.err


def test_a_script_ends_in_one_sentence(tmp_path: Path, sft_script: Callable[..., list[str]]) -> None:
    def run(rank: int) -> None:
        script = load_recipe("sft")
        sys.argv = [str(script.__file__), *sft_script()]
        if rank == 1:
            CurriculumSFTTrainer.compute_loss = lambda *args, **kwargs: kill()  # type: ignore[method-assign]
        run_script(script.main, script.make_parser())

    other, killed = together(run, tmp_path, timeout=BOUND)
    assert killed.code == -signal.SIGKILL
    assert other.sentence == f"sft.py: Another process of the run{ENDED}"
