"""Trainers that push: to a Hub of this machine, from which the model is loaded again."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_server
import pytest
import tiny
import torch
import transformers.utils.hub
from harness import sft_trainer, trainer
from hub_server import TOKEN, Failure, Hub
from huggingface_hub import utils
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_curriculum.cli import main
from trl_curriculum.publish.files import checkpoint_files, is_listed
from trl_curriculum.publish.send import PushError
from trl_curriculum.scripts.train import train_and_save


PUSHES: dict[str, Any] = {"push_to_hub": True, "hub_model_id": "me/tiny", "hub_token": TOKEN, "max_steps": 2}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.serving(tmp_path / "hub") as server:
        hub_server.use(server, monkeypatch)
        monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)
        monkeypatch.setattr(utils._http.time, "sleep", lambda seconds: None)
        yield server


def write_down(folder: Path, files: dict[str, bytes]) -> None:
    """Writes files of a folder, the first part of whose places is that folder's name elsewhere."""
    for place, content in files.items():
        file = folder / place.split("/", 1)[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def everything(hub: Hub) -> bytes:
    return b"".join(file.read_bytes() for file in (hub.folder / "objects").iterdir())


def test_grpo_sends_its_model_card_figure_and_draws_and_is_loaded_again(hub: Hub, tmp_path: Path) -> None:
    run = trainer(tmp_path / "out", log_completions=True, **PUSHES)
    train_and_save(run, run.args, "trl-lib/Capybara")
    sent = hub.files("me/tiny")
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(sent)
    assert all(map(is_listed, sent)) and any(name.startswith("curriculum_history/draws-") for name in sent)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in sent} == sent
    assert (tmp_path / "out" / "training_args.bin").exists() and any((tmp_path / "out" / "completions").iterdir())
    assert TOKEN.encode() not in everything(hub) and str(tmp_path).encode() not in everything(hub)
    card = sent["README.md"].decode()
    assert 'model="me/tiny"' in card and "trl-lib/Capybara" in card
    assert ("](curriculum_draws.png)" in card) == ("curriculum_draws.png" in sent)
    again = AutoModelForCausalLM.from_pretrained("me/tiny", cache_dir=tmp_path / "cache")
    assert AutoTokenizer.from_pretrained("me/tiny", cache_dir=tmp_path / "cache").eos_token == "[eos]"
    trained = run.model.state_dict()
    assert all(torch.equal(weight, trained[name]) for name, weight in again.state_dict().items())
    assert {one for one in hub.requests if one.startswith("GET /me/tiny/resolve")}


def test_of_a_checkpoint_arguments_and_rollouts_stay_here(hub: Hub, tmp_path: Path) -> None:
    options = PUSHES | {"hub_strategy": "checkpoint", "save_strategy": "steps", "save_steps": 1}
    run = sft_trainer(tmp_path / "out", **options)
    run.train()
    sent = hub.files("me/tiny")
    assert {"model.safetensors", "last-checkpoint/optimizer.pt", "last-checkpoint/trainer_state.json"} <= set(sent)
    assert "last-checkpoint/curriculum/state.json" in sent and "Training in progress, step 1" in hub.commits
    assert not any(name.endswith("training_args.bin") for name in sent) and TOKEN.encode() not in everything(hub)
    assert (tmp_path / "out" / "checkpoint-2" / "training_args.bin").exists()
    step = json.loads(sent["last-checkpoint/trainer_state.json"])["global_step"]
    inside = {name: content for name, content in sent.items() if name.startswith("last-checkpoint/")}
    write_down(tmp_path / "again" / f"checkpoint-{step}", inside)
    resumed = sft_trainer(tmp_path / "again", max_steps=3)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 3


def test_a_run_is_resumed_from_a_checkpoint_without_the_paths_that_were_in_it(tmp_path: Path, tiny_path: str) -> None:
    """The files that change on the way have other checksums than those that were saved."""
    made: dict[str, Any] = {"model": tiny_path, "peft_config": LoraConfig(r=2, target_modules="all-linear")}
    saves = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    saves |= {"load_best_model_at_end": True, "eval_dataset": tiny.sft_dataset(2)}
    sft_trainer(tmp_path / "out", **made, **saves, max_steps=2).train()
    checkpoint = tmp_path / "out" / "checkpoint-2"
    assert str(tmp_path) in (checkpoint / "trainer_state.json").read_text()
    sent = {f"x/{one.path}": one.content or one.file.read_bytes() for one in checkpoint_files(checkpoint)}
    everywhere = b"".join(sent.values())
    assert str(tmp_path).encode() not in everywhere and str(Path(tiny_path).parent).encode() not in everywhere
    write_down(tmp_path / "again" / "checkpoint-2", sent)
    resumed = sft_trainer(tmp_path / "again", **made, max_steps=3)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 3


def test_an_adapter_of_a_model_in_a_folder(hub: Hub, tmp_path: Path, tiny_path: str) -> None:
    adapter = LoraConfig(r=2, target_modules="all-linear")
    options = PUSHES | {"hub_strategy": "checkpoint", "save_strategy": "steps", "save_steps": 1}
    run = sft_trainer(tmp_path / "out", model=tiny_path, peft_config=adapter, **options)
    train_and_save(run, run.args, None)
    sent = hub.files("me/tiny")
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= set(sent)
    assert "last-checkpoint/adapter_config.json" in sent
    assert str(Path(tiny_path).parent).encode() not in everything(hub)
    assert tiny_path in (tmp_path / "out" / "adapter_config.json").read_text()  # loaded from here as before


def test_a_push_that_fails_at_the_end_loses_nothing_and_the_command_completes_it(hub: Hub, tmp_path: Path) -> None:
    run = sft_trainer(tmp_path / "out", **PUSHES)
    run.train()
    hub.failures = [Failure("POST .*commit/main", 500)]
    with pytest.raises(PushError) as error:
        run.push_to_hub()
    told = f"the model is safe in {tmp_path / 'out'}: run `trl-curriculum push {tmp_path / 'out'} --repo_id me/tiny`"
    assert (
        str(error.value) == f"The Hub answered 500 (made to fail with 500) when sending to me/tiny; {told} to send it."
    )
    assert hub.files("me/tiny") == {}
    assert main(["push", str(tmp_path / "out"), "--repo_id", "me/tiny"]) == 0
    sent = hub.files("me/tiny")
    assert {"README.md", "model.safetensors"} <= set(sent)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in sent} == sent


def test_a_push_that_fails_on_the_way_is_a_warning(hub: Hub, tmp_path: Path, caplog: Any) -> None:
    run = sft_trainer(tmp_path / "out", **PUSHES, save_strategy="steps", save_steps=1)
    hub.failures = [Failure("POST .*commit/main", 507)]
    with caplog.at_level(logging.WARNING):
        run.train()
    assert run.state.global_step == 2
    assert "out was not sent to the Hub: The storage of the Hub that may be used is full" in caplog.text


def test_who_may_not_write_is_told_before_training(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(PushError, match=r"The token may not write to you/tiny .*; nothing was trained or lost"):
        sft_trainer(tmp_path / "out", **PUSHES | {"hub_model_id": "you/tiny"})
    with pytest.raises(PushError, match="The Hub does not know the token"):
        sft_trainer(tmp_path / "out", **PUSHES | {"hub_token": "hf_wrong"})
