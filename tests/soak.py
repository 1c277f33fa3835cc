"""
Runs test files again and again on a machine that is kept busy, and tells which tests failed how often.

    python tests/soak.py -n 5 --load 2 tests/lm/test_server_faults.py tests/rounds/test_processes.py

The whole suite ten times, beside whatever else the machine does: `python tests/soak.py -n 10 --load 0 -- -n 2`.
No test may depend on the machine's load: whatever fails here and passes alone has time or chance in it.
"""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections import Counter


def busy() -> None:
    """Keeps one processor busy."""
    while True:
        sum(k * k for k in range(100_000))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="+", help="Test files, or tests, as pytest takes them.")
    parser.add_argument("-n", type=int, default=5, help="How often each is run.")
    parser.add_argument("--load", type=int, default=2, help="Busy loops beside the tests.")
    parser.add_argument("--at_once", type=int, default=1, help="Runs of pytest at the same time.")
    args = parser.parse_args()
    loops = [multiprocessing.Process(target=busy, daemon=True) for _ in range(args.load)]
    for loop in loops:
        loop.start()
    failed: Counter[str] = Counter()
    start = time.monotonic()
    try:
        for k in range(0, args.n, args.at_once):
            command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--durations=0", "-p", "no:cacheprovider"]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            runs = [
                subprocess.Popen([*command, *args.tests], stdout=subprocess.PIPE, text=True, env=environment)
                for _ in range(min(args.at_once, args.n - k))
            ]
            for run in runs:
                out, _ = run.communicate()
                names = re.findall(r"^(?:FAILED|ERROR) (\S+)", out, flags=re.MULTILINE)
                if run.returncode and not names:
                    names = [f"pytest itself, code {run.returncode}: {out.strip().splitlines()[-1:]}"]
                failed.update(names)
                said = out.strip().splitlines()
                print(*(line for line in said if line.startswith("E  ")), sep="\n")
                print(f"    {said[-1] if said else run.returncode}", *names, sep="\n    ", flush=True)
            done, waiting = min(k + args.at_once, args.n), os.getloadavg()[2]
            print(f"{done}/{args.n} runs, {time.monotonic() - start:.0f} s, load {waiting:.1f} of late", flush=True)
    finally:
        for loop in loops:
            loop.terminate()
    for name, times in failed.most_common():
        print(f"{times} of {args.n} failed: {name}")
    if not failed:
        print(f"All {args.n} runs passed beside {args.load} busy loops.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
