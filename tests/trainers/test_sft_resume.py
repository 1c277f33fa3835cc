"""A resumed SFT run is the run that was never interrupted: same draws, same feedback, same weights, bit for bit."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from harness import PACKED, PADDING_FREE, sft_run, sft_trainer, weights
from peft import LoraConfig

from trl_curriculum.disk.state import StateError, read_state
from trl_curriculum.report.history import FOLDER as HISTORY


SAVED: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1, "lr_scheduler_type": "cosine"}
PROBED: dict[str, Any] = {"curriculum": {"evo_curate": {"measure": "probe", "refresh_steps": 2}}}
RUNS: dict[str, dict[str, Any]] = {
    "accumulation": {"curriculum": {"evo_curate": {"refresh_steps": 2}}, "max_steps": 5}
    | {"gradient_accumulation_steps": 2},
    "packed": PACKED | {"gradient_accumulation_steps": 2, "curriculum": "evo_curate", "max_steps": 6},
    "probed": PROBED | {"max_steps": 5},
    # Three steps an epoch, two and a half epochs: checkpoints at and between the ends of epochs.
    "epochs": {"max_steps": -1, "num_train_epochs": 2.5, "per_device_train_batch_size": 16},
    "token budget": PADDING_FREE | {"max_tokens": 300, "max_steps": -1, "warmup_steps": 0.2},
    "packed token budget": PACKED | {"max_tokens": 300, "max_steps": -1},
}


def same_log(run: Any, other: Any, key: str) -> bool:
    found = [[entry[key] for entry in part.state.log_history if key in entry] for part in (run, other)]
    return found[0] == found[1] and len(found[0]) == run.state.global_step


@pytest.mark.parametrize("name", RUNS)
def test_exact_from_every_checkpoint(tmp_path: Path, name: str) -> None:
    options = SAVED | RUNS[name]
    whole = sft_run(tmp_path / "whole", **options)
    steps = whole.state.global_step
    assert steps >= 5
    history = whole.history()
    waited = 0
    for step in range(1, steps + 1):
        checkpoint = tmp_path / "whole" / f"checkpoint-{step}"
        waited += len(read_state(checkpoint / "curriculum")["curriculum"]["waiting"]["id"])
        shutil.copytree(tmp_path / "whole" / HISTORY, tmp_path / "cut" / HISTORY)
        resumed = sft_run(tmp_path / "cut", str(checkpoint), **options | {"save_strategy": "no"})
        assert resumed.state.global_step == steps, f"resumed from step {step}, it stops elsewhere"
        assert torch.equal(weights(resumed), weights(whole)), f"weights differ after a resume from step {step}"
        assert resumed.history().equals(history), f"draws differ after a resume from step {step}"
        for key in ("loss", "learning_rate", "num_tokens", "grad_norm"):
            assert same_log(resumed, whole, key), f"{key} differs after a resume from step {step}"
        assert resumed.curriculum.metrics() == whole.curriculum.metrics()
        shutil.rmtree(tmp_path / "cut")
    assert history["draw"].is_unique
    assert ("packed" in name) == (waited > 0), "no checkpoint held rows that waited, so their resume was not tried"


def test_random_numbers_continue(tmp_path: Path) -> None:
    """With dropout, also a probe between two steps may not change what is dropped after a resume."""
    options = SAVED | PROBED | {"max_steps": 4, "logging_steps": 2}
    lora = LoraConfig(r=2, target_modules="all-linear", lora_dropout=0.3)
    whole = sft_run(tmp_path / "whole", peft_config=lora, **options)
    for step in (1, 2, 3):
        resumed = sft_run(
            tmp_path / "cut", str(tmp_path / "whole" / f"checkpoint-{step}"), peft_config=lora, **options
        )
        assert torch.equal(weights(resumed), weights(whole)), f"weights differ after a resume from step {step}"


def test_without_the_curriculum_state_a_resume_differs(tmp_path: Path) -> None:
    """The tests above can fail: a resume that forgets what was drawn, or what waited, draws something else."""
    options = SAVED | RUNS["packed"]
    whole = sft_run(tmp_path / "whole", **options)
    for forget in ("all", "waiting"):
        again = sft_trainer(tmp_path / "cut", **options)
        load = again.curriculum.load_state_dict

        def forgetful(state: dict, forget: str = forget, load: Any = load, **kwargs: Any) -> None:
            if forget == "waiting":
                state["waiting"] = {name: value[:0] for name, value in state["waiting"].items()}
                load(state, **kwargs)

        again.curriculum.load_state_dict = forgetful  # type: ignore[assignment,method-assign]
        again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
        assert not torch.equal(weights(again), weights(whole))


@pytest.mark.parametrize("changes", [{"max_steps": 4}, {"max_steps": -1, "max_tokens": 150}], ids=["steps", "tokens"])
def test_a_run_that_had_ended_does_not_go_on(tmp_path: Path, changes: dict) -> None:
    """Stock TRL makes one step more when a run of `max_steps` is resumed from its last checkpoint."""
    whole = sft_run(tmp_path, **SAVED | changes)
    again = sft_run(tmp_path, True, **SAVED | changes)
    assert again.state.global_step == whole.state.global_step and torch.equal(weights(again), weights(whole))
    assert again.history().equals(whole.history()) and again.curriculum.drawn == whole.curriculum.drawn
    changed = {name: value * 2 if value > 0 else value for name, value in changes.items()}
    longer = sft_run(tmp_path, True, **SAVED | changed)
    assert longer.state.global_step > whole.state.global_step
    assert longer.history()["draw"].is_unique


def test_changed_data_are_refused_or_carried_over(tmp_path: Path) -> None:
    first = sft_run(tmp_path, max_steps=3, **SAVED)
    drawn = set(first.history()["row"])
    other = tiny.sft_dataset(52).select(range(4, 52))
    with pytest.raises(StateError, match="36 rows kept, 12 new, 4 lost"):
        sft_run(tmp_path, True, train_dataset=other, **SAVED)
    with pytest.raises(StateError, match="max_length=1024, and this run has 7"):
        sft_run(tmp_path, True, max_length=7, unusable_rows="leave_out", **SAVED)
    options = SAVED | {"on_data_change": "carry_over", "max_steps": 6}
    second = sft_run(tmp_path, True, train_dataset=other, **options)
    later = second.history().query("draw >= 12")["row"] + 4
    assert len(later) == 12 and not drawn & set(later)


def test_another_device_batch_continues_with_the_rows_that_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with another number of processes: with the same number it is refused."""
    whole = sft_run(tmp_path, max_steps=4, **SAVED | PACKED | {"per_device_train_batch_size": 4})
    waiting = whole.curriculum.waiting.tolist()
    options = SAVED | PACKED | {"per_device_train_batch_size": 1, "max_steps": 12}
    with pytest.raises(StateError, match="rows of a step=4, and this run has 1"):
        sft_run(tmp_path, True, **options)
    monkeypatch.setattr("trl_curriculum.trainers.mixin.refuse_other_run", lambda *args: None)
    smaller = sft_run(tmp_path, True, **options)
    history = smaller.history()
    assert waiting and history["draw"].is_unique
    assert set(history["draw"]) | set(smaller.curriculum.waiting) == set(range(smaller.curriculum.drawn))
    assert waiting[0] in history[history["step"] == 4]["draw"].tolist()
