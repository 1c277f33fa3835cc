"""A real process, killed at random moments, saves included, and resumed until it is done."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
import sft_killed
import torch
from harness import ENVIRONMENT, command, launch, result


RUN: dict[str, Any] = {
    "max_steps": 120,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 2,
    "gradient_accumulation_steps": 2,
    "steps_per_generation": 4,
    "logging_steps": 50,
}
SFT: dict[str, Any] = {
    "max_steps": 150,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 2,
    "gradient_accumulation_steps": 2,
    "packing": True,
    "max_length": 32,
    "curriculum": {"evo_curate": {"measure": "probe", "refresh_steps": 20}},
    "logging_steps": 50,
}
PROGRAMS = {"grpo": (harness.__file__, RUN), "sft": (sft_killed.__file__, SFT)}


def kill_until_done(folder: Path, kills: int, seed: int, program: str, changes: dict[str, Any]) -> int:
    """Runs to the end with up to `kills` interruptions; returns how many fell into training."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(kills):
        process = subprocess.Popen(
            command(folder, 1, changes, program), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        before = newest(folder)
        while process.poll() is None and newest(folder) == before:
            time.sleep(0.01)  # until it has made a step of its own
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        hits += process.returncode == -signal.SIGKILL
    done = launch(folder, program=program, **changes)
    assert done.returncode == 0, done.stderr[-3000:]
    return hits


def newest(folder: Path) -> int:
    return max((int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")), default=0)


def check(tmp_path: Path, kills: int, seed: int, trainer: str) -> None:
    program, changes = PROGRAMS[trainer]
    whole = tmp_path / "whole"
    done = launch(whole, program=program, **changes)
    assert done.returncode == 0, done.stderr[-3000:]
    hits = kill_until_done(tmp_path / "killed", kills, seed, program, changes)
    assert hits >= kills // 2
    assert result(tmp_path / "killed")["history"] == result(whole)["history"]
    assert torch.equal(torch.load(tmp_path / "killed" / "weights_0.pt"), torch.load(whole / "weights_0.pt"))


@pytest.mark.parametrize("trainer", PROGRAMS)
def test_three_kills(tmp_path: Path, trainer: str) -> None:
    check(tmp_path, kills=3, seed=0, trainer=trainer)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", PROGRAMS)
def test_twenty_kills(tmp_path: Path, trainer: str) -> None:
    check(tmp_path, kills=20, seed=1, trainer=trainer)
