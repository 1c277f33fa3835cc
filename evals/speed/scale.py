"""
How curricula scale: time of `select` + `observe` of 512 rows, and memory, at 1,000,000 rows and 1,000 arms.

    python evals/speed/scale.py

Each curriculum runs in a process of its own. Feedback has 8 rollouts a row. Memory is the peak resident size of the
process less that of a process which only imports the package, content hashes of the rows included.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from trl_curriculum import Feedback, Pool, make_curriculum


ROWS, ARMS, BATCH, GENERATIONS, STEPS = 1_000_000, 1_000, 512, 8, 4_000
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "uniform": ("uniform", {}),
    "order, interleaved": ("order", {"mode": "interleaved"}),
    "sec": ("sec", {"tau": 0.2}),
    "dump": ("dump", {}),
    "sec, estimated arms": ("sec", {"tau": 0.2, "success_bins": 5}),
}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(case: str) -> dict[str, float]:
    name, options = CASES[case]
    rng = np.random.default_rng(0)
    arm = None if "success_bins" in options else np.arange(ROWS, dtype=np.int32) % ARMS
    row_hash = np.arange(ROWS, dtype=np.uint64)
    names = None if arm is None else [str(k) for k in range(ARMS)]
    start = time.perf_counter()
    curriculum = make_curriculum(name, Pool(ROWS, arm, names, row_hash=row_hash), **options)
    built = time.perf_counter() - start
    times = []
    n = BATCH * GENERATIONS
    for step in range(STEPS if "success_bins" not in options else 50):
        reward = (rng.random(n) < 0.3).astype(float)
        advantage = rng.random(n)
        start = time.perf_counter()
        draw = curriculum.select(BATCH)
        row, ids = np.repeat(draw.row, GENERATIONS), np.repeat(draw.id, GENERATIONS)
        curriculum.observe(Feedback(row, ids, step, reward, advantage))
        times.append(1000 * (time.perf_counter() - start))
    return {
        "build_s": built,
        "median_ms": float(np.median(times)),
        "p99_ms": float(np.percentile(times, 99)),
        "max_ms": float(np.max(times)),
        "peak_bytes": peak(),
    }


def hashing(rows: int = 100_000) -> float:
    """Seconds per million rows to hash rows of a prompt of 200 characters, an answer and a level."""
    from datasets import Dataset

    prompts = [f"{i:010d}" * 20 for i in range(rows)]
    data = Dataset.from_dict({"prompt": prompts, "answer": prompts, "level": [i % 5 for i in range(rows)]})
    start = time.perf_counter()
    Pool.from_dataset(data, "level")
    return (time.perf_counter() - start) * 1_000_000 / rows


def child(argument: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, argument], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps({"peak_bytes": peak()} if sys.argv[1] == "nothing" else measure(sys.argv[1])))
        return
    nothing = child("nothing")["peak_bytes"]
    results = {case: child(case) for case in CASES}
    lines = ["| curriculum | median ms | p99 ms | max ms | build s | bytes a row |", "|---|---|---|---|---|---|"]
    for case, r in results.items():
        r["bytes_per_row"] = (r["peak_bytes"] - nothing) / ROWS
        lines.append(
            f"| {case} | {r['median_ms']:.2f} | {r['p99_ms']:.2f} | {r['max_ms']:.1f} | {r['build_s']:.2f} "
            f"| {r['bytes_per_row']:.1f} |"
        )
    print("\n".join(lines))
    folder = Path(__file__).resolve().parents[2] / "docs" / "results" / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    where = f"{os.cpu_count()} cores, {platform.machine()}"
    text = (
        f"# Scale\n\n`python evals/speed/scale.py`, {where}: `select({BATCH})` + `observe` of {BATCH * GENERATIONS:,} "
        f"rollouts over {ROWS:,} rows and {ARMS:,} arms, {STEPS:,} steps (50 with estimated arms, which regroup all "
        "rows at every fifth). A refill of a queue is in p99 and max.\n\n"
    )
    seconds = hashing()
    end = f"\n\nReading and hashing the rows at the start: {seconds:.1f} s per million rows of about 400 characters.\n"
    (folder / "scale.md").write_text(text + "\n".join(lines) + end)
    (folder / "scale.json").write_text(json.dumps(results | {"hashing_s_per_million": seconds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
