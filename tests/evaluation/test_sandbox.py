"""What generated programs may do, which is compute; everything else is a failure of the one program."""

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from trl_curriculum.evaluation import sandbox
from trl_curriculum.evaluation.sandbox import NoSandboxError, check_sandbox, run


FORKS = "import os\nwhile True:\n    os.fork()"
FILES = "for k in range(100):\n    open(f'{k}', 'wb').write(b'0' * (1 << 22))"
HARMLESS = {
    "computes": "assert sum(range(5)) == 10",
    "imports what is installed": "import numpy\nassert numpy.ones(3).sum() == 3",
    "prints": "print('x' * 100_000)",
    "writes where it may": "import tempfile\nwith tempfile.NamedTemporaryFile() as file:\n    file.write(b'1')",
    "has a child": "import os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)",
}
FAILS = {
    "is wrong": ("assert 1 == 2", "AssertionError"),
    "is no program": ("def", "SyntaxError"),
    "ends before its tests": ("import sys\nsys.exit(0)\nassert False", "SystemExit"),
    "ends at once": ("import os\nos._exit(0)", "it ended before its end"),
    "writes a big file": ("open('big', 'wb').write(b'0' * (1 << 26))", "OSError"),
    "writes many files": (FILES, "OSError"),
    "writes to what it sees": ("open('/usr/x', 'w')", "OSError"),
    "writes to the packages": ("open('/packages/x', 'w')", "OSError"),
    "writes to its disk": ("open('/x', 'w')", "OSError"),
    "takes memory": ("bytearray(1 << 31)", "MemoryError"),
    "makes processes": (FORKS, "BlockingIOError"),
    "reads who it is": ("open('/etc/passwd').read()", "FileNotFoundError"),
    "looks at processes": ("open('/proc/1/environ').read()", "FileNotFoundError"),
}


@pytest.mark.parametrize("program", HARMLESS.values(), ids=HARMLESS)
def test_it_passes(program: str) -> None:
    assert run(program) is None


def commands() -> list[list[str]]:
    return [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]


@pytest.mark.parametrize("program, why", FAILS.values(), ids=FAILS)
def test_it_fails(program: str, why: str) -> None:
    assert run(program) == why


@pytest.mark.parametrize("program", ["while True:\n    pass", "import time\ntime.sleep(60)"], ids=["loops", "sleeps"])
def test_it_is_killed_with_all_that_it_started(program: str) -> None:
    mark = f"/{os.getpid()}-sleeps"
    started = f"import os\nif os.fork() == 0:\n    os.execv('/bin/sleep', ['{mark}', '60'])\n{program}"
    assert run(started, wait=1.0) == "it took too long"
    until = time.monotonic() + 60
    while any(mark in line for line in map(" ".join, commands())) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(mark in line for line in map(" ".join, commands()))


def test_it_reaches_no_server_of_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()  # it listens
        why = run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)")
    assert why == "OSError"


def test_it_sees_neither_files_nor_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "token"
    secret.write_text("hf_secret")
    secret.chmod(0o644)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert run(f"open({str(secret)!r}).read()") == "FileNotFoundError"
    assert run(f"open({str(Path.home() / '.bashrc')!r}).read()") == "FileNotFoundError"
    assert run("import os\nassert 'HF_TOKEN' not in os.environ") is None
    assert run("import os\nassert not os.listdir('.') and 'home' not in os.listdir('/')") is None


def test_it_cannot_win_its_rights_back() -> None:
    mounts = "import ctypes\nassert ctypes.CDLL(None).mount(b'tmpfs', b'/usr', b'tmpfs', 0, None) == -1"
    assert run(mounts) is None
    again = "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.unshare(0x10020000)\n"
    assert run(again + "assert libc.mount(b'proc', b'/work', b'proc', 0, None) == -1") is None


def test_as_a_user_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_is_root", lambda: False)  # the way of users, which root can go as well
    assert run("assert True") is None
    assert run("import socket\nsocket.create_connection(('127.0.0.1', 1), 1)") == "OSError"
    assert run("open('/usr/x', 'w')") == "OSError"
    assert run(f"open({str(Path.home() / '.bashrc')!r}).read()") == "FileNotFoundError"


def test_a_machine_without_namespaces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_sandbox.cache_clear()
    ran, refusing = [], ["/bin/sh", "-c", "echo unshare: not permitted >&2; exit 1", "sh"]
    monkeypatch.setattr(sandbox, "_enter", lambda *args: refusing)
    with pytest.raises(NoSandboxError, match=r"this machine allows none \(unshare: not permitted\)"):
        ran.append(run("assert True"))
    check_sandbox.cache_clear()
    monkeypatch.setattr(sandbox, "COMMANDS", ("no-such-command",))
    with pytest.raises(NoSandboxError, match="no-such-command is missing"):
        ran.append(run("assert True"))
    check_sandbox.cache_clear()
    assert not ran
