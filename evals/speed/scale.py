"""
How curricula scale: time of `rows_to_probe` + `select` + `observe` of 512 rows, of a refresh, and memory, at 1,000,000
rows and more.

    python evals/speed/scale.py            # about 6 minutes and 8 GB: two cases have 100,000,000 rows
    python evals/speed/scale.py --small    # without those

Each curriculum runs in a process of its own. Over 1,000 arms, GRPO's feedback has 8 rollouts a row and SFT's one
sequence. Memory is the peak resident size of the process less that of a process which only imports the package,
content hashes of the rows included up to 1,000,000 rows.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trl_curriculum import CURRICULA, Feedback, Pool
from trl_curriculum.arms import ARMS as ARM_SOURCES
from trl_curriculum.curricula import Draw


ARMS, BATCH, GENERATIONS, STEPS = 1_000, 512, 8, 4_000
MILLION = 1_000_000


@dataclass(frozen=True)
class Case:
    curriculum: str
    options: dict[str, Any] = field(default_factory=dict)
    rows: int = MILLION
    steps: int = STEPS
    arms: bool = True
    sft: bool = False
    estimated: bool = False
    difficulty: bool = False


CASES: dict[str, Case] = {
    "uniform": Case("uniform"),
    "order, interleaved": Case("order", {"mode": "interleaved"}),
    "sec": Case("sec", {"tau": 0.2}),
    "dump": Case("dump"),
    **{name: Case(name, steps=1_000) for name in ("greso", "mopps", "cures", "lilo", "lze")},
    "adarft": Case("adarft", steps=1_000, difficulty=True),
    "e2h, 5 levels": Case("e2h", {"levels": 5}, steps=1_000, difficulty=True),
    "rmt_tiers": Case("rmt_tiers", steps=1_000, difficulty=True),
    "gain_rl": Case("gain_rl", steps=200, difficulty=True),  # a subset is two batches
    "pudf": Case("pudf", {"refresh_steps": 100}, steps=400, difficulty=True),
    "hive": Case("hive", {"candidates": 2 * BATCH}, steps=400),
    "wiki_r1, no neighbours": Case("wiki_r1", {"neighbours": 0}, steps=100),  # with them it is not for such pools
    "sec, estimated arms": Case("sec", {"tau": 0.2}, steps=50, arms=False, estimated=True),
    "evo_curate, free": Case("evo_curate", steps=400, arms=False, sft=True),
    "evo_curate, free, progress": Case("evo_curate", {"variability": "progress"}, steps=400, arms=False, sft=True),
    "evo_curate, probe, std": Case(
        "evo_curate", {"measure": "probe", "variability": "std", "refresh_steps": 200}, steps=400, arms=False, sft=True
    ),
    "evo_curate, free, no repeats": Case("evo_curate", {"replacement": False}, steps=400, arms=False, sft=True),
    "uniform, 100 million": Case("uniform", rows=100 * MILLION, steps=200, arms=False, sft=True),
    "evo_curate, free, 100 million": Case(
        "evo_curate", {"refresh_steps": 80}, rows=100 * MILLION, steps=200, arms=False, sft=True
    ),
}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def shown(case: Case, draw: Draw, step: int, rng: np.random.Generator) -> Feedback:
    if case.sft:
        loss = rng.random(len(draw))
        return Feedback(draw.row, draw.id, step, length=np.full(len(draw), 9), loss=loss, entropy=loss)
    row, ids = np.repeat(draw.row, GENERATIONS), np.repeat(draw.id, GENERATIONS)
    reward = (rng.random(len(row)) < 0.3).astype(float)
    return Feedback(row, ids, step, reward, rng.random(len(row)))


def measure(name: str) -> dict[str, float]:
    case = CASES[name]
    rng = np.random.default_rng(0)
    arm = np.arange(case.rows, dtype=np.int32) % ARMS if case.arms else None
    row_hash = np.arange(case.rows, dtype=np.uint64) if case.rows <= MILLION else None
    names = [str(k) for k in range(ARMS)] if case.arms else None
    difficulty = rng.normal(size=case.rows) if case.difficulty else None
    start = time.perf_counter()
    estimated = ARM_SOURCES.make("success_rate") if case.estimated else None
    pool = Pool(case.rows, arm, names, difficulty, row_hash, estimated)
    curriculum = CURRICULA.make({case.curriculum: case.options}).bind(pool)
    built = time.perf_counter() - start
    times, refreshes = [], []
    for step in range(case.steps):
        start = time.perf_counter()
        asked = curriculum.rows_to_probe(step / case.steps)
        looked = time.perf_counter() - start
        if asked is not None:
            losses = rng.random(len(asked))
            start = time.perf_counter()
            curriculum.observe_probe(asked, losses)
            refreshes.append(time.perf_counter() - start)
        before = getattr(curriculum, "refreshes", 0)
        start = time.perf_counter()
        draw = curriculum.select(BATCH, step / case.steps)
        middle = time.perf_counter()
        feedback = shown(case, draw, step, rng)
        again = time.perf_counter()
        curriculum.observe(feedback)
        end = time.perf_counter()
        if getattr(curriculum, "refreshes", 0) > before:
            refreshes.append(middle - start)
        times.append(1000 * (looked + end - again + middle - start))
    return {
        "rows": case.rows,
        "build_s": built,
        "median_ms": float(np.median(times)),
        "p99_ms": float(np.percentile(times, 99)),
        "max_ms": float(np.max(times)),
        "refresh_s": float(np.median(refreshes)) if refreshes else float("nan"),
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
    if len(sys.argv) > 1 and sys.argv[1] != "--small":
        print(json.dumps({"peak_bytes": peak()} if sys.argv[1] == "nothing" else measure(sys.argv[1])))
        return
    nothing = child("nothing")["peak_bytes"]
    small = "--small" in sys.argv
    results = {name: child(name) for name, case in CASES.items() if not small or case.rows <= MILLION}
    lines = [
        "| curriculum | rows | median ms | p99 ms | max ms | refresh, median s | build s | bytes a row |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        r["bytes_per_row"] = (r["peak_bytes"] - nothing) / r["rows"]
        refresh = "–" if np.isnan(r["refresh_s"]) else f"{r['refresh_s']:.3f}"
        lines.append(
            f"| {name} | {r['rows']:,} | {r['median_ms']:.2f} | {r['p99_ms']:.2f} | {r['max_ms']:.1f} | {refresh} "
            f"| {r['build_s']:.2f} | {r['bytes_per_row']:.1f} |"
        )
    print("\n".join(lines))
    folder = Path(__file__).resolve().parents[2] / "docs" / "results" / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    where = f"{os.cpu_count()} cores, {platform.machine()}"
    text = (
        f"# Scale\n\n`python evals/speed/scale.py`, {where}: `rows_to_probe` + `select({BATCH})` + `observe`. GRPO "
        f"methods: {BATCH * GENERATIONS:,} rollouts a step over {ARMS:,} arms, {STEPS:,} steps (100 to 1,000 where "
        "rows are drawn by their success or difficulty, 50 with estimated arms, which regroup all rows at every "
        "fifth); a refill of a queue is in p99 and max. SFT methods: 512 sequences, 200 to 400 steps; a "
        "refresh of all weights is in max, and what a probe costs in forwards is not in it.\n\n"
    )
    seconds = hashing()
    end = f"\n\nReading and hashing the rows at the start: {seconds:.1f} s per million rows of about 400 characters.\n"
    (folder / "scale.md").write_text(text + "\n".join(lines) + end)
    for r in results.values():
        r["refresh_s"] = None if np.isnan(r["refresh_s"]) else r["refresh_s"]
    (folder / "scale.json").write_text(json.dumps(results | {"hashing_s_per_million": seconds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
