"""With labels hidden: which methods find the useful rows of the sorting ladder, at equal rollouts and equal tokens?

    python evals/learning/hidden_labels.py            # 11 methods, 5 seeds; about half a minute of one core a run
    python evals/learning/hidden_labels.py --jobs 2

The ladder and its runs are those of `ladder.py`, over 480 rows of which every method but the last sees no arm. Each
(method, seed) is one JSON in `runs/hidden_labels/`, and an interrupted experiment continues. The table goes to
`docs/results/hidden_labels/`. The seeds were used for nothing else, and no option of any method was tried on them.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from ladder import LABELS_HIDDEN, ROOT, run_all
from ladder_report import by_method
from ladder_task import hard

from trl_curriculum.disk.state import write_json
from trl_curriculum.evaluation.statistics import difference


SEEDS = (201, 202, 203, 204, 205)
AXES = {"rollouts": "rollouts", "tokens": "generated tokens"}
UNIFORM, LABELLED = "hidden_uniform", "hidden_sec"


def area(run: dict, axis: str, end: float) -> float:
    """Mean height of a run's curve of HARD over an axis, up to `end`."""
    at, height = np.array(run[axis], float), np.array([hard(passed) for passed in run["pass"]])
    inside = at < end
    at, height = np.r_[at[inside], end], np.r_[height[inside], np.interp(end, at, height)]
    return float(np.trapezoid(height, at) / end)


def table(results: list[dict]) -> str:
    """One line a method: areas under its curves at equal rollouts and tokens, against uniform, seed by seed."""
    runs = by_method(results)
    ends = {axis: min(run[axis][-1] for run in results) for axis in AXES}
    areas = {
        (name, axis): {seed: area(run, axis, ends[axis]) for seed, run in runs[name].items()}
        for name in runs
        for axis in AXES
    }
    head = ["method", "seeds", "final HARD", "rollouts with A ≠ 0", "tokens per useful rollout"]
    head += [part for axis in AXES.values() for part in (f"Δ at equal {axis}", "95 %", "wins")]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name, method in LABELS_HIDDEN.items():
        if name not in runs:
            continue
        mine = list(runs[name].values())
        useful = [run["disagree"] * run["rollouts"][-1] for run in mine]
        cells = [
            method.title,
            str(len(mine)),
            f"{np.mean([hard(run['pass'][-1]) for run in mine]):.3f}",
            f"{np.mean([run['disagree'] for run in mine]):.2f}",
            f"{np.mean([run['tokens'][-1] / n for run, n in zip(mine, useful, strict=True)]):.1f}",
        ]
        for axis in AXES:
            seeds = sorted(areas[name, axis].keys() & areas[UNIFORM, axis].keys())
            ours, theirs = ([areas[one, axis][seed] for seed in seeds] for one in (name, UNIFORM))
            if name == UNIFORM:
                cells += [f"{np.mean(ours):.3f} (its area)", "–", "–"]
            else:
                d = difference(ours, theirs)
                cells += [f"{d.mean:+.3f}", f"[{d.low:+.3f}, {d.high:+.3f}]", f"{d.wins}/{d.pairs}"]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def gained(results: list[dict], axis: str) -> dict[str, float]:
    """Of each method the share of the gain that SEC has with labels."""
    runs = by_method(results)
    end = min(run[axis][-1] for run in results)
    areas = {name: {seed: area(run, axis, end) for seed, run in mine.items()} for name, mine in runs.items()}
    gain = {
        name: float(np.mean([mine[seed] - areas[UNIFORM][seed] for seed in mine if seed in areas[UNIFORM]]))
        for name, mine in areas.items()
    }
    return {name: gain[name] / gain[LABELLED] for name in gain if name not in (UNIFORM, LABELLED)}


def report(folder: Path, results: list[dict], steps: int) -> str:
    """Writes the table and the runs, and says which method comes nearest to SEC with labels."""
    seeds = sorted({run["seed"] for run in results})
    nearest = ""
    for axis, words in AXES.items():
        shares = gained(results, axis)
        best = max(shares, key=shares.__getitem__)
        nearest += f"- at equal {words}: {LABELS_HIDDEN[best].title}, {shares[best]:.2f} of it\n"
    text = f"""# The sorting ladder without labels

Made by `python evals/learning/hidden_labels.py`: {steps} steps of 8 prompts × 8 rollouts, 480 rows, seeds {seeds}.
Two thirds of the rows are solved or impossible, and no method but the last is told which.

{table(results)}

Area: mean exact pass@1 over the hard levels (sort 11, 14, 17; never trained on: 16, 18, 19) over all rollouts that
were made, or all tokens that were generated, discarded ones included, up to the least that any run has made.
Δ and wins: against uniform, seed by seed; intervals are over seeds. Final: after the same steps, for which `refill`
makes more rollouts. Useful: of a group whose rewards differ. Options are the methods' defaults.

What comes nearest to the gain that SEC has with labels:

{nearest}"""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hidden_labels.md").write_text(text, encoding="utf-8")
    write_json(folder / "results.json", {"steps": steps, "runs": results})
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", choices=LABELS_HIDDEN, default=list(LABELS_HIDDEN))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=140, help="optimizer steps a run, a multiple of 20")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one core each")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "hidden_labels")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "hidden_labels")
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    results, _ = run_all(args.methods, args.seeds, args.steps, args.jobs, args.runs)
    print(report(args.out, [one for one in results if one["method"] in LABELS_HIDDEN], args.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
