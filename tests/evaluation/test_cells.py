"""Cells as processes: they fail alone, are stopped with all that they have started, and are not run twice."""

import fcntl
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from trl_curriculum.evaluation import cells
from trl_curriculum.evaluation.cells import Cells, Launcher, why
from trl_curriculum.evaluation.grid import make_grid


BASE = {"curriculum": "uniform", "max_steps": 4, "save_strategy": "no"}


class Shell:
    """Starts a shell in place of a run; it finds its recipe in `$1`, and its log is where it writes."""

    def __init__(self, script: str) -> None:
        self.script, self.started = script, []

    def __call__(self, command: str, recipe: Path, log: Path, kept: int, slot: int) -> subprocess.Popen[bytes]:
        self.started.append((recipe.parent.relative_to(recipe.parents[2]).as_posix(), slot))
        with open(log, "ab") as file:
            words = ["sh", "-c", self.script, "sh", str(recipe)]
            return subprocess.Popen(words, stdout=file, stderr=file, pass_fds=(kept,), start_new_session=True)


def made(folder: Path, script: str, jobs: int = 1, **base: Any) -> tuple[Cells, Shell]:
    start = Shell(script)
    return Cells("grpo", make_grid(["sec"], [0, 1], BASE | base, folder), jobs, start), start


def test_every_cell_runs_once(tmp_path: Path) -> None:
    run, shell = made(tmp_path, "mkdir -p $(dirname $1)/checkpoint-1/curriculum_state", jobs=2)
    run.refuse_changed()
    run.run()
    names = [f"{method}/seed-{seed}" for seed in (0, 1) for method in ("uniform", "sec", "placebo-sec")]
    assert sorted(name for name, _ in shell.started) == sorted(names) and {slot for _, slot in shell.started} == {0, 1}
    assert run.failed == {} and [cell.name for cell in run.finished()] == names
    again, shell = made(tmp_path, "exit 1")
    again.run()
    assert (again.failed, shell.started) == ({}, [])


def test_what_fails_ends_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "echo noise; echo 'grpo.py: It is wrong.'; echo more noise; exit 1"
    run, shell = made(tmp_path, f"case $1 in *sec/seed-0*) {said};; esac")
    run.run()
    assert run.failed == dict.fromkeys(("sec/seed-0", "placebo-sec/seed-0"), "grpo.py: It is wrong")
    assert len(shell.started) == 6 and len(run.finished()) == 4
    assert (
        f"sec/seed-0 failed: grpo.py: It is wrong (see {tmp_path / 'sec/seed-0/log.txt'})" in capsys.readouterr().err
    )
    again, shell = made(tmp_path, "exit 0")
    again.run()
    assert [name for name, _ in shell.started] == ["sec/seed-0", "placebo-sec/seed-0"] and not again.failed


def test_why_a_process_failed(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert why(log, 3) == "it ended with 3 and said nothing"
    assert why(log, -9) == "it was ended by the signal SIGKILL"
    log.write_text("grpo.py: Before.\n")
    said = len(log.read_bytes())
    log.write_text("grpo.py: Before.\nValueError: it broke\n\n")
    assert why(log, 1) == "grpo.py: Before" and why(log, 1, said) == "ValueError: it broke"


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused(tmp_path: Path, finished: bool) -> None:
    run, _ = made(tmp_path, "exit 0" if finished else "exit 1")
    run.run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    run, shell = made(tmp_path, "exit 0", max_steps=5)
    with pytest.raises(ValueError) as error:
        run.refuse_changed()
    words = "was made with recipe.max_steps=4, and now it is 5: use another output_dir, or the same settings to go on."
    assert words in str(error.value) and str(tmp_path / "uniform/seed-0") in str(error.value)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.json")} and not shell.started


def test_a_grid_may_grow(tmp_path: Path) -> None:
    made(tmp_path, "exit 0")[0].run()
    shell = Shell("exit 0")
    run = Cells("grpo", make_grid(["sec", "dump"], [0, 1, 2], BASE, tmp_path), 1, shell)
    run.refuse_changed()
    run.run()
    new = {"dump", "placebo-dump"}
    assert len(shell.started) == 9 and all(
        name.split("/")[0] in new or name.endswith("seed-2") for name, _ in shell.started
    )


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "sec" / "seed-1" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ValueError, match="may be somebody else's"):
        made(tmp_path, "exit 0")[0].refuse_changed()
    assert mine.read_text() == "mine"


def test_a_cell_that_another_process_runs_is_not_run_twice(tmp_path: Path) -> None:
    run, shell = made(tmp_path, "exit 0")
    cell = run.grid.cells[1]
    run.stage(cell).begin()
    with open(cell.folder / ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run.run()
    assert list(run.failed) == ["sec/seed-0"] and "still runs it" in run.failed["sec/seed-0"]
    assert len(shell.started) == 5


def test_a_process_keeps_its_cell_when_the_comparison_is_gone(tmp_path: Path) -> None:
    """The lock is the process's own: who started it has let it go."""
    run, _ = made(tmp_path, "read line < $(dirname $1)/pipe")
    cell = run.grid.cells[0]
    run.stage(cell).begin()
    os.mkfifo(cell.folder / "pipe")
    (running,) = run._begin(cell, {0}, None)
    with open(cell.folder / ".lock") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (cell.folder / "pipe").write_text("go\n")
    running.process.wait(60)  # type: ignore[attr-defined]
    with open(cell.folder / ".lock") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_was_started_ends_with_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what a run has started itself: a launcher's own processes would go on training."""
    run, _ = made(tmp_path, "sleep 600 & echo $! > $(dirname $1)/child; wait")
    child = run.grid.cells[0].folder / "child"

    def look(seconds: float) -> None:
        if child.exists() and child.read_text().endswith("\n"):
            raise KeyboardInterrupt
        real(seconds)

    real = time.sleep
    monkeypatch.setattr(cells.time, "sleep", look)
    with pytest.raises(KeyboardInterrupt):
        monkeypatch.setattr(cells, "stop", lambda processes, stop=cells.stop: (monkeypatch.undo(), stop(processes)))
        run.run()
    pid = int(child.read_text())
    until = time.monotonic() + 60
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert run.finished() == [] and run.failed == {}


def test_how_a_run_is_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import os, sys; print(sys.argv[1:], os.getsid(0) == os.getpid(), os.environ.get('CUDA_VISIBLE_DEVICES'))"
    )
    monkeypatch.setattr(cells, "PROGRAM", f"{program}; os.fstat(int(os.environ['KEPT']))")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7,8")
    kept = os.open(tmp_path, os.O_RDONLY)
    monkeypatch.setenv("KEPT", str(kept))
    recipe = tmp_path / "recipe.yaml"
    for jobs, slot, port, devices in ((1, 0, [], "4,5,6,7,8"), (2, 1, ["--main_process_port", "0"], "6,7")):
        log = tmp_path / f"{jobs}.txt"
        process: Any = Launcher(jobs)("sft", recipe, log, kept, slot)
        assert process.wait(60) == 0, log.read_text()
        assert log.read_text() == f"{['sft', '--config', str(recipe), *port]} True {devices}\n"
    os.close(kept)
    assert Launcher(6)._devices(0) == {}, "fewer GPUs than places: all are seen by all"
