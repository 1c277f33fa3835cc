"""Two real processes: same draws on both, and the same as one process would make."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import launch, once, replay, result

from trl_curriculum import Pool
from trl_curriculum.curricula import SEC
from trl_curriculum.disk.state import read_state


# Three prompts of four rollouts on two processes: each holds six, so the second group straddles them.
STRADDLING: dict[str, Any] = {
    "per_device_train_batch_size": 3,
    "steps_per_generation": 2,
    "gradient_accumulation_steps": 1,
    "max_steps": 6,
    "save_strategy": "steps",
    "save_steps": 1,
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        done = launch(folder, processes=2, **STRADDLING)
        assert done.code == 0, done.err[-3000:]

    return once(tmp_path_factory, "grpo_two", make)


def observed(folder: Path, rank: int) -> list[dict[str, Any]]:
    state = read_state(folder / f"feedback_{rank}")
    return [state[str(i)] for i in range(len(state))]


def test_both_ranks_draw_learn_and_train_alike(two: Path) -> None:
    first, second = result(two, 0), result(two, 1)
    assert first["rows"] == second["rows"] and len(first["rows"]) == 3 and len(first["rows"][0]) == 3
    assert first["q"] == second["q"]
    assert torch.equal(torch.load(two / "weights_0.pt"), torch.load(two / "weights_1.pt"))


def test_a_group_that_straddles_the_ranks_is_whole(two: Path) -> None:
    for shown, other, rows in zip(observed(two, 0), observed(two, 1), result(two)["rows"], strict=True):
        assert shown["row"].tolist() == np.repeat(rows, 4).tolist()
        np.testing.assert_array_equal(shown["advantage"], other["advantage"])
        groups = shown["reward"].reshape(3, 4)
        std = groups.std(axis=1, ddof=1, keepdims=True)
        expected = (groups - groups.mean(axis=1, keepdims=True)) / (std + 1e-4)
        np.testing.assert_allclose(shown["advantage"], expected.ravel(), atol=1e-5)
    assert any(np.ptp(shown["reward"].reshape(3, 4)[1]) > 0 for shown in observed(two, 0)), (
        "no straddling group varied"
    )


def test_one_process_draws_the_same_from_the_same_feedback(two: Path) -> None:
    sec = SEC(tau=0.3).bind(Pool.from_dataset(tiny.dataset(), "arm"), seed=42)
    assert replay(sec, observed(two, 0), n=3) == result(two)["rows"]


@pytest.mark.parametrize("step", [3, 4])
def test_a_resume_on_two_processes_is_exact(two: Path, tmp_path: Path, step: int) -> None:
    done = launch(tmp_path, processes=2, resume=str(two / f"checkpoint-{step}"), **STRADDLING)
    assert done.code == 0, done.err[-3000:]
    for rank in (0, 1):
        ours, theirs = torch.load(tmp_path / f"weights_{rank}.pt"), torch.load(two / f"weights_{rank}.pt")
        assert torch.equal(ours, theirs)
    made = result(tmp_path)["rows"]
    assert made == result(two)["rows"][len(result(two)["rows"]) - len(made) :]


def test_another_world_size_continues_and_says_what_it_makes_anew(two: Path, tmp_path: Path) -> None:
    # One process at the same global batch: the draws continue, the open window does not.
    options = STRADDLING | {"per_device_train_batch_size": 6}
    done = launch(tmp_path, processes=1, resume=str(two / "checkpoint-3"), **options)
    assert done.code == 0, done.err[-3000:]
    assert "generated anew: world_size was 2 and is 1" in done.err
    assert result(tmp_path)["rows"][0] == result(two)["rows"][2]
