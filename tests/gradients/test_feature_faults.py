"""What may go wrong between candidates and what is selected: full disks, kills, damaged files, useless rows."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import features_two
import numpy as np
import pytest
import torch
from features_two import Counted, rows, write
from harness import ENVIRONMENT, begin
from test_evolve_recipe import recipe

from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.gradients import Stored, read_features
from trl_curriculum.gradients.store import NOT_YET
from trl_curriculum.rounds.selection import SelectionSettings, select_rows
from trl_curriculum.scripts.launch import parse
from trl_curriculum.selection import SELECTION


N = len(rows())
FILES = ["features.npy", "manifest.json", "norm.npy"]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def known(folder: Path) -> int:
    """How many rows a folder claims to have features of."""
    return int((np.load(folder / "norm.npy") != NOT_YET).sum())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is written where nothing goes wrong."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder, Counted())
    assert list(contents(folder)) == FILES
    return contents(folder)


# Full disks

ON_A_SMALL_DISK = """
import json, os, sys
from pathlib import Path
from features_two import Counted, write

disk, out = Path(sys.argv[1]), {}

def failed(name):
    try:
        write(disk / name, Counted())
    except OSError as error:
        return error.errno, str(error)

def filled(leave):
    space = os.statvfs(disk)
    with open(disk / "other", "wb") as file:
        file.write(bytes(space.f_bavail * space.f_bsize - leave))

filled(8192)
out["at once"] = failed("a")
out["left"] = [file.name for file in (disk / "a").iterdir()]
os.unlink(disk / "other")
write(disk / "a", Counted())
reserve = os.posix_fallocate
del os.posix_fallocate  # as on a system that cannot set space aside
filled(16384)
out["half way"] = failed("b")
os.unlink(disk / "other")
rest = Counted()
write(disk / "b", rest)
out["computed"] = sum(rest.forwards)
out["same"] = [(disk / name / "features.npy").read_bytes().hex() for name in "ab"]
print(json.dumps(out))
"""


def test_a_small_disk_that_fills_up(tmp_path: Path, whole: dict[str, bytes]) -> None:
    """A real one of 64 KB, in a mount namespace of its own."""
    script = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"'
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*inside, script, tmp_path, "true"]).returncode:
        pytest.skip("this system does not let a process mount a file system of its own")
    run = subprocess.run(
        [*inside, script, tmp_path, sys.executable, "-c", ON_A_SMALL_DISK, tmp_path],
        env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]  # -7 is a bus error
    told = json.loads(run.stdout)
    number, said = told["at once"]
    assert number == errno.ENOSPC and "No space left" in said
    assert "the features of 24 rows take 12,384 bytes in" in said and said.endswith(
        "bytes are free; make room and run it again."
    )
    assert told["left"] == []
    assert told["half way"][0] == errno.ENOSPC and "the features of 24 rows take" in told["half way"][1]
    assert 0 < told["computed"] < N, "what was written before the disk was full is not used"
    assert told["same"] == [whole["features.npy"].hex()] * 2


def full(*args: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_without_room_is_told_before_the_first_batch(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, Counted(), rows(3))  # of another key, whose space is given back first
    gradients = Counted()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match=r"features of 24 rows take 12,384 bytes in .*, where [\d,]+ bytes are free"):
            write(tmp_path, gradients)
    assert not gradients.forwards and not list(tmp_path.iterdir())
    with pytest.raises(
        ValueError, match=r"The features in .* cannot be read \(FileNotFoundError.*: compute them again"
    ):
        read_features(tmp_path)
    write(tmp_path, gradients)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("fails_at", [1, 5, 6])
def test_a_row_is_claimed_only_when_it_is_on_the_disk(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Features are synchronized first and what says so second; each may find the disk full."""
    calls: list[int] = []
    fsync = os.fsync

    def check(file: int) -> None:
        if os.fstat(file).st_ino not in {array.stat().st_ino for array in tmp_path.glob("*.npy")}:
            return fsync(file)  # of the manifest
        calls.append(file)
        claimed = np.flatnonzero(np.load(tmp_path / "norm.npy") > 0)
        assert np.load(tmp_path / "features.npy")[claimed].any(axis=1).all()
        if len(calls) == fails_at:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        fsync(file)

    begun = Counted()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", check)
        with pytest.raises(OSError, match="Disk quota exceeded: the features of 24 rows take"):
            write(tmp_path, begun)
    batches = (fails_at + 1) // 2
    assert len(begun.forwards) == batches
    claimed = sum(begun.forwards[: batches if fails_at % 2 == 0 else batches - 1])
    assert known(tmp_path) == claimed
    rest = Counted()
    write(tmp_path, rest)
    assert sum(rest.forwards) == N - claimed
    assert contents(tmp_path) == whole


