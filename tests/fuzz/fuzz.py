"""
Fuzzes options, rows, files and states of the real commands: one sentence that names value and place, or a run that is
right.

    python tests/fuzz/fuzz.py --record after          # all inputs; counts go into docs/results/fuzz.md (make fuzz)
    python tests/fuzz/fuzz.py --replay options:17     # one input again, with all that it says
    PYTHONPATH=/elsewhere python tests/fuzz/fuzz.py   # another checkout of the package
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
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any


sys.path.insert(0, str(Path(__file__).parents[1] / "cases"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzz_files
import fuzz_options
import fuzz_rows
import fuzz_states
import make_models
from fuzz_kit import BAD, GOOD, HARMLESS, Input, Runner, Verdict, quiet

import trl_curriculum
from trl_curriculum import CurriculumGRPOTrainer, CurriculumSFTTrainer
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.scripts import plan, train


KINDS = {
    "options": (fuzz_options.make, 1500),
    "rows": (fuzz_rows.make, 750),
    "files": (fuzz_files.make, 400),
    "states": (fuzz_states.make, 360),
}
RESULTS = Path(__file__).resolve().parents[2] / "docs/results"
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


def run_all(seeds: list[str], home: Path, jobs: int, out: Path | None = None) -> list[Verdict]:
    """Runs inputs in forks of this process, which has imported everything; `out` gets one line of JSON each."""
    found: list[Verdict] = []
    start = time.monotonic()
    with (
        multiprocessing.get_context("fork").Pool(jobs) as pool,
        open(out or os.devnull, "w") as file,
    ):
        for verdict in pool.imap_unordered(one, [(home, seed) for seed in seeds], chunksize=1):
            found.append(verdict)
            print(json.dumps(asdict(verdict)), file=file, flush=True)
            if len(found) % 50 == 0:
                counts = Counter(v.kind for v in found)
                print(f"{len(found)}/{len(seeds)} {time.monotonic() - start:.0f} s {dict(counts)}", flush=True)
    return found


def make_home(folder: Path) -> Path:
    """A folder with what all inputs share."""
    with quiet():
        make_models.make(folder / "models")
        for script in ("grpo", "sft", "evolve", "select_rows"):
            load_recipe(script)
    return folder


def record(found: list[Verdict], as_name: str) -> None:
    """Writes the counts into docs/results: those of this run, beside those of the runs before."""
    root = Path(trl_curriculum.__file__).resolve().parents[1]
    commit = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    file = RESULTS / "fuzz.json"
    runs = json.loads(file.read_text()) if file.exists() else {}
    counts = {kind: dict(Counter(v.kind for v in found if v.seed.startswith(f"{kind}:"))) for kind in KINDS}
    bad: dict[str, list[str]] = {}
    for verdict in found:
        if verdict.kind in BAD:
            bad.setdefault(f"{verdict.kind}: {verdict.group}", []).append(verdict.seed)
    runs[as_name] = {"commit": commit.stdout.strip(), "counts": counts, "bad": bad}
    file.write_text(json.dumps(runs, indent=1) + "\n")
    (RESULTS / "fuzz.md").write_text(page(runs))


def page(runs: dict[str, Any]) -> str:
    """The counts of all recorded runs as a page."""
    lines = [
        "# Fuzzing",
        "",
        "Made by `make fuzz`: the real commands on seeded inputs with one fault each: options of all methods,",
        "arguments of TRL, rows of all formats, files, damaged checkpoints, histories and stage folders. The rule:",
        "one sentence that names value and place, or a run that is right: that ends as that of the input without",
        "the fault, or warns of it. Right are sentence, warning and right. Wrong are a traceback; silent, a run that",
        "ends otherwise without a word; vague, a refusal that names no value and place or is no one line; a hang.",
        "`python tests/fuzz/fuzz.py --replay SEED` runs one input again.",
        "",
    ]
    columns = (*GOOD, *BAD)
    for name, run in runs.items():
        totals: Counter[str] = Counter()
        lines += [f"## {name.capitalize()} ({run['commit']})", "", f"| inputs | number | {' | '.join(columns)} |"]
        lines.append("|---|" + "---:|" * (len(columns) + 1))
        for kind, counts in run["counts"].items():
            totals.update(counts)
            lines.append(f"| {kind} | {sum(counts.values())} | {' | '.join(str(counts.get(c, 0)) for c in columns)} |")
        lines.append(f"| all | {sum(totals.values())} | {' | '.join(str(totals[c]) for c in columns)} |")
        lines.append("")
        if run["bad"]:
            lines += ["| wrong | inputs | for example |", "|---|---:|---|"]
            worst = sorted(run["bad"].items(), key=lambda item: (-len(item[1]), item[0]))
            lines += [f"| {what} | {len(seeds)} | `{'`, `'.join(seeds[:3])}` |" for what, seeds in worst]
            lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--share", type=float, default=1.0, help="Share of the inputs of each kind.")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--replay", nargs="+", help="Seeds of inputs to run again, with all that they say.")
    parser.add_argument("--out", type=Path, help="File for the verdicts, one line of JSON each.")
    parser.add_argument("--record", help="Name of this run in docs/results/fuzz.md, such as `after`.")
    parser.add_argument("--read", type=Path, help="Verdicts of an earlier run (--out), instead of running anything.")
    parser.add_argument("--again", type=Path, help="Runs only what ended wrongly in an earlier run (--out).")
    args = parser.parse_args()
    if args.read:
        found = [Verdict(**json.loads(line)) for line in args.read.read_text().splitlines()]
        return told(found, args.record)
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
        places = [(k / KINDS[kind][1], kind, k) for kind in args.kinds for k in range(KINDS[kind][1])]
        seeds = [f"{kind}:{k}" for place, kind, k in sorted(places) if place < args.share]
        if args.again:
            before = [json.loads(line) for line in args.again.read_text().splitlines()]
            seeds = [one["seed"] for one in before if one["kind"] not in GOOD]
        found = run_all(seeds, home, args.jobs, args.out)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return told(found, args.record)


def told(found: list[Verdict], as_name: str | None) -> int:
    """Prints what came out; whether anything is wrong."""
    found = sorted(found, key=_place)
    counts = Counter(v.kind for v in found)
    for verdict in found:
        if verdict.kind in (*BAD, "harness"):
            print(f"{verdict.kind} {verdict.seed}: {verdict.what} ({verdict.allowed}): {verdict.text}")
    for kind in (*GOOD, *BAD, "harness"):
        print(f"{kind:<10}{counts[kind]}")
    refused = sum(v.kind == "sentence" and v.allowed == HARMLESS for v in found)
    print(f"(of the sentences {refused} refuse what is harmless)")
    if as_name:
        record(found, as_name)
    return int(any(counts[kind] for kind in (*BAD, "harness")))


def _place(verdict: Verdict) -> tuple[int, int]:
    kind, number = verdict.seed.split(":")
    return list(KINDS).index(kind), int(number)


if __name__ == "__main__":
    sys.exit(main())
