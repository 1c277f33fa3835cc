"""An open generation window by itself: what is saved of it, and when it is continued; runs are in test_resume.py."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trl_curriculum.trainers.open_window import OpenWindow


def window(**changes: Any) -> OpenWindow:
    """Two batches of rollouts, each trained on twice: four micro steps."""
    sizes = {"world_size": 1, "steps_per_generation": 2, "num_iterations": 2, "num_generations": 4}
    args = SimpleNamespace(**sizes | {"generation_batch_size": 8, "process_index": 0} | changes)
    return OpenWindow(args, torch.device("cpu"))


def batches() -> list[dict[str, Any]]:
    first = {"completion_ids": torch.arange(8).reshape(4, 2), "advantages": torch.rand(4), "ref": None}
    # A transposed tensor is not contiguous, and TRL keeps numbers beside tensors.
    second = {"completion_ids": torch.arange(12).reshape(3, 4).T, "advantages": torch.rand(4), "num_items": 7}
    return [first, second]


def test_rollouts_are_new_in_the_first_pass_over_a_window() -> None:
    assert window().steps == 4
    assert [window().is_first_pass(step) for step in range(8)] == [True, True, False, False] * 2


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = batches()
    window().save(tmp_path, 6, saved)
    step, loaded = window().load(tmp_path, window().state_dict(6))
    assert step == 6 and loaded is not None and len(loaded) == 2
    for before, after in zip(saved, loaded, strict=True):
        assert set(after) == {name for name, value in before.items() if value is not None}
        assert all(torch.equal(torch.as_tensor(before[name]), value) for name, value in after.items())
    assert [file.name for file in tmp_path.iterdir()] == ["generation_buffer_0.safetensors"]


def test_each_process_has_rollouts_of_its_own(tmp_path: Path) -> None:
    of = [batches(), batches()]
    for process in (0, 1):
        window(process_index=process, world_size=2).save(tmp_path, 5, of[process])
    for process in (0, 1):
        here = window(process_index=process, world_size=2)
        _, loaded = here.load(tmp_path, here.state_dict(5))
        assert loaded is not None and torch.equal(loaded[0]["advantages"], of[process][0]["advantages"])


@pytest.mark.parametrize("step", [0, 4, 8])
def test_between_two_windows_there_is_nothing_to_save_or_to_continue(
    tmp_path: Path, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    window().save(tmp_path, step, batches())
    assert not list(tmp_path.iterdir())
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        assert window().load(tmp_path, window().state_dict(step)) == (0, None)
        assert window(num_iterations=3).load(tmp_path, window().state_dict(step)) == (0, None)
    assert not caplog.text


def test_without_a_checkpoint_a_window_begins() -> None:
    assert window().load(None, {}) == (0, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"world_size": 2}, "world_size was 1 and is 2"),
        ({"num_generations": 2, "generation_batch_size": 4}, "num_generations was 4 and is 2; generation_batch_size"),
    ],
)
def test_another_window_is_generated_anew(
    tmp_path: Path, changes: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    window().save(tmp_path, 5, batches())
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        assert window(**changes).load(tmp_path, window().state_dict(5)) == (0, None)
    assert f"The open generation window is generated anew: {words}" in caplog.text


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_without_its_rollouts_it_is_generated_anew(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    if damage == "cut":
        window().save(tmp_path, 5, batches())
        file = tmp_path / "generation_buffer_0.safetensors"
        file.write_bytes(file.read_bytes()[:40])
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        assert window().load(tmp_path, window().state_dict(5)) == (0, None)
    assert "Cannot read" in caplog.text and "the rollouts of a process are missing" in caplog.text


def test_all_processes_begin_anew_where_one_lacks_its_rollouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trl_curriculum.trainers.open_window.gather_object", lambda mine: [*mine, False])
    window().save(tmp_path, 5, batches())
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        assert window().load(tmp_path, window().state_dict(5)) == (0, None)
    assert "the rollouts of a process are missing" in caplog.text