def evolve(path: str) -> None:
    """What `trl-curriculum evolve` has another process do."""
    script = load_recipe("evolve")
    *arguments, launch_args = parse(script.make_parser(), ["--config", path])
    script.main(*arguments, launch_args.num_processes)


def test_a_round_goes_on_after_a_full_disk(tmp_path: Path, tiny_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recipe(tmp_path, tiny_path, rounds=1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left on device: the features of 40 rows take"):
            evolve(path)
    done = sorted(file.parent.name for file in (tmp_path / "run/round-0").glob("*/done.json"))
    assert done == ["candidates", "proxy"]
    evolve(path)
    assert (tmp_path / "run/round-0/adapter/adapter_model.safetensors").exists()


# Kills and damaged files


def test_a_kill_loses_one_batch_at_most(tmp_path: Path, whole: dict[str, bytes]) -> None:
    batches = 5
    options: dict[str, Any] = {"write": ["killed"], "hang_after": batches, "threads": torch.get_num_threads()}
    folder = tmp_path / "killed"
    done = begin(tmp_path, features_two.__file__, **options).kill_when((tmp_path / "hangs").exists)
    assert done.code == -signal.SIGKILL, done.said
    done, counted = known(folder), Counted()
    write(tmp_path / "alone", counted)
    assert done in (sum(counted.forwards[:batches]), sum(counted.forwards[: batches - 1])) and 0 < done < N
    rest = Counted()
    write(folder, rest)
    assert sum(rest.forwards) == N - done
    assert contents(folder) == whole


def damaged(file: Path, how: str) -> None:
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut": content[: len(content) * 2 // 3], "other": b"x" * len(content)}[how])


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "other"])
def test_files_that_were_not_written_here_stay(tmp_path: Path, whole: dict[str, bytes], how: str) -> None:
    """The manifest is the mark: it is written first and removed last."""
    for file, content in whole.items():
        (tmp_path / file).write_bytes(content)
    damaged(tmp_path / "manifest.json", how)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"has no manifest\.json that this package has written, .* move it elsewhere"):
        write(tmp_path, Counted())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["features.npy", "norm.npy"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut", "other"])
def test_damaged_files_are_written_anew(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture, name: str, how: str
) -> None:
    for file, content in whole.items():
        (tmp_path / file).write_bytes(content)
    damaged(tmp_path / name, how)
    with pytest.raises(ValueError, match=r"The features in .* cannot be read .*: compute them again"):
        read_features(tmp_path)
    anew = Counted()
    with caplog.at_level(logging.WARNING):
        write(tmp_path, anew)
    assert sum(anew.forwards) == N and contents(tmp_path) == whole
    assert "are computed anew" in caplog.text


def test_files_of_other_rows_are_not_taken(tmp_path: Path, whole: dict[str, bytes]) -> None:
    write(tmp_path, Counted(), rows(N + 1))
    (tmp_path / "manifest.json").write_bytes(whole["manifest.json"])
    write(tmp_path, Counted())
    assert contents(tmp_path) == whole
    features = tmp_path / "features.npy"
    old = write(tmp_path, Counted())
    before = np.array(old.features), features.stat().st_ino
    write(tmp_path, Counted(), rows(3))
    assert features.stat().st_ino != before[1], "features that are in use were written over"
    assert np.array_equal(old.features, before[0])


# Useless rows

MASKED = {"input_ids": [4, 5, 6, 7], "labels": [-100] * 4}
BROKEN = 45  # a token whose embedding is no number


def broken_model() -> Any:
    of = features_two.model()
    with torch.no_grad():
        of.get_input_embeddings().weight[BROKEN] = torch.nan
    return of


def features(folder: Path, of: list[dict[str, list[int]]]) -> Stored:
    return write(folder, Counted(broken_model()), of)


def spoiled(some: list[dict[str, list[int]]]) -> list[dict[str, list[int]]]:
    """Every fourth row without a token to train on, and every fourth with one that gives no number."""
    broken = [{"input_ids": [BROKEN, *row["input_ids"][1:]], "labels": row["labels"]} for row in some]
    return [(row, MASKED, row, bad)[k % 4] for k, (row, bad) in enumerate(zip(some, broken, strict=True))]


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored]:
    folder = tmp_path_factory.mktemp("pools")
    every = rows(N, seed=1)
    made = {
        "spoiled": spoiled(every),
        "clean": every[::2],
        "spoiled targets": spoiled(rows(8, seed=2)),
        "targets": rows(8, seed=2)[::2],
        "masked": [MASKED] * 5,
        "broken": spoiled(every)[3::4],
        "one": every[:1],
        "alike": [every[3]] * 9,
    }
    return {name: features(folder / name, of) for name, of in made.items()}


