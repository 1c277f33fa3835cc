"""Do shapers do what they say? Entropy, pass@1 and pass@8 on the sorting ladder, against none and against placebos.

    python evals/learning/shaping.py --jobs 2     # 15 lines x 10 seeds, about 40 seconds of one core a run

The ladder and its runs are those of `ladder.py`, under `uniform`. A placebo deals the weights that its method gives
out at random, over the same tokens or rollouts. A term of the loss gives no weights, so that `siren` has none. Each
(line, seed) is one JSON in `runs/shaping/`, and an interrupted experiment continues. The table goes to
`docs/results/shaping/`. The band is set by the entropy at the start of a run with a seed that is not reported.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ladder import ROOT, Method, run_all
from ladder_report import by_method
from ladder_shaping import shaper
from ladder_task import hard

from trl_curriculum.disk.state import write_json
from trl_curriculum.evaluation.statistics import difference


SEEDS, SETTLING = (301, 302, 303, 304, 305, 311, 312, 313, 314, 315), 300
NONE = "none"
SMOOTH = 20  # steps whose mean entropy counts: that of one batch follows the arms that are in it
BAND = (0.9, 1.1)  # of the entropy of the first of them


def line(title: str, spec: Any, placebo: bool = False) -> Method:
    return Method(title, "uniform", shaping=partial(shaper, spec, placebo))


def lines(start: float) -> dict[str, Method]:
    """What is compared, with the entropy at the start of an unshaped run."""
    low, high = (float(share * start) for share in BAND)
    band = {"entrocraft": {"low": low, "high": high, "last_low": low, "last_high": high}}
    both = {"entrocraft": band, "ceeh": "ceeh", "clip_cov": {"clip_cov": {"ratio": 0.02}}, "clip_b": "clip_b"}
    both |= {"canon": "canon", "snr_top_p": "snr_top_p"}
    made = {NONE: line("none", None)}
    for name, spec in both.items():
        made |= {name: line(name, spec), f"placebo_{name}": line(f"placebo of {name}", spec, placebo=True)}
    for name, coef in {"siren": 0.005, "siren_1": 1.0}.items():
        made[name] = line(f"siren, coef {coef:g}", {"siren": {"coef": coef}})
    return made


def entropy_at_start(jobs: int, steps: int, folder: Path) -> float:
    """Mean entropy of the first steps of an unshaped run."""
    (run,), _ = run_all([NONE], [SETTLING], steps, jobs, folder, {NONE: line("none", None)})
    return float(np.mean(run["entropy"][:SMOOTH]))


def at_equal_tokens(run: dict, key: str, end: float) -> float:
    """The last height of a run's curve over generated tokens that all runs reach."""
    return float(np.interp(end, run["tokens"], [hard(passed) for passed in run[key]]))


def table(results: list[dict], known: dict[str, Method], band: tuple[float, float]) -> str:
    """One line a method: its entropy, and pass@1 and pass@8 at equal tokens, against none and its placebo."""
    runs, end = by_method(results), min(run["tokens"][-1] for run in results)

    def against(name: str, other: str, key: str) -> str:
        seeds = sorted(runs[name].keys() & runs.get(other, {}).keys())
        if not seeds or other == name:
            return "–"
        d = difference(*([at_equal_tokens(runs[one][seed], key, end) for seed in seeds] for one in (name, other)))
        return f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}], {d.wins}/{d.pairs}"

    head = ["shaper", "seeds", "entropy, last 20 steps", "steps in the band", "tokens a rollout, last 20 steps"]
    for words in ("pass@1", "pass@8"):
        head += [f"{words} HARD", f"{words} − none", f"{words} − placebo"]
    body = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name in (name for name in known if name in runs):
        mine = list(runs[name].values())
        entropy = np.array([run["entropy"] for run in mine])
        smooth = np.apply_along_axis(np.convolve, 1, entropy, np.full(SMOOTH, 1 / SMOOTH), "valid")
        inside = (smooth >= band[0]) & (smooth <= band[1])
        length = [np.diff(run["tokens"])[-1] / np.diff(run["rollouts"])[-1] for run in mine]
        cells = [known[name].title, str(len(mine)), f"{entropy[:, -SMOOTH:].mean():.3f}", f"{inside.mean():.2f}"]
        cells.append(f"{np.mean(length):.2f}")
        for key in ("pass", "pass8"):
            cells.append(f"{np.mean([at_equal_tokens(run, key, end) for run in mine]):.3f}")
            cells += [against(name, NONE, key), against(name, f"placebo_{name}", key)]
        body.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in body)


def halves(results: list[dict]) -> str:
    """How far differences of pass@1 to the placebo lie apart between the two halves of the seeds."""
    runs, end = by_method(results), min(run["tokens"][-1] for run in results)
    told = []
    for name in ("ceeh", "clip_cov", "clip_b", "canon"):
        pairs = [(runs[name][seed], runs[f"placebo_{name}"][seed]) for seed in sorted(runs[name])]
        gain = [at_equal_tokens(one, "pass", end) - at_equal_tokens(other, "pass", end) for one, other in pairs]
        first, second = np.array_split(gain, 2)
        told.append(f"`{name}` {first.mean():+.3f} and {second.mean():+.3f}")
    return (
        "The first five seeds had been looked at with another band before this one was set, the other five had not. "
        f"pass@1 − placebo in the two halves:\n{', '.join(told)}: so far apart lie means over five seeds by chance.\n"
    )


def report(folder: Path, results: list[dict], known: dict[str, Method], start: float, steps: int) -> str:
    """Writes the table and the runs."""
    low, high = (share * start for share in BAND)
    text = f"""# Shapers on the sorting ladder

Made by `python evals/learning/shaping.py`: {steps} steps of 8 prompts × 8 rollouts under `uniform`, seeds
{sorted({run["seed"] for run in results})}. An 88k-parameter model that sorts letters: nothing here is about language.

{table(results, known, (low, high))}

The band of `entrocraft` is {low:.3f} to {high:.3f} nats per token, {BAND[0]:g} to {BAND[1]:g} of the mean entropy
of the first {SMOOTH} steps of a run with seed {SETTLING}; steps in the band are those whose mean over {SMOOTH} steps
is. A placebo gives the same weights as its method, dealt out at random over the tokens or rollouts. pass@k: exact, of
the hard levels (sort 11, 14, 17; never trained on: 16, 18, 19), at equal generated tokens; differences seed by seed,
with 95 % bootstrap intervals over seeds and the seeds that were won. `clip_cov` has ratio .02 (the paper's 2e-4 of a
batch of these is one token); `siren`'s own coef is .005; all else is the methods' defaults.

{halves(results)}"""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shaping.md").write_text(text, encoding="utf-8")
    write_json(folder / "results.json", {"steps": steps, "start": start, "runs": list(map(kept, results))})
    return text


def kept(run: dict) -> dict[str, Any]:
    """What the table is made of, of one run."""
    made = {name: run[name] for name in ("method", "seed", "rollouts", "tokens")}
    made |= {key: [round(hard(passed), 5) for passed in run[key]] for key in ("pass", "pass8")}
    return made | {"entropy": [round(value, 4) for value in run["entropy"]]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=140, help="optimizer steps a run, a multiple of 20")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one core each")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "shaping")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "shaping")
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    start = entropy_at_start(args.jobs, args.steps, args.runs / "settling")
    known = lines(start)
    results, _ = run_all(list(known), args.seeds, args.steps, args.jobs, args.runs, known)
    print(report(args.out, results, known, start, args.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
