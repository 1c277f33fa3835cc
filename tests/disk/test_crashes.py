"""Kills, full disks and cut files: what is read back is whole, and nothing else is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stores
from commands import Fork
from harness import ENVIRONMENT
from stores import STORES, files

from trl_curriculum.disk import partial
from trl_curriculum.disk.atomic import atomic_write
from trl_curriculum.disk.lines import Lines
from trl_curriculum.disk.state import read_state, write_state


PYTHONPATH = {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("name", STORES)
def test_killed_at_any_moment(tmp_path: Path, name: str) -> None:
    """What is there is what the last write that returned has written, or the one after it."""
    write, read = STORES[name]
    log = tmp_path.with_name(f"{tmp_path.name}-log")
    log.mkdir()
    writes = int(np.random.default_rng([*STORES].index(name)).integers(1, 20))
    process = Fork(lambda: stores.keep_writing(name, tmp_path), log)
    done = process.kill_when(lambda: process.logs[0].exists() and process.logs[0].read_bytes().count(b"\n") >= writes)
    assert done.code == -signal.SIGKILL, done.said
    returned = int(done.out.rsplit("\n", 2)[-2])  # the last line that was written whole
    (found,) = set(read(tmp_path))
    assert returned <= found <= returned + 1
    write(tmp_path, found + 1)
    assert set(read(tmp_path)) == {found + 1}
    (tmp_path / "alone").mkdir()
    for k in range(1, found + 2) if name == "lines" else (found + 1,):
        write(tmp_path / "alone", k)
    assert [file for file in files(tmp_path) if not file.startswith("alone")] == files(tmp_path / "alone")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """A real one of 256 KB, in a mount namespace of its own."""
    script = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"'
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*inside, script, tmp_path, "true"]).returncode:
        pytest.skip("this system does not let a process mount a file system of its own")
    run = subprocess.run(
        [*inside, script, tmp_path, sys.executable, stores.__file__, "fill up", tmp_path],
        env=ENVIRONMENT | PYTHONPATH,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout)
    assert list(found) == list(STORES)
    for name, shown in found.items():
        words = "No space left on device: "
        assert shown["error"].count(words) == 1 and "was not written in" in shown["error"], (name, shown["error"])
        assert shown["error"].endswith("bytes are free; make room and run it again.") and "\n" not in shown["error"]
        assert shown["left"] == [True, [1]], name
        assert shown["after"] == [True, [2]], name


class TestAtomicWrite:
    def test_an_error_leaves_what_was_there(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("before")
        with pytest.raises(KeyError), atomic_write(tmp_path / "a.txt") as draft:
            draft.write_text("half")
            raise KeyError
        with pytest.raises(KeyError), atomic_write(tmp_path / "folder") as draft:
            draft.mkdir()
            (draft / "inside").write_text("half")
            raise KeyError
        assert files(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "before"

    def test_a_folder_replaces_another_and_its_files(self, tmp_path: Path) -> None:
        for k in range(2):
            with atomic_write(tmp_path / "deep" / "folder.d") as draft:
                draft.mkdir()
                (draft / str(k)).write_text("x")
        assert files(tmp_path) == ["deep", "deep/folder.d", "deep/folder.d/1"]

    @pytest.mark.parametrize("machine", ["", "another-machine"])
    def test_a_kill_between_two_renames_loses_nothing(self, tmp_path: Path, machine: str) -> None:
        write_state(tmp_path / "s", {"k": 1})
        with atomic_write(tmp_path / "other") as draft:
            draft.touch()
        ours = draft.name.removesuffix(str(os.getpid())).replace("other", "s")
        killed = tmp_path / f"{f'.s~{machine}~' if machine else ours}{2**22 + 1}~before"  # above any process's number
        os.rename(tmp_path / "s", killed)
        assert read_state(tmp_path / "s") == {"k": 1}
        os.rename(tmp_path / "s", killed)
        write_state(tmp_path / "s", {"k": 2})
        assert read_state(tmp_path / "s") == {"k": 2}
        assert not [name for name in files(tmp_path) if name.endswith("~before")]

    def test_drafts_of_the_living_stay(self, tmp_path: Path) -> None:
        with atomic_write(tmp_path / "a.txt") as draft:
            living = draft.with_name(draft.name.replace(str(os.getpid()), str(os.getppid())))
            killed = draft.with_name(
                draft.name.replace(str(os.getpid()), str(2**22 + 1))
            )  # above any process's number
            elsewhere = draft.with_name(".a~another-machine~1.txt")
            for file in (draft, living, killed, elsewhere):
                file.write_text("x")
        with atomic_write(tmp_path / "a.txt") as draft:
            draft.write_text("x")
        assert set(files(tmp_path)) == {"a.txt", living.name, elsewhere.name}


class TestCutFiles:
    @pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
    def test_partial_results_are_measured_anew(self, tmp_path: Path, keep: float) -> None:
        stores.write_partial(tmp_path, 7)
        file = tmp_path / "loss-0.npz"
        file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
        store = partial._Partial(file, "key", (stores.SIZE, 1))
        assert store.done == 0 and np.isnan(store.value).all()

    @pytest.mark.parametrize("cut", [1, 2, 100, stores.SIZE * 3])
    def test_a_cut_line_is_dropped_and_written_again(self, tmp_path: Path, cut: int) -> None:
        for k in (1, 2):
            stores.write_lines(tmp_path, k)
        file = tmp_path / "lines.jsonl"
        whole = file.read_bytes()
        file.write_bytes(whole[:-cut])
        assert list(Lines(file).known) == ["1"] and file.read_bytes() == whole[: whole.index(b"\n") + 1]
        stores.write_lines(tmp_path, 2)
        assert file.read_bytes() == whole

    @pytest.mark.parametrize("text", [b"mine", b"mine\n", b"{}", b'["a", 1]\nmine'])
    def test_a_foreign_file_stays_as_it_is(self, tmp_path: Path, text: bytes) -> None:
        (tmp_path / "lines.jsonl").write_bytes(text)
        with pytest.raises(ValueError, match=r"lines\.jsonl.*(move it elsewhere|delete the file)"):
            Lines(tmp_path / "lines.jsonl")
        assert (tmp_path / "lines.jsonl").read_bytes() == text

    def test_a_line_of_something_else_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "lines.jsonl"
        stores.write_lines(tmp_path, 1)
        file.write_bytes(file.read_bytes() + b'{"other": 1}\n')
        with pytest.raises(ValueError, match=r"lines.jsonl, line 2 holds no record that was written here .* delete"):
            Lines(file)