METHODS = SELECTION.names()


@pytest.mark.parametrize("method", METHODS)
def test_useless_rows_are_counted_and_never_selected(pools: dict[str, Stored], method: str) -> None:
    assert np.isnan(pools["spoiled"].norm[3::4]).all() and (pools["spoiled"].norm[1::4] == 0).all()
    settings = SelectionSettings(method, keep=5)
    task = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    kept, _, told = select_rows(pools["spoiled"], pools["spoiled targets"], settings, task=task)
    assert (told["candidates"], told["unusable"], told["unusable_targets"]) == (N, N // 2, 4)
    assert set(kept) <= set(range(0, N, 2)) and len(kept) == len(set(kept)) == told["kept"]
    assert np.isfinite([value for value in told.values() if isinstance(value, float)]).all()
    clean, _, _ = select_rows(pools["clean"], pools["targets"], settings, task=task[::2])
    assert kept.tolist() == (2 * clean).tolist(), "rows that cannot be used change which others are selected"


def test_nothing_to_select_from_is_told(pools: dict[str, Stored]) -> None:
    for name, what in (("masked", "5 candidates"), ("broken", "6 candidates")):
        with pytest.raises(ValueError, match=f"None of {what} has a gradient that is a number other than zero"):
            select_rows(pools[name], pools["targets"], SelectionSettings())
    with pytest.raises(ValueError, match="None of 5 targets has a gradient"):
        select_rows(pools["clean"], pools["masked"], SelectionSettings())


@pytest.mark.parametrize("method", METHODS)
def test_few_and_equal_rows(pools: dict[str, Stored], method: str) -> None:
    with pytest.raises(ValueError, match="keep=13 is more than the 12 candidates that can be used"):
        select_rows(pools["spoiled"], pools["targets"], SelectionSettings(method, keep=13))
    for candidates, targets, keep in (
        ("clean", "one", 4),  # a single target
        ("one", "one", 1),
        ("one", "targets", 0.2),
        ("alike", "targets", 3),
        ("alike", "one", 0.2),
        ("alike", "alike", 9),
    ):
        n = len(pools[candidates].norm)
        kept, _, told = select_rows(pools[candidates], pools[targets], SelectionSettings(method, keep=keep))
        wanted = n if method == "all" else SelectionSettings(keep=keep).n_kept(n)
        assert len(kept) == len(set(kept)) == told["kept"] and set(kept) <= set(range(n))
        assert len(kept) == wanted or (method == "tsds" and 1 <= len(kept) <= wanted)  # which draws with replacement
        assert told["transport"] < 2 and 1 <= told["vendi"] <= n + 1e-6
        if candidates == "alike":
            assert told["vendi"] == pytest.approx(1, abs=1e-3)
    only, _, told = select_rows(pools["alike"], pools["targets"], SelectionSettings(method, keep=1, distinct=0.99))
    assert only.tolist() == [0] and told["near_duplicates_dropped"] == 8


# A generator that writes nothing of use


def test_nothing_usable_is_one_sentence(tmp_path: Path, tiny_path: str) -> None:
    """The tiny model writes nothing that a template accepts."""
    options = {"sampling": {"max_new_tokens": 8}, "shots": 1, "attempts": 4, "batch_size": 4}
    path = recipe(tmp_path, tiny_path, generators=[{"language_model": options}], candidates=2)
    with pytest.raises(ValueError, match=r"^None of 4 texts of 'language model' is a candidate \(\d format: [^\n]*$"):
        evolve(path)
    assert not (tmp_path / "run/round-0/candidates/done.json").exists()
