"""
Fuzzes options, rows, files and states: `python tests/fuzz/fuzz.py`, or `--replay SEED` for one input.
"""

import os


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import argparse
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path


TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "cases"), str(TESTS / "fuzz")]

import fuzz_options
import fuzz_files
import fuzz_rows
import fuzz_states
import make_models
from fuzz_kit import BAD, GOOD, Input, Runner, Verdict, quiet

from trl_curriculum import CurriculumGRPOTrainer, CurriculumSFTTrainer
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.scripts import plan, train


KINDS = {"options": (fuzz_options.make, 1500), "rows": (fuzz_rows.make, 900), "files": (fuzz_files.make, 500), "states": (fuzz_states.make, 500)}
WARM = (CurriculumGRPOTrainer, CurriculumSFTTrainer, plan, train)  # imported once, before the forks


def make_input(seed: str) -> Input:
    """The input of a seed such as `options:17`."""
    return KINDS[seed.split(":")[0]][0](random.Random(seed))


def one(job: tuple[Path, str]) -> Verdict:
    home, seed = job
    try:
        return Runner(home).run(seed, make_input(seed))
    except Exception as error:
        text = f"{type(error).__name__}: {error} at {traceback.format_exc().splitlines()[-3].strip()}"
        return Verdict(seed, "harness", "harness", text[:600], "", "")


def run_all(seeds: list[str], home: Path, jobs: int) -> list[Verdict]:
    """Runs inputs in forks of this process, which has imported everything."""
    found: list[Verdict] = []
    start = time.monotonic()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for verdict in pool.imap_unordered(one, [(home, seed) for seed in seeds], chunksize=1):
            found.append(verdict)
            if len(found) % 50 == 0:
                counts = Counter(v.kind for v in found)
                print(f"{len(found)}/{len(seeds)} {time.monotonic() - start:.0f} s {dict(counts)}", flush=True)
    return sorted(found, key=lambda v: (v.seed.split(":")[0], int(v.seed.split(":")[1])))


def make_home(folder: Path) -> Path:
    """A folder with what all inputs share."""
    with quiet():
        make_models.make(folder / "models")
        for script in ("grpo", "sft", "evolve", "select_rows"):
            load_recipe(script)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--share", type=float, default=1.0, help="Share of the inputs of each kind.")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--replay", nargs="+", help="Seeds of inputs to run again, with all that they say.")
    parser.add_argument("--out", type=Path, help="JSON file of all verdicts.")
    args = parser.parse_args()
    home = make_home(Path(tempfile.mkdtemp(prefix="fuzz-")))
    try:
        if args.replay:
            for seed in args.replay:
                given = make_input(seed)
                verdict = Runner(home).run(seed, given, keep=True)
                folder = home / "runs" / seed.replace(":", "-")
                print(f"== {seed}: {given.what} [{given.allowed}; tokens {given.tokens}]")
                print(*given.words, (folder / "config.yaml").read_text(errors="replace")[:3000], sep="\n")
                print((folder / ".stdout").read_text()[-2000:], (folder / ".stderr").read_text()[-4000:], sep="\n--\n")
                print(verdict)
            return 0
        seeds = [f"{kind}:{k}" for kind in args.kinds for k in range(round(KINDS[kind][1] * args.share))]
        found = run_all(seeds, home, args.jobs)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if args.out:
        args.out.write_text(json.dumps([asdict(v) for v in found], indent=0))
    counts = Counter(v.kind for v in found)
    for kind in (*GOOD, *BAD, "harness"):
        print(f"{kind:<10}{counts[kind]}")
    return int(any(counts[kind] for kind in BAD))


if __name__ == "__main__":
    sys.exit(main())
