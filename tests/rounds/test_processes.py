"""What the main process does alone, in two processes: it ends well, fails, is killed, is too slow, is not seen."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import two_processes
from harness import ENVIRONMENT, LIMIT, command
from processes import together

from trl_curriculum.disk.stages import DONE, SETTINGS


def run_both(output_dir: Path, **options: Any) -> tuple[list[int], list[dict[str, Any]]]:
    """
    Exit codes, and what each process shows; both end by themselves. As on two machines, where nobody ends the other
    process when one is gone; torchrun would.
    """
    output_dir.mkdir(exist_ok=True)

    def body(rank: int) -> None:
        sys.argv = [two_processes.__file__, str(output_dir), json.dumps(options)]
        two_processes.main()

    return [one.code for one in together(body, output_dir)], shown(output_dir)


def by_torchrun(output_dir: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    started = command(output_dir, 2, options, two_processes.__file__)
    return subprocess.run(started, env=ENVIRONMENT, capture_output=True, text=True, timeout=LIMIT)


def shown(output_dir: Path) -> list[dict[str, Any]]:
    files = [output_dir / f"shown-{k}.json" for k in range(2)]
    return [json.loads(file.read_text()) if file.exists() else {} for file in files]


def test_it_ends_well_and_is_not_done_again(tmp_path: Path) -> None:
    for _ in range(2):
        codes, _shown = run_both(tmp_path, how="ends")
        assert codes == [0, 0]
        first, second = (one["reports"] for one in shown(tmp_path))
        assert first == second and first["alone"]["made"] == 1
        assert first["alone"] == json.loads((tmp_path / "run/alone" / DONE).read_text())
    assert first["alone"]["seconds"] >= 1
    assert sorted(file.name for file in (tmp_path / "run/together").iterdir()) == ["0", "1", DONE, SETTINGS]
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["alone", "together"]


def test_its_error_is_that_of_all(tmp_path: Path) -> None:
    codes, (first, second) = run_both(tmp_path, how="raises")
    assert codes == [1, 1]
    assert first["error"] == second["error"] == ["ValueError", "Nothing can be made of this: give it something else."]
    assert not (tmp_path / "run/alone" / DONE).exists()


def test_by_torchrun_too(tmp_path: Path) -> None:
    done = by_torchrun(tmp_path, how="raises")
    assert done.returncode == 1
    told = [one["error"][1] for one in shown(tmp_path) if one]  # torchrun ends the other when one has failed
    assert told and set(told) == {"Nothing can be made of this: give it something else."}


def test_an_error_that_is_not_one_of_ours(tmp_path: Path) -> None:
    _, (first, second) = run_both(tmp_path, how="raises what is its own")
    assert first["error"] == ["KeyError", "'missing'"]
    assert second["error"] == ["RuntimeError", "The main process failed with KeyError('missing')."]


def test_it_is_killed(tmp_path: Path) -> None:
    codes, (_, second) = run_both(tmp_path, how="is killed")
    assert codes == [-signal.SIGKILL, 1]
    kind, words = second["error"]
    assert kind == "ProcessLostError"
    assert words.startswith("The main process has ended: its log says why; start the run again")
    _, (first, second) = run_both(tmp_path, how="ends")
    assert first == second and first["reports"]["alone"]["made"] == 1


def test_it_takes_too_long(tmp_path: Path) -> None:
    _, (_, second) = run_both(tmp_path, how="takes too long", longest=3)
    kind, words = second["error"]
    assert kind == "ProcessLostError" and words.startswith("The main process did not answer for 0:00:03: see what")


@pytest.mark.parametrize("both_exist", [False, True])
def test_folders_that_are_not_shared(tmp_path: Path, both_exist: bool) -> None:
    if both_exist:
        (tmp_path / "1").mkdir()
    codes, (first, second) = run_both(tmp_path, how="ends", separate=True)
    assert codes == [1, 1] and first["error"][0] == second["error"][0] == "ValueError"
    assert f"Process 1 on {socket.gethostname()} does not see what process 0 on" in second["error"][1]
    for rank, one in enumerate((first, second)):
        assert one["error"][1].endswith(
            f"writes to {tmp_path / str(rank)}: give an output_dir on a disk that all processes share."
        )
        assert not (tmp_path / str(rank)).exists() or not any((tmp_path / str(rank)).iterdir())


def test_somebody_elses_folder_is_refused_by_both(tmp_path: Path) -> None:
    theirs = tmp_path / "run/together" / SETTINGS
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"editor.fontSize": 14}')
    codes, (first, second) = run_both(tmp_path, how="ends")
    assert codes == [1, 1] and first["error"] == second["error"]
    assert "together has no settings.json that this package has written" in first["error"][1]
    assert theirs.read_text() == '{"editor.fontSize": 14}' and not (tmp_path / "run/alone").exists()
