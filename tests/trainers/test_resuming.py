"""Which checkpoint a run continues from, by itself; runs are in test_resume.py."""

import json
import logging
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from trl_curriculum.disk.checkpoint import forget_checksums, what_is_missing, write_checksums
from trl_curriculum.disk.state import StateError, write_state
from trl_curriculum.trainers.resuming import resolve_checkpoint


MAIN = SimpleNamespace(is_main_process=True, process_index=0)


def checkpoint(output_dir: Path, step: int, world_size: int = 1) -> Path:
    """What makes a checkpoint whole, and nothing else."""
    folder = output_dir / f"checkpoint-{step}"
    write_state(folder / "curriculum", {"world_size": world_size})
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    names = [f"rng_state_{rank}.pth" if world_size > 1 else "rng_state.pth" for rank in range(world_size)]
    for name in ("optimizer.pt", "scheduler.pt", *names):
        zipfile.ZipFile(folder / name, "w").close()
    save_file({"weight": torch.ones(8)}, folder / "model.safetensors")
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
    with pytest.raises(StateError, match=r"checkpoint-4 cannot be resumed from: rng_state.pth is cut off"):
        resolve_checkpoint(MAIN, "elsewhere", str(newer))


def test_none_is_whole(tmp_path: Path) -> None:
    (checkpoint(tmp_path, 3) / "rng_state.pth").unlink()
    with pytest.raises(StateError, match=r"No complete checkpoint to resume from in .* set it to auto"):
        resolve_checkpoint(MAIN, str(tmp_path), True)
    assert resolve_checkpoint(MAIN, str(tmp_path), "auto") is None


FILES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
FILES += ["curriculum/state.json", "curriculum/arrays.npz"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("left", [None, 0.0, 0.9])
def test_a_file_that_is_missing_or_cut_off(
    tmp_path: Path, name: str, left: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The next older checkpoint is taken, and the file is named; so it is where the checkpoint was named."""
    older, newer = checkpoint(tmp_path, 3), checkpoint(tmp_path, 4)
    file = newer / name
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        assert resolve_checkpoint(MAIN, str(tmp_path), "auto") == str(older)
    said = "a file of weights" if name == FILES[0] and left is None else Path(name).name
    assert "Skipping" in caplog.text and "checkpoint-4" in caplog.text and said in caplog.text
    with pytest.raises(StateError, match=rf"checkpoint-4 cannot be resumed from: .*{said}"):
        resolve_checkpoint(MAIN, str(tmp_path), str(newer))


def test_a_file_that_was_changed_without_another_size(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 3, world_size=2)
    write_checksums(folder)
    assert what_is_missing(folder) is None
    # Each process writes its own, maybe later and on a disk of its own
    zipfile.ZipFile(folder / "rng_state_1.pth", "w").writestr("a", "another state")
    (folder / "generation_buffer_0.pt").write_bytes(b"rollouts")
    assert what_is_missing(folder) is None
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert what_is_missing(folder) == "model.safetensors is not as it was saved: its checksum differs"
    write_checksums(folder)
    assert what_is_missing(folder) is None


def test_a_checkpoint_that_is_written_again_is_not_whole_until_it_is(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 3)
    write_checksums(folder)
    forget_checksums(folder)
    assert "trainer_state.json is missing" in str(what_is_missing(folder))
    save_file({"weight": torch.zeros(8)}, folder / "model.safetensors")
    (folder / "trainer_state.json").write_text("{}")
    assert what_is_missing(folder) is None, "the checksums of before would speak of other weights"


def test_sharded_weights_are_whole_with_all_shards(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 3)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert "model-00002-of-00002.safetensors, of which" in str(what_is_missing(folder))
    save_file({"b": torch.ones(8)}, folder / shards["b"])
    assert what_is_missing(folder) is None
    (folder / "model.safetensors.index.json").write_text('{"weight')
    assert "index.json is cut off" in str(what_is_missing(folder))


def test_what_sharded_trainings_write_is_whole(tmp_path: Path) -> None:
    fsdp, deepspeed = checkpoint(tmp_path, 3), checkpoint(tmp_path, 4)
    for folder in (fsdp, deepspeed):
        (folder / "model.safetensors").unlink()
        (folder / "optimizer.pt").unlink()
    for name in ("pytorch_model_fsdp_0", "optimizer_0"):
        (fsdp / name).mkdir()
        (fsdp / name / ".metadata").touch()
    assert what_is_missing(fsdp) is None
    (fsdp / "pytorch_model_fsdp_0/.metadata").unlink()
    assert "pytorch_model_fsdp_0/.metadata is missing" in str(what_is_missing(fsdp))
    (deepspeed / "global_step4").mkdir()
    zipfile.ZipFile(deepspeed / "global_step4/mp_rank_00_model_states.pt", "w").close()
    assert "latest" in str(what_is_missing(deepspeed))
    (deepspeed / "latest").write_text("global_step4")
    assert what_is_missing(deepspeed) is None
    (deepspeed / "global_step4/mp_rank_00_model_states.pt").write_bytes(b"cut")
    assert "mp_rank_00_model_states.pt is cut off" in str(what_is_missing(deepspeed))


def test_an_adapters_weights_are_weights(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 3)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    assert what_is_missing(folder) is None


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
