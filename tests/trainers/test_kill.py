"""A real process, killed at random moments, saves included, and resumed until it is done."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
import torch
from commands import forked
from harness import LIMIT, result, sft_trainer, weights
from transformers import TrainerCallback


GRPO: dict[str, Any] = {
    "max_steps": 40,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 2,
    "gradient_accumulation_steps": 2,
    "steps_per_generation": 4,
    "logging_steps": 50,
}
SFT: dict[str, Any] = {
    "max_steps": 40,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 2,
    "gradient_accumulation_steps": 2,
    "packing": True,
    "max_length": 32,
    "curriculum": {"evo_curate": {"measure": "probe", "refresh_steps": 10}},
    "logging_steps": 50,
}


def train_sft(folder: Path, **changes: Any) -> None:
    """A packed run that measures losses by probes."""
    run = sft_trainer(folder, **changes)
    run.train(resume_from_checkpoint="auto")
    shown = {"history": run.history()[["draw", "row", "probability", "loss"]].to_numpy().tolist()}
    torch.save(weights(run), folder / "weights_0.pt")
    (folder / "result_0.json").write_text(json.dumps(shown))


PROGRAMS = {"grpo": (harness.train, GRPO), "sft": (train_sft, SFT)}


class Kill(TrainerCallback):
    """Kills its own process some seconds after its first step began; the last step waits for that."""

    def __init__(self, seconds: float) -> None:
        self.timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.timer.is_alive():
            self.timer.start()
        if state.global_step == state.max_steps - 1:
            self.timer.join(LIMIT)


def check(tmp_path: Path, kills: int, seed: int, trainer: str, **more: Any) -> None:
    train, options = PROGRAMS[trainer]
    changes = options | more
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    done = forked(lambda: train(whole, **changes), whole)
    assert done.code == 0, done.said[-3000:]
    rng = np.random.default_rng(seed)
    for _ in range(kills):
        seconds = rng.uniform(0, 0.4)
        done = forked(lambda seconds=seconds: train(killed, callbacks=[Kill(seconds)], **changes), killed)
        assert done.code == -signal.SIGKILL, done.said[-3000:]
    assert not (killed / "result_0.json").exists()
    done = forked(lambda: train(killed, **changes), killed)
    assert done.code == 0, done.said[-3000:]
    assert result(killed)["history"] == result(whole)["history"]
    assert torch.equal(torch.load(killed / "weights_0.pt"), torch.load(whole / "weights_0.pt"))


@pytest.mark.parametrize("trainer", PROGRAMS)
def test_two_kills(tmp_path: Path, trainer: str) -> None:
    check(tmp_path, kills=2, seed=0, trainer=trainer)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", PROGRAMS)
def test_twenty_kills(tmp_path: Path, trainer: str) -> None:
    check(tmp_path, kills=20, seed=1, trainer=trainer, max_steps=150)
