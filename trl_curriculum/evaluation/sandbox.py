"""
Generated programs, run where they can harm nothing: no network, no files of this machine, little time and memory.

Linux namespaces do it, made by the commands of util-linux; no privileges are needed where users may make namespaces of
their own. A program sees a disk in memory with Python and the system's libraries, to which it cannot write. Of root it
has another user, since the number of root's processes knows no limit.
"""

import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy


CPU_SECONDS = 5  # of a program (code_eval, by which HumanEval is mostly measured, allows 3 of any clock)
WAIT_SECONDS = 30.0  # for a program that waits, on a machine that may be busy
MEMORY = 1 << 30  # bytes of addresses, of each process
FILE = 1 << 24  # bytes of a file
PROCESSES = 16  # with their threads
KILLED = (-9, 137)  # codes of a command that was killed
USERS = 1 << 30  # numbers from here on are nobody's
COMMANDS = ("timeout", "unshare", "mount", "umount", "pivot_root", "setpriv")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")

ENTER = """
set -eu
umask 022
root=$1 packages=$2 folders=$3 user=$4
shift 4
mount -t tmpfs -o size=1m,mode=755,nosuid,nodev tmpfs "$root"
show() {
  mkdir -p "$root$2"
  mount --rbind "$1" "$root$2"
  mount -o remount,bind,ro,nosuid,nodev "$root$2"
}
IFS=:
for folder in $folders; do
  if [ -L "$folder" ]; then ln -s "$(readlink "$folder")" "$root$folder"; else show "$folder" "$folder"; fi
done
show "$packages" /packages
mkdir -p "$root/dev" "$root/work" "$root/old" "$root/proc"
for one in null urandom; do : > "$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"; done
mount --rbind /proc "$root/proc"
mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev tmpfs "$root/work"
cd "$root"
pivot_root . old
umount -l /old
umount -l /proc
rmdir /old /proc
mount -o remount,bind,ro / 2> /dev/null || chmod 555 /
cd /work
IFS=' '
exec setpriv $user --pdeathsig KILL --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
"""

# Says that it has begun, and the word that it alone knows once the program has ended as programs should; `sys.exit` is
# no such end.
RUN = """
import json, os, resource, sys
given = json.load(sys.stdin)
for name, limit in given["limits"].items():
    resource.setrlimit(getattr(resource, name), (limit, limit))
sys.path.append("/packages")
os.write(1, b"begun ")
answer, nothing = os.dup(1), os.open("/dev/null", os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(nothing, number)
said, own = given["word"], os.getpid()
try:
    exec(compile(given["program"], "<program>", "exec"), {"__name__": "__main__"})
except BaseException as error:
    said = type(error).__name__
if os.getpid() == own:  # and not a process that the program has made
    os.write(answer, said.encode(errors="replace")[:200])
os._exit(0)
"""


class NoSandboxError(OSError):
    """This machine allows no sandbox; the message says what is missing."""


def run(program: str, wait: float = WAIT_SECONDS) -> str | None:
    """
    Runs a Python program in a sandbox.

    Args:
        program (`str`):
            Its text.
        wait (`float`, *optional*, defaults to `30.0`):
            Seconds until it must have ended; it may compute for 5 of them.

    Returns:
        `str` or `None`: what went wrong, such as `"AssertionError"`, or `None` where it came to its end.

    Raises:
        [`NoSandboxError`]: where the sandbox itself cannot be made. Nothing has run then.
    """
    check_sandbox()
    return _run(program, wait)


@functools.cache
def check_sandbox() -> None:
    """
    Refuses a machine without what the sandbox is made of.

    Raises:
        [`NoSandboxError`]: in one sentence that says what is missing.
    """
    missing = [name for name in COMMANDS if shutil.which(name, path=PATH) is None]
    if not sys.platform.startswith("linux") or missing:
        what = f"{missing[0]} is missing" if sys.platform.startswith("linux") else f"this is {sys.platform}"
        raise NoSandboxError(
            f"Generated code runs in a sandbox alone, which is made of Linux namespaces by util-linux, and {what}: "
            "evaluate code tasks on another machine."
        )
    _run("", WAIT_SECONDS)


def _run(program: str, wait: float) -> str | None:
    word = secrets.token_hex(16)
    limits = {"RLIMIT_CPU": CPU_SECONDS, "RLIMIT_AS": MEMORY, "RLIMIT_FSIZE": FILE, "RLIMIT_NPROC": PROCESSES}
    limits["RLIMIT_CORE"] = 0
    given = json.dumps({"word": word, "program": program, "limits": limits})
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as failed:
        done = subprocess.run(
            [*_enter(root, wait), os.path.realpath(_python()), "-I", "-S", "-c", RUN],
            input=given.encode(errors="surrogatepass"),
            stdout=said,
            stderr=failed,
            env={"PATH": PATH, "HOME": "/work", "TMPDIR": "/work", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
            cwd="/",
            start_new_session=True,
            check=False,
        )
        said.seek(0)
        failed.seek(0)
        answer, why = (file.read(400).decode(errors="replace").strip() for file in (said, failed))
    begun, _, answer = answer.partition(" ")
    if begun != "begun":
        first = next(iter(why.splitlines()), "it did not say why")
        raise NoSandboxError(
            f"Generated code runs in a sandbox alone, and this machine allows none ({first}): in a container allow "
            "user namespaces, or evaluate code tasks elsewhere."
        )
    if answer == word:
        return None
    return answer or ("it took too long" if done.returncode in KILLED else "it ended before its end")


def _enter(root: str, wait: float) -> list[str]:
    """
    What runs the command that follows it in a sandbox, whose disk is mounted at `root`, for some seconds: a program
    ends with them, even where this process was killed.
    """
    folders = [folder for folder in SYSTEM if os.path.lexists(folder)]
    home = os.path.realpath(sys.base_prefix)
    if not any(Path(home).is_relative_to(folder) for folder in SYSTEM):
        folders.append(home)
    namespaces = ["--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child"]
    user = ""
    if _is_root():
        number = USERS + secrets.randbelow(USERS)
        user = f"--reuid={number} --regid={number} --clear-groups"
    else:
        namespaces += ["--user", "--map-root-user"]
    packages = str(Path(numpy.__file__).resolve().parents[1])
    return [
        "timeout",
        "--signal=KILL",
        str(wait),
        "unshare",
        *namespaces,
        "/bin/sh",
        "-c",
        ENTER,
        "sh",
        root,
        packages,
        ":".join(folders),
        user,
    ]


def _is_root() -> bool:
    """Whether this is root itself, and not a user who is called so in a namespace."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]


def _python() -> str:
    """The interpreter itself, not that of a virtual environment, whose configuration is not in the sandbox."""
    return getattr(sys, "_base_executable", None) or sys.executable
