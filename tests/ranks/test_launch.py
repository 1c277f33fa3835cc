"""`accelerate launch` with two processes on a CPU, as a user would start a recipe script."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import harness
from harness import ENVIRONMENT

from trl_curriculum import read_history


SCRIPT = Path(__file__).parents[2] / "recipes/sft.py"
LAUNCH = (
    "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0"
)


def test_accelerate_launch(tmp_path: Path, sft_script: Callable[..., list[str]]) -> None:
    command = [sys.executable, "-m", "accelerate.commands.launch", *LAUNCH.split(), str(SCRIPT), *sft_script()]
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([ENVIRONMENT["PYTHONPATH"], *sys.path])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=harness.LIMIT)
    assert done.returncode == 0, done.stderr[-3000:]
    history = read_history(tmp_path / "out")
    assert history.groupby("step").size().tolist() == [8, 8, 8], "the rows of two processes"
    assert (tmp_path / "out/model.safetensors").exists()
    assert done.stdout.count("Model saved to") == 1
