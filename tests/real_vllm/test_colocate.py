"""Training with vLLM in the same process, on a CPU or a GPU: whose weights the rollouts come from, and resuming."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import vllm_runs
from harness import command, weights
from peft import LoraConfig
from trl.generation.vllm_generation import VLLMGeneration
from vllm_runs import differences, logged, on_cpu

from trl_curriculum.trainers.vllm_cpu import ReloadingVLLMGeneration, reload_weights_on_cpu


def lora(*modules: str) -> dict[str, Any]:
    return {"peft_config": LoraConfig(r=8, lora_alpha=64, target_modules=list(modules)), "learning_rate": 5e-2}


CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "tied": {"model": "tied"},
    # vLLM pads the embeddings, and therefore loads them after all others.
    "lora": lora("embed_tokens", "q_proj", "v_proj", "down_proj"),
    # Not on tied embeddings: TRL trains with the head as it was and has vLLM sample with the merged one.
    "tied-lora": {"model": "tied"} | lora("q_proj", "v_proj", "down_proj"),
    # All begin alike, for longer than a block: what vLLM keeps of that must not outlive the weights.
    "prefix": {"train_dataset": tiny.dataset().map(lambda row: {"prompt": 2 * tiny.LETTERS[:20] + row["prompt"]})},
}
Make = Callable[..., Any]


@pytest.mark.parametrize("case", CASES)
def test_rollouts_come_from_the_weights_that_are_trained(colocated: Make, case: str) -> None:
    run = colocated(**CASES[case])
    start = weights(run).clone()
    run.train()
    assert (weights(run) - start).abs().max() > 0.01, "nothing was trained"
    ratio = logged(run, "sampling/importance_sampling_ratio/mean")
    assert len(ratio) == 5
    np.testing.assert_allclose(ratio, 1, atol=0.01)
    assert max(differences(run)) < 0.005


@pytest.mark.parametrize("case", CASES)
def test_old_weights_would_be_seen(colocated: Make, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = colocated(**CASES[case])
    load, loads = run.vllm_generation.sync_weights, []
    monkeypatch.setattr(run.vllm_generation, "sync_weights", lambda: loads.append(loads or load()))
    run.train()
    assert len(loads) == 5
    assert differences(run)[0] < 0.005 and max(differences(run)[1:]) > 0.05


def test_a_second_train_loads_its_weights(colocated: Make) -> None:
    run = colocated(max_steps=1)
    run.train()
    run.train()  # at step 0 again, for which TRL has loaded weights
    assert max(differences(run)) < 0.005


def test_only_an_engine_on_the_cpu_is_reloaded(colocated: Make) -> None:
    generation = colocated().vllm_generation
    assert type(generation) is (ReloadingVLLMGeneration if on_cpu() else VLLMGeneration)
    server = VLLMGeneration.__new__(VLLMGeneration)
    server.mode = "server"
    reload_weights_on_cpu(server)
    assert type(server) is VLLMGeneration


@pytest.mark.gpus(1)
def test_nothing_is_changed_on_a_gpu(colocated: Make) -> None:
    run = colocated()
    assert type(run.vllm_generation) is VLLMGeneration and "sync_weights" not in vars(run.vllm_generation)
    run.train()
    assert max(differences(run)) < 0.005


def test_vllm_answers_the_drawn_rows(colocated: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = colocated(reward_funcs=tiny.reward)
    asked, generate = [], run.vllm_generation.generate
    monkeypatch.setattr(
        run.vllm_generation, "generate", lambda prompts, **rest: (asked.append(prompts), generate(prompts, **rest))[1]
    )
    run.train()
    history = run.history()
    prompts = run.processing_class(list(run.train_dataset["prompt"])).input_ids
    assert [ids for step in asked for ids in step] == [prompts[row] for row in np.repeat(history["row"], 4)]
    assert history.groupby("arm")["reward"].mean()["d"] == 0 and history["reward"].max() > 0
    assert logged(run, "curriculum/staleness") == [0] * 5


RIGHT = {"reward_funcs": tiny.reward}
METHODS: dict[str, dict[str, Any]] = {
    "refill": RIGHT | {"rollouts": [{"refill": {"tries": 3, "carry": True}}]},
    "replay": RIGHT | {"rollouts": ["replay"]},
    "allocation": RIGHT | {"rollouts": [{"allocation": {"rows": 0.5}}], "per_device_train_batch_size": 8},
    "temperature": {"rollouts": [{"temperature": {"start": 1.5}}], "vllm_importance_sampling_correction": False},
    "truncate": {
        "rollouts": [{"truncate": {"alpha": 0.3, "least": 1, "right": 0.0}}],
        "vllm_importance_sampling_mode": "token_truncate",
    },
    "rewritten": {"shaping": [{"budget": {"tell": "in {budget}"}}]},
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_rollouts(colocated: Make, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = colocated(**METHODS[name])
    asked, generate = [], run.vllm_generation.generate
    monkeypatch.setattr(
        run.vllm_generation, "generate", lambda prompts, **rest: (asked.append(prompts), generate(prompts, **rest))[1]
    )
    start = weights(run).clone()
    run.train()
    assert run.state.global_step == 5 and (weights(run) - start).abs().max() > 0
    history = run.history()
    if name == "refill":
        assert len(history) > 5, "nothing was drawn anew"
    if name == "allocation":
        assert history.groupby("step")["row"].nunique().max() == 1 and len(history) == 10
    if name == "temperature":
        assert logged(run, "rollouts/temperature") == [1.5] * 5
    if name == "rewritten":
        told = run.processing_class("in 256").input_ids
        assert all(ids[-len(told) :] == told for step in asked for ids in step)


def test_evaluation_draws_nothing(colocated: Make) -> None:
    run = colocated(eval_dataset=tiny.dataset(8), max_steps=1)
    run.train()
    drawn = run.curriculum.drawn
    assert run.evaluate()["eval_reward"] > 0 and run.curriculum.drawn == drawn


@pytest.mark.parametrize("window", [1, 2], ids=["between-windows", "inside-a-window"])
@pytest.mark.parametrize("case", ["full", "lora"])
def test_resume(colocated: Make, case: str, window: int, tmp_path: Path) -> None:
    every = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3}
    changes = CASES[case] | every | {"steps_per_generation": window}
    whole = colocated(**changes)
    whole.train()
    after = colocated(**changes)
    after.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    drawn, again = ([draw.row.tolist() for draw in run.curriculum.draws] for run in (whole, after))
    new = 3 // window  # generations that the checkpoint leaves to be made
    assert len(drawn) == 6 // window and again[0] == drawn[-new], "the first draw does not depend on new rollouts"
    assert max(differences(after)) < 0.005
    if on_cpu():  # vLLM samples from torch's own generator there, which the checkpoint holds
        assert again == drawn[-new:]
        assert torch.equal(weights(after), weights(whole))


def test_two_processes_with_an_engine_each(saved: dict[str, str], tmp_path: Path) -> None:
    if not on_cpu():
        pytest.skip("on GPUs two processes need one each")
    made = subprocess.run(
        [*command(tmp_path, 2, {}, vllm_runs.__file__)[:-1], saved["tied"]],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TORCH_COMPILE_DISABLE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr[-4000:]
    first, second = (json.loads((tmp_path / f"result_{rank}.json").read_text()) for rank in (0, 1))
    assert max(first["differences"]) < 0.005
    assert first["rows"] == second["rows"] and len(set(map(tuple, first["rows"]))) == 5
    assert first["weights"] == second["weights"]
