"""Two real processes: what each trains on, and that one process would have done the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sft_two
import tiny
import torch
from harness import launch, once, sft_run, weights


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        path = tiny.saved_model(tmp_path_factory.mktemp("tiny"))
        done = launch(folder, processes=2, program=sft_two.__file__, model_path=path)
        (folder / "stderr").write_text(done.err)

    return once(tmp_path_factory, "sft_two", make)


@pytest.mark.parametrize("part", sft_two.parts(""))
def test_part_by_part(two: Path, part: str) -> None:
    """Four cells of the matrix, whose rows and losses are compared in both processes, and the parts used below."""
    errors = "\n".join(path.read_text() for path in (two / part).glob("error_*"))
    assert not errors, errors[-3000:]
    assert (two / part / "done_0").exists() and (two / part / "done_1").exists(), (two / "stderr").read_text()[-3000:]


def shown(folder: Path, rank: int = 0) -> dict[str, Any]:
    return json.loads((folder / f"shown_{rank}.json").read_text())


@pytest.mark.parametrize("name", sft_two.RUNS)
def test_one_process_at_the_same_global_batch_does_the_same(two: Path, tmp_path: Path, name: str) -> None:
    run = sft_run(tmp_path, gradient_accumulation_steps=4, **sft_two.RUNS[name])
    sft_two.report(tmp_path, run)
    alone, first, second = shown(tmp_path), shown(two / name), shown(two / name, rank=1)
    assert first == second
    for key in ("rows", "draws", "num_tokens", "learning_rate"):
        assert alone[key] == first[key], key
    for key in ("loss", "row_loss", "seen_loss"):
        np.testing.assert_allclose(alone[key], first[key], rtol=1e-4, err_msg=key)
    of_two = [torch.load(two / name / f"weights_{rank}.pt") for rank in (0, 1)]
    assert torch.equal(*of_two)
    moved = (of_two[0] - weights_at_start()).norm()
    assert moved > 0.1 and (weights(run) - of_two[0]).norm() < 0.02 * moved


def weights_at_start() -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in tiny.model().parameters()])


def test_a_resume_is_exact(two: Path) -> None:
    whole, resumed = shown(two / "packed"), shown(two / "resumed")
    assert resumed["rows"] == whole["rows"][3:] and resumed["row_loss"] == whole["row_loss"][-len(resumed["draws"]) :]
    for rank in (0, 1):
        ours, theirs = (torch.load(two / name / f"weights_{rank}.pt") for name in ("resumed", "packed"))
        assert torch.equal(ours, theirs)


def test_one_process_continues_what_two_began(two: Path, tmp_path: Path) -> None:
    run = sft_run(
        tmp_path, str(two / "packed" / "checkpoint-3"), gradient_accumulation_steps=4, **sft_two.RUNS["packed"]
    )
    sft_two.report(tmp_path, run)
    assert shown(tmp_path)["rows"] == shown(two / "packed")["rows"][3:]
