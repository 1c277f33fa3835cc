"""Selection among 100,000 candidates and more, in 1,024 dimensions and against 1,000 targets, and its rivals."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from planted import Planted

from trl_curriculum.selection import TSDS, EvoSelect, Features, Selection, Sinkhorn, shares


ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "runs" / "selection_speed"
D, M, KEEP, EPSILON, TOLERANCE = 1024, 1000, 0.2, 0.05, 1e-3
THOUSAND = 1000
CASES = [
    *(f"evoselect {n}" for n in (100 * THOUSAND, 300 * THOUSAND, 1000 * THOUSAND)),
    f"evoselect_tight {100 * THOUSAND}",
    *(f"{name} {n}" for n in (10 * THOUSAND, 100 * THOUSAND) for name in ("sinkhorn", "pot")),
    *(f"tsds {n}" for n in (10 * THOUSAND, 20 * THOUSAND, 50 * THOUSAND, 100 * THOUSAND)),
]


def gigabytes() -> float:
    """Largest resident size of this process so far; pages of mapped files that were read count."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Clock:
    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def told(self, name: str) -> dict[str, float]:
        return {
            f"{name}_s": time.perf_counter() - self.wall,
            f"{name}_processor_s": time.process_time() - self.cpu,
        }


def load(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    stored = np.load(FILES / f"{n}.npy", mmap_mode="c")
    return torch.from_numpy(stored), Planted(0, n, D, M).targets


def selected(n: int, method: str) -> dict[str, Any]:
    pool = Planted(0, n, D, M)
    features, k = Features(load(n)[0], pool.targets), round(KEEP * n)
    clock = Clock()
    chosen: Selection
    if method == "tsds":
        chosen = TSDS()(features, k)
    else:
        chosen = EvoSelect(**{"tolerance": TOLERANCE / 10} if method == "evoselect_tight" else {})(features, k)
    told = clock.told("run")
    np.save(FILES / f"{method}-{n}.npy", chosen.row)
    return told | {"told": chosen.report, "shares": shares(chosen.row, pool.label)}


def solved(n: int) -> dict[str, Any]:
    candidates, targets = load(n)
    clock = Clock()
    transport = Sinkhorn(candidates, targets, EPSILON)
    told = clock.told("build")
    clock = Clock()
    found = transport.solve(torch.full((n,), 1 / n), TOLERANCE)
    return told | clock.told("run") | {"passes": found.passes, "error": found.error, "value": found.value}


def solved_by_pot(n: int) -> dict[str, Any]:
    """Plain Sinkhorn of POT, in double precision, stopped where the same tolerance is reached: L1 <= sqrt(m) L2."""
    import ot

    candidates, targets = load(n)
    right = targets.double().numpy().T
    clock = Clock()
    cost = np.empty((n, M))
    for begin in range(0, n, 10 * THOUSAND):
        cost[begin : begin + 10 * THOUSAND] = 1 - candidates[begin : begin + 10 * THOUSAND].double().numpy() @ right
    told = clock.told("build")
    w, b = np.full(n, 1 / n), np.full(M, 1 / M)
    clock = Clock()
    plan, log = ot.sinkhorn(w, b, cost, EPSILON, stopThr=TOLERANCE / M**0.5, numItermax=2000, log=True)
    told |= clock.told("run")
    value = EPSILON * float(w @ np.log(log["u"] / w) + b @ np.log(log["v"] / b))
    error = float(np.abs(plan.sum(axis=0) - b).sum())
    return told | {"passes": 2 * (log["niter"] + 1), "error": error, "value": value}


def child(case: str) -> None:
    name, size = case.split()
    n = int(size)
    told = {"sinkhorn": solved, "pot": solved_by_pot}.get(name, lambda n: selected(n, name))(n)
    print(json.dumps({"n": n, "threads": torch.get_num_threads(), **told, "gb": gigabytes()}))


def measure_scale() -> dict[str, Any]:
    FILES.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for n in sorted({int(case.split()[1]) for case in CASES}):
        file = FILES / f"{n}.npy"
        Planted(0, n, D, M).write(file)
        for case in (case for case in CASES if int(case.split()[1]) == n):
            load_before = os.getloadavg()[0]
            script = str(Path(__file__).with_name("selection.py"))
            done = subprocess.run(
                [sys.executable, script, "--case", case], stdout=subprocess.PIPE, text=True, check=True
            )
            results[case] = {"load_before": round(load_before, 2), **json.loads(done.stdout.splitlines()[-1])}
            print(case, json.dumps(results[case]), flush=True)
        file.unlink()
    rows = [np.load(FILES / f"{name}-{100 * THOUSAND}.npy") for name in ("evoselect", "evoselect_tight")]
    return {"cases": results, "overlap_with_tight": len(np.intersect1d(*rows)) / len(rows[0])}
