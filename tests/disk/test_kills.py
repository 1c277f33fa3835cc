"""A few of the kills of `make kills`."""

from pathlib import Path

import kills
import pytest


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    kills.prepare(folder)
    return folder


@pytest.mark.parametrize(("store", "n"), [("sft", 2), ("grpo", 2), ("select", 1), ("score", 1)])
def test_killed_and_started_again(inputs: Path, store: str, n: int) -> None:
    whole, seconds = kills.undisturbed(store, inputs)
    row = kills.kill_until_done(store, inputs, n, 1, whole, seconds)
    assert row.kills >= n and row.equal == row.ends > 0


def test_what_is_left_tells_runs_apart(inputs: Path) -> None:
    """The test above can fail: another seed leaves something else."""
    whole, _ = kills.undisturbed("sft", inputs)
    out = inputs / "out/other"
    ran = kills.command([*kills.argv("sft", out), "--seed", "7"], inputs)
    assert ran.code == 0 and kills.left("sft", out) != whole
