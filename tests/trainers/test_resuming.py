"""Which checkpoint a run continues from, by itself; runs are in test_resume.py."""

import json
import logging
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trl_curriculum.disk.state import StateError, write_state
from trl_curriculum.trainers.resuming import resolve_checkpoint


MAIN = SimpleNamespace(is_main_process=True, process_index=0)


def checkpoint(output_dir: Path, step: int, world_size: int = 1) -> Path:
    """What makes a checkpoint whole, and nothing else."""
    folder = output_dir / f"checkpoint-{step}"
    write_state(folder / "curriculum", {"world_size": world_size})
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    for rank in range(world_size):
        name = f"rng_state_{rank}.pth" if world_size > 1 else "rng_state.pth"
        zipfile.ZipFile(folder / name, "w").close()
    return folder


@pytest.mark.parametrize("asked", [None, False, "false", "False", ""])
def test_nothing_is_asked_for(tmp_path: Path, asked: Any) -> None:
    checkpoint(tmp_path, 3)
    assert resolve_checkpoint(MAIN, str(tmp_path), asked) is None


@pytest.mark.parametrize("asked", [True, "true", "True"])
def test_the_newest_whole_one(tmp_path: Path, asked: Any, caplog: pytest.LogCaptureFixture) -> None:
    whole = [checkpoint(tmp_path, step) for step in (9, 10)]
    (checkpoint(tmp_path, 11) / "trainer_state.json").unlink()
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        assert resolve_checkpoint(MAIN, str(tmp_path), asked) == str(whole[1])
    assert "checkpoint-11, which is incomplete: trainer_state.json is missing or cut off" in caplog.text


def test_one_by_its_folder(tmp_path: Path) -> None:
    older, newer = checkpoint(tmp_path, 3), checkpoint(tmp_path, 4)
    assert resolve_checkpoint(MAIN, "elsewhere", str(older)) == str(older)
    (newer / "rng_state.pth").write_bytes(b"cut")
    with pytest.raises(StateError, match=r"checkpoint-4 cannot be resumed from: rng_state.pth is missing .* cut off"):
        resolve_checkpoint(MAIN, "elsewhere", str(newer))


def test_none_is_whole(tmp_path: Path) -> None:
    (checkpoint(tmp_path, 3) / "rng_state.pth").unlink()
    with pytest.raises(StateError, match="No complete checkpoint to resume from in"):
        resolve_checkpoint(MAIN, str(tmp_path), True)


def test_every_process_needs_its_own_random_state_on_its_own_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = checkpoint(tmp_path, 3, world_size=2), checkpoint(tmp_path, 4, world_size=2)
    (newer / "rng_state_1.pth").unlink()
    module = "trl_curriculum.trainers.resuming"
    answers: list[Any] = []

    def gather(mine: list[Any]) -> list[Any]:
        """The other process has what lies here, as process 1."""
        folder = older if answers else newer
        answers.append(mine[0])
        return [*mine, None if (folder / "rng_state_1.pth").exists() else "rng_state_1.pth is missing"]

    monkeypatch.setattr(f"{module}.gather_object", gather)
    assert resolve_checkpoint(MAIN, str(tmp_path), True) == str(older)
    assert answers == [None, None], "this process has its own"


def test_other_processes_take_what_the_main_one_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = checkpoint(tmp_path, 3, world_size=2)
    said: list[Any] = [[here], 2]  # the candidates, and how many processes saved it

    def broadcast(objects: list[Any]) -> None:
        objects[0] = said.pop(0)

    monkeypatch.setattr("trl_curriculum.trainers.resuming.broadcast_object_list", broadcast)
    other = SimpleNamespace(is_main_process=False, process_index=1)
    assert resolve_checkpoint(other, str(tmp_path / "a disk without it"), True) == str(here)
    assert not said
