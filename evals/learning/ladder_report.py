"""From the ladder's runs to a table, a figure and a verdict. The rule was fixed before the runs were made."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from ladder_task import ARMS, hard


MIN_GAIN, MIN_WINS, MAX_PLACEBO, SEEDS = 0.025, 4, 0.02, 5
GROUPS = {"sort 1–4 (solved)": slice(0, 4), **{f"sort {ARMS[k][4:]}": slice(k, k + 1) for k in range(4, 8)}}
GROUPS |= {"hash (impossible)": slice(8, 12)}


def by_method(results: list[dict]) -> dict[str, dict[int, dict]]:
    """Results by method and seed."""
    methods: dict[str, dict[int, dict]] = {}
    for result in results:
        methods.setdefault(result["method"], {})[result["seed"]] = result
    return methods


def gains(runs: dict[int, dict], baseline: dict[int, dict], key: str = "auc") -> np.ndarray:
    """Difference to the baseline on each seed that both have."""
    return np.array([runs[seed][key] - baseline[seed][key] for seed in runs if seed in baseline])


def spread(values, sign: str = "") -> str:
    """Mean ± standard deviation over seeds."""
    values = np.asarray(values)
    sd = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():{sign}.3f}{sd}"


def verdict(results: list[dict]) -> str:
    """PASS or MISS by the rule, with no more words than the runs support."""
    runs = by_method(results)
    seeds = set.intersection(*(set(runs.get(name, {})) for name in ("uniform", "sec", "placebo")))
    if len(seeds) < SEEDS:
        return f"NOT JUDGED: uniform, SEC and the placebo share {len(seeds)} seeds; the rule needs {SEEDS}."
    sec = gains(runs["sec"], runs["uniform"])
    placebo = gains(runs["placebo"], runs["uniform"]).mean()
    wins_needed = int(np.ceil(len(sec) * MIN_WINS / SEEDS))
    rule = {
        f"ΔAUC of SEC {sec.mean():+.3f}, at least {MIN_GAIN:+.3f} is asked": sec.mean() >= MIN_GAIN,
        f"{(sec > 0).sum()} of {len(sec)} seeds won, {wins_needed} are asked": (sec > 0).sum() >= wins_needed,
        f"placebo {placebo:+.3f} from uniform, at most {MAX_PLACEBO} is allowed": abs(placebo) <= MAX_PLACEBO,
    }
    lines = [f"**{'PASS' if all(rule.values()) else 'MISS'}**", ""]
    lines += [f"- {'met' if met else 'NOT MET'}: {text}" for text, met in rule.items()]
    if all(rule.values()):
        final = [np.mean([run["final"] for run in runs[name].values()]) for name in ("sec", "uniform")]
        lines += [
            "",
            f"On a synthetic sorting ladder with two thirds useless arms, SEC reaches {final[0] / final[1]:.1f} × "
            f"uniform's final hard-level pass@1 after {results[0]['steps']} steps ({len(sec)} seeds).",
        ]
    lines += ["", "Nothing here is about real LLMs, noisy rewards or mostly useful pools."]
    if "coin_sec" in runs and "coin_uniform" in runs:
        lines += ["", coin_flip(runs["coin_sec"], runs["coin_uniform"])]
    return "\n".join(lines)


def coin_flip(sec: dict[int, dict], uniform: dict[int, dict]) -> str:
    """The known failure, told beside the win."""
    spent = np.mean([np.sum(run["spent"], axis=0) for run in sec.values()], axis=0)
    auc, final = gains(sec, uniform), gains(sec, uniform, "final")
    return (
        f"Known failure: when one impossible arm pays by a coin flip, SEC spends {spent[ARMS.index('hash5')]:.0f} of "
        f"{spent.sum():.0f} prompts on it (ΔAUC {spread(auc, '+')}, Δfinal {spread(final, '+')}, {(auc > 0).sum()} of "
        f"{len(auc)} seeds won). |A| measures disagreement, not learnability."
    )


def table(results: list[dict], methods: dict) -> str:
    """One line a method: what was reached, and what the prompts were spent on."""
    head = ["method", "seeds", "AUC HARD", "final HARD", "ΔAUC", "wins", "rollouts with A ≠ 0", *GROUPS]
    lines = [" | ".join(head), " | ".join(["---"] + ["---:"] * (len(head) - 1))]
    runs = by_method(results)
    for name, method in methods.items():
        if name not in runs:
            continue
        mine = runs[name]
        cells = [
            method.title,
            str(len(mine)),
            *(spread([run[key] for run in mine.values()]) for key in ("auc", "final")),
        ]
        delta = gains(mine, runs.get(method.baseline, {}))
        compared = name != method.baseline and len(delta)
        cells += [spread(delta, "+"), f"{(delta > 0).sum()}/{len(delta)}"] if compared else ["–", "–"]
        spent = np.sum([np.sum(run["spent"], axis=0) for run in mine.values()], axis=0) / sum(
            np.sum(run["spent"]) for run in mine.values()
        )
        cells += [f"{np.mean([run['disagree'] for run in mine.values()]):.2f}"]
        cells += [f"{spent[group].sum():.2f}" for group in GROUPS.values()]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def figure(results: list[dict], methods: dict, file: Path) -> None:
    """HARD pass@1 of the labelled methods over steps, and where SEC's prompts went."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    runs = by_method(results)
    for name, method in methods.items():
        if name in runs and method.baseline == "uniform":
            at = next(iter(runs[name].values()))["at"]
            curves = np.array([[hard(passed) for passed in run["pass"]] for run in runs[name].values()])
            mean, sd = curves.mean(0), curves.std(0, ddof=1) if len(curves) > 1 else 0
            width = 2.5 if name in ("uniform", "sec") else 1.2
            (line,) = left.plot(at, mean, label=f"{method.title} ({len(curves)})", linewidth=width)
            left.fill_between(at, mean - sd, mean + sd, color=line.get_color(), alpha=0.12, linewidth=0)
    left.set(xlabel="optimizer step", ylabel="exact pass@1, mean of the hard levels", ylim=(0, None))
    left.set_title("Sorting 11–19 letters (16, 18, 19 never trained on); band: 1 sd over seeds", fontsize=10)
    left.legend(fontsize=8)
    if "sec" in runs:
        spent = np.mean([run["spent"] for run in runs["sec"].values()], axis=0)
        share = spent / spent.sum(1, keepdims=True)
        bottom, x = np.zeros(len(share)), np.arange(len(share))
        for (label, group), color in zip(GROUPS.items(), plt.cm.viridis(np.linspace(0, 0.9, 6)), strict=True):
            height = share[:, group].sum(1)
            right.bar(
                x, height, bottom=bottom, label=label, color="lightgrey" if "hash" in label else color, width=0.9
            )
            bottom += height
        at = next(iter(runs["sec"].values()))["at"]
        right.set_xticks(x, [f"{a}–{b}" for a, b in pairwise(at)], fontsize=8)
        right.set(xlabel="optimizer steps", ylabel="share of prompts", ylim=(0, 1))
        right.set_title(f"Where the prompts of {methods['sec'].title} went", fontsize=10)
        right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    fig.savefig(file, dpi=120)
    plt.close(fig)


