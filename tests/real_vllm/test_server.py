"""Training with TRL's server mode, which moves weights by NCCL: one GPU trains, another serves."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import weights
from vllm_runs import GPUS, differences


pytestmark = pytest.mark.gpus(2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(saved: dict[str, str]) -> Iterator[str]:
    """The address of a server as TRL wants it, on the second GPU; the trainer waits until it is up."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", saved["untied"],
               "--host", "127.0.0.1", "--port", str(port), "--gpu-memory-utilization", "0.3", "--max-model-len", "64",
               "--weight-transfer-config", '{"backend": "nccl"}', "--logprobs-mode", "processed_logprobs",
               "--max-logprobs", "-1"]  # fmt: skip
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": GPUS[1], "VLLM_SERVER_DEV_MODE": "1"}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, 9)
    process.wait(30)


def test_rollouts_come_from_the_weights_that_are_trained(colocated: Callable[..., Any], server: str) -> None:
    run = colocated(
        vllm_mode="server", vllm_server_base_url=server, vllm_server_timeout=300, vllm_group_port=free_port()
    )
    start = weights(run).clone()
    run.train()
    assert (weights(run) - start).abs().max() > 0.01, "nothing was trained"
    assert len(differences(run)) == 5 and max(differences(run)) < 0.005
