"""Two processes, one group of which straddles both, shape and refill as one does with the same rollouts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shaping_two
import tiny
import torch
from harness import launch, once

from trl_curriculum import read_history
from trl_curriculum.disk.state import read_state


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shaping_one")
    shaping_two.train(folder, 1)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        done = launch(folder, 2, shaping_two.__file__)
        assert done.code == 0, done.err[-3000:]

    return once(tmp_path_factory, "shaping_two", make)


def trained(folder: Path, rank: int = 0) -> list[dict[str, Any]]:
    state = read_state(folder / f"trained_{rank}")
    return [state[str(k)] for k in range(len(state))]


def valid(batch: dict[str, Any], name: str, mask: str) -> list[list[int]]:
    return [row[kept > 0].tolist() for row, kept in zip(batch[name], batch[mask], strict=True)]


def test_both_ranks_train_on_what_one_process_trains_on(one: Path, two: Path) -> None:
    draws = json.loads((one / "draws_0.json").read_text())
    assert len(draws) > 5, "nothing was refilled"
    assert draws == json.loads((two / "draws_0.json").read_text()) == json.loads((two / "draws_1.json").read_text())
    carried: list[int] = []
    for whole, first, second in zip(trained(one), trained(two, 0), trained(two, 1), strict=True):
        for name in ("all/row", "all/draw", "all/reward", "all/advantage"):
            np.testing.assert_array_equal(first[name], second[name])
            np.testing.assert_allclose(first[name], whole[name], atol=1e-6)
        np.testing.assert_allclose(np.r_[first["advantages"], second["advantages"]], whole["advantages"], atol=1e-5)
        old = [batch["old_per_token_logps"] for batch in (whole, first, second)]
        np.testing.assert_allclose(np.r_[old[1][:, 0], old[2][:, 0]], old[0][:, 0], atol=1e-4)
        carried.append((~np.isnan(old[0][:, 0])).sum())
        for name, mask in (("completion_ids", "completion_mask"), ("prompt_ids", "prompt_mask")):
            assert valid(first, name, mask) + valid(second, name, mask) == valid(whole, name, mask)
        assert first["num_items_in_batch"] == second["num_items_in_batch"] == whole["num_items_in_batch"]
    assert max(carried) > 0, "nothing was carried over"
    assert any(
        (batch["completion_mask"].sum(1) < (batch["completion_ids"] != 0).sum(1)).any() for batch in trained(one)
    ), "nothing was cut"
    shaped = np.concatenate([batch["advantages"] for batch in trained(one)])
    assert not np.allclose(shaped, np.concatenate([batch["all/advantage"] for batch in trained(one)]))


def test_weights_are_the_same(one: Path, two: Path) -> None:
    first, second = (torch.load(two / f"weights_{rank}.pt") for rank in (0, 1))
    assert torch.equal(first, second)
    alone, begun = torch.load(one / "weights_0.pt"), torch.cat([p.flatten() for p in tiny.model().parameters()])
    print(
        "RATIO shaping",
        (first - alone).norm() / (alone - begun).norm(),
        (first - alone).abs().max(),
        (alone - begun).abs().max(),
    )
    assert (first - alone).norm() < 0.02 * (alone - begun).norm()
    assert read_history(one).drop(columns="advantage").equals(read_history(two).drop(columns="advantage"))


def test_a_resume_on_two_processes_is_exact(two: Path) -> None:
    for rank in (0, 1):
        resumed, whole = (torch.load(folder / f"weights_{rank}.pt") for folder in (two / "resumed", two))
        assert torch.equal(resumed, whole)