def write_report(folder: Path, results: list[dict], gate: dict, methods: dict) -> str:
    """Writes `results.json`, `ladder.md` and `ladder.png`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = [seed for seed, failures in gate["tried"].items() if failures]
    levels = ", ".join(f"{level} {passed:.3f}" for level, passed in gate["pass"].items() if "sort" in level)
    seeds = sorted({result["seed"] for result in results})
    page = f"""# The sorting ladder

Made by `python evals/learning/ladder.py`: {results[0]["steps"]} steps of 8 prompts × 8 rollouts, seeds {seeds}.

{verdict(results)}

{table(results, methods)}

Mean ± sd over seeds. HARD: mean exact pass@1 over sort 11, 14, 17 and, never trained on, 16, 18, 19. AUC: its mean
height over the steps. ΔAUC and wins: against uniform on the same pool and rewards, seed by seed. A ≠ 0: share of
rollouts whose group disagreed. Last columns: share of all prompts.

The ladder was built so that an effect can be seen: two thirds of its arms teach nothing. τ = .2 was found on it, with
other seeds and another warm-up; τ = 1 is the paper's. Easy to hard is weak partly by construction: its last third has
impossible arms only. The arms' prior is uniform where they are given and by prevalence where they are estimated.

All runs start from one model, warmed up with seed {gate["seed"]}: {levels}; HARD {gate["hard"]:.3f}.
Warm-up seeds that failed the gate before it: {failed or "none"}.

![HARD pass@1 over steps, and where SEC's prompts went](ladder.png)
"""
    figure(results, methods, folder / "ladder.png")
    (folder / "ladder.md").write_text(page)
    (folder / "results.json").write_text(json.dumps({"gate": gate, "runs": results}, indent=None) + "\n")
    return page


def smoke_verdict(results: list[dict], gap: float = 0.03, ratio: float = 1.8) -> int:
    """0 if the effect is still there after a change: SEC's mean gap in AUC, and how often its groups disagree."""
    runs = by_method(results)
    delta = gains(runs["sec"], runs["uniform"]).mean()
    sec, uniform = (np.mean([run["disagree"] for run in runs[name].values()]) for name in ("sec", "uniform"))
    passed = delta > gap and sec > ratio * uniform
    print(
        f"{'PASS' if passed else 'MISS'}: mean gap in AUC {delta:+.3f} (must exceed {gap}), rollouts with non-zero "
        f"advantage {sec:.2f} against {uniform:.2f}: × {sec / uniform:.2f} (must exceed {ratio})"
    )
    return 0 if passed else 1
