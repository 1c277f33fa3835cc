"""Tables, figure and page of `prefix_entropy.py`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from prefix_entropy_data import KINDS, TEMPERATURE, TOP_P, WHOLE
from prefix_entropy_methods import CHOSEN, METHODS, SHARE, judge
from prefix_entropy_notes import HEAD, METHOD_NOTES, NOTES, SECONDS_NOTES, TRUNCATED_NOTES, USEFUL_NOTES
from prefix_entropy_scores import LENGTHS, Pool, against, agreement, bootstrap, interval, rank_correlation, reliability


AGGREGATIONS = {"mean": 1.0, "top 20 %": 0.2}
NAMES = {"mixed": "8 tasks", "one": "one task"}


def lines(head: list[str], rows: list[list[str]]) -> str:
    table = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def both(value: np.ndarray) -> str:
    return f"{value[0]:.2f} ({value[1]:.2f})"


def lengths_table(pools: list[Pool], results: dict) -> str:
    """Cross-run correlation by prefix length as a share of the reliability, over all rows and (within tasks)."""
    rows = []
    for pool, prompt, target in (
        (pools[0], "plain", "plain"),
        (pools[1], "plain", "plain"),
        (pools[2], "plain", "plain"),
        (pools[2], "quick", "quick"),
        (pools[2], "quick", "plain"),
    ):
        whole = np.mean([pool.tokens(run, prompt=target).mean() for run in (0, 1)])
        for name, share in AGGREGATIONS.items():
            most = agreement(reliability(pool, share, target), pool.rows)
            for run, kind in ((None, "sampled"), (2, "greedy")):
                cells, saved = [], []
                for length in LENGTHS:
                    pairs = against(
                        pool,
                        lambda r, run=run, n=length, s=share, p=prompt, pool=pool: pool.score(
                            r if run is None else run, n, s, prompt=p
                        ),
                        share,
                        target,
                    )
                    cells.append(agreement(pairs, pool.rows) / most)
                    used = [pool.tokens(r, length, prompt).mean() for r in ((0, 1) if run is None else (2,))]
                    saved.append(1 - np.mean(used) / whole)
                title = NAMES[pool.name] + (f", {len(pool.task)} prompts" if pool is pools[2] else "")
                label = f"{title}: {prompt} → whole {target}, {name}, {kind}"
                results[label] = {
                    "reliability": most.tolist(),
                    "ratio": dict(zip(map(str, LENGTHS), [c.tolist() for c in cells], strict=True)),
                    "saved": dict(zip(map(str, LENGTHS), saved, strict=True)),
                }
                end = " / ".join(f"{100 * s:.0f}" for s in saved) + " %"
                rows.append([label, both(most), *map(both, cells), end])
    return lines(["pool, prompt, score, prefix", "reliability", *(f"L = {n}" for n in LENGTHS), "tokens saved"], rows)


def truncation_table(pools: list[Pool], results: dict) -> str:
    rows = []
    for pool in pools[:2]:
        for name, share in AGGREGATIONS.items():
            most = agreement(reliability(pool, share), pool.rows)
            for kind in KINDS:
                cells = []
                for length in LENGTHS:
                    short = pool.score(2, length, share, kind)
                    ratio = agreement(against(pool, lambda r, x=short: x, share), pool.rows) / most
                    same = rank_correlation(short, pool.score(2, length, share))
                    cells.append(f"{ratio[0]:.2f} ({same:.2f})")
                    results[f"{NAMES[pool.name]}, {name}, {kind}, L = {length}"] = [float(ratio[0]), same]
                rows.append([f"{NAMES[pool.name]}, {name}, {kind}", *cells])
    return lines(["pool, score, entropies of the prefix", *(f"L = {n}" for n in LENGTHS)], rows)


def baseline_table(pools: list[Pool], results: dict) -> str:
    rows = []
    for pool in pools[:2]:
        for name, share in AGGREGATIONS.items():
            top = reliability(pool, share)
            most = agreement(top, pool.rows)

            def left_out(run: int, pool: Pool = pool, share: float = share) -> np.ndarray:
                value = pool.score(run, None, share)
                n = np.bincount(pool.task)[pool.task]
                return (pool.means(value) * n - value) / (n - 1)

            cheap = {
                "another whole answer (reliability)": top,
                "the greedy whole answer": against(pool, lambda r, p=pool, s=share: p.score(2, None, s), share),
                "task mean of run A": against(pool, lambda r, p=pool, s=share: p.means(p.score(r, None, s)), share),
                "task mean of run A, the row left out": against(pool, left_out, share),
                "prompt length": against(pool, lambda r, p=pool: p.prompt_tokens, share),
                "answer length of run A": against(pool, lambda r, p=pool: p.tokens(r), share),
            }
            if pool.prompt_entropy is not None:
                cheap["prompt entropy"] = against(pool, lambda r, p=pool: p.prompt_entropy, share)
            for title, pairs in cheap.items():
                found = agreement(pairs, pool.rows)
                if "left out" in title:
                    found[1] = np.nan  # leaving out turns the order within a task around: it means nothing
                results[f"{NAMES[pool.name]}, {name}, {title}"] = found.tolist()
                cells = [f"{x:+.2f}" if np.isfinite(x) else "–" for x in (*found, *(found / most))]
                rows.append([f"{NAMES[pool.name]}, {name}: {title}", *cells])
    return lines(["pool, score: what ranks", "rho", "rho within", "ratio", "ratio within"], rows)


def methods_table(pools: list[Pool], results: dict) -> str:
    rows = []
    for method in METHODS:
        chosen = method.title in CHOSEN.values()
        cells, met = [f"**{method.title}**" if chosen else method.title], []
        for pool in pools[:2]:
            found = judge(pool, method, SHARE)
            results.setdefault(method.title, {"group": method.group})[pool.name] = found
            cells += [f"{100 * found['saved']:.1f} %", ranged(found, "ratio"), f"{found['of_root']:.2f}"]
            enough = found["ratio"] >= 0.9
            if pool.name == "mixed":
                cells += [ranged(found, "over_task_mean", "+"), ranged(found, "rho_within", "+")]
                enough &= found["ratio_within"] >= 0.9
            met.append(bool(enough and found["saved"] >= 0.9))
        rows.append([*cells, " / ".join("yes" if one else "no" for one in met)])
    head = ["scores from", "8 tasks: saved", "ratio", "of √reliability", "rho over task mean's", "rho within"]
    return lines([*head, "one task: saved", "ratio", "of √reliability", ".9 at 90 %"], rows)


def ranged(found: dict, name: str, sign: str = "") -> str:
    low, high = found[f"{name}_interval"]
    return f"{found[name]:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def seconds_table(seconds: dict[str, list[float]], pools: list[Pool]) -> str:
    whole = np.array(seconds[str(WHOLE)])
    rows = []
    for length, values in seconds.items():
        saved = 1 - float(np.median(np.array(values) / whole))
        tokens = 1 - pools[0].tokens(2, int(length)).mean() / pools[0].tokens(2).mean()
        title = f"L = {length}" if int(length) else "none: prompt entropy"
        rows.append([title, f"{np.median(values):.1f}", f"{100 * saved:.0f} %", f"{100 * tokens:.0f} %"])
    part = {name: np.median(np.array(values) / whole) for name, values in seconds.items()}
    for title, cost in (  # as if a part of the rows took that part of the time
        ("all rows L = 4, 15 % of them L = 64", part["4"] + 0.15 * (part["64"] - part["4"])),
        ("15 % of the rows L = 64", 0.15 * part["64"]),
        ("20 % of the rows L = 32", 0.2 * part["32"]),
    ):
        rows.append([title, "–", f"{100 * (1 - cost):.0f} %", "–"])
    return lines(["prefix", "seconds (median)", "seconds saved", "tokens saved, whole pool"], rows)


def useful_table(useful: dict[str, Any], results: dict) -> str:
    """Which score tells before training what a row's groups will be worth."""
    arm = np.unique(useful["arm"], return_inverse=True)[1]
    groups = [np.flatnonzero(arm == k) for k in range(arm.max() + 1)]
    passes = np.array(useful["advantage"]).T
    worth = passes.mean(0)
    scores = {name: np.array(value) for name, value in useful["scores"].items()}
    last = list(scores.values())[-1]
    scores["its task's mean of the last score"] = np.array([last[rows].mean() for rows in groups])[arm]
    rows = []
    pool = Pool("grpo", arm, arm, {})
    for name, value in scores.items():
        found = agreement([(value, worth)], groups)
        ranges = [interval(values) for values in bootstrap(pool, [(value, worth)])[0]]
        results[name] = {"rho": found.tolist(), "intervals": ranges}
        rows.append(
            [name, *(f"{x:+.2f} [{low:+.2f}, {high:+.2f}]" for x, (low, high) in zip(found, ranges, strict=True))]
        )
    again = agreement([(passes[0], passes[1])], groups)
    results["passes"] = again.tolist()
    rows.append(["mean abs. A of the first draw with that of the second", *(f"{x:+.2f}" for x in again)])
    return lines(["score before training", "rho with the row's mean abs. A", "within tasks"], rows)


def verdict(results: dict) -> str:
    """What was asked and what came out, in no more words than the numbers support."""
    two, one = (results[CHOSEN[name]][name] for name in ("mixed", "one"))
    other = results[CHOSEN["mixed"]]["one"], results[CHOSEN["one"]]["mixed"]
    reached = [
        title
        for title, found in results.items()
        if all(found[pool]["saved"] >= 0.9 and found[pool]["ratio"] >= 0.9 for pool in ("mixed", "one"))
        and found["mixed"]["ratio_within"] >= 0.9
    ]
    sure = [title for title in reached if min(results[title][p]["ratio_interval"][0] for p in ("mixed", "one")) >= 0.9]
    return f"""## Was .9 of the reliability reached at 90 % saved?

- Eight tasks, chosen setting: {100 * two["saved"]:.1f} % saved, ratio {ranged(two, "ratio")}. Over a task
  mean, which knows nothing of the row, this is {ranged(two, "over_task_mean", "+")} of rho. Within tasks rho is
  {ranged(two, "rho_within", "+")}, where a task mean has 0.
- One task, chosen setting: {100 * one["saved"]:.1f} % saved, ratio {ranged(one, "ratio")}; a task mean has 0 here.
- The two settings are not interchangeable: the first has {other[0]["ratio"]:.2f} on the one task, the second
  {other[1]["ratio"]:.2f} on the eight tasks.
- Settings that reach it on both pools and within tasks, by point estimate: {"; ".join(reached) or "none"}. With
  intervals that stay above .9 on both pools: {"; ".join(sure) or "none"}.
"""


def figure(results: dict, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = (
        ("mixed", "ratio", "8 tasks, all rows"),
        ("mixed", "ratio_within", "8 tasks, within a task (reliability hardly above 0)"),
        ("one", "ratio", "one task"),
    )
    fig, axes = plt.subplots(1, 3, figsize=(15, 4.8), layout="constrained", sharey=True)
    groups = list(dict.fromkeys(found["group"] for found in results.values()))
    for axis, (pool, part, title) in zip(axes, panels, strict=True):
        axis.fill_between([90, 100.5], 0.9, 2.1, color="gold", alpha=0.35, lw=0)
        axis.axhline(1, color="grey", lw=0.6)
        for k, group in enumerate(groups):
            found = [found[pool] for found in results.values() if found["group"] == group]
            found = sorted(found, key=lambda one: one["saved"])
            x, y = [100 * one["saved"] for one in found], [one[part] for one in found]
            axis.plot(x, y, "o-", color=plt.cm.tab10(k), ms=5, lw=1.3, label=group)
        axis.set(title=title, xlabel="generated tokens saved, %", xlim=(50, 101), ylim=(-0.15, 2.1))
    axes[0].set_ylabel("rank correlation with a whole answer's entropy\nas a share of the reliability")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncol=4, fontsize=9)
    axes[1].text(90.3, 2.0, "target", fontsize=9)
    fig.savefig(file, dpi=110)
    plt.close(fig)


def write_report(folder: Path, pools: list[Pool], seconds: dict | None, useful: dict | None, setup: str) -> str:
    results: dict[str, dict] = {name: {} for name in ("lengths", "truncated", "baselines", "methods", "useful")}
    methods = methods_table(pools, results["methods"])
    page = HEAD.format(setup=setup, t=TEMPERATURE, p=TOP_P, whole=WHOLE)
    page += f"\n{verdict(results['methods'])}{NOTES}\n![ratios and savings](prefix_entropy.png)\n"
    page += f"\n## Prefix length\n\n{lengths_table(pools, results['lengths'])}\n"
    page += f"\n## What needs no prefix\n\n{baseline_table(pools, results['baselines'])}\n"
    page += f"\n## Spending less\n\n{methods}\n{METHOD_NOTES}"
    page += f"\n## Truncated entropies\n\n{truncation_table(pools, results['truncated'])}\n{TRUNCATED_NOTES}"
    if seconds is not None:
        page += f"\n## Seconds\n\n{seconds_table(seconds, pools)}\n{SECONDS_NOTES}"
    if useful is not None:
        page += f"\n## Later usefulness\n\n{useful_table(useful, results['useful'])}\n{USEFUL_NOTES}"
    folder.mkdir(parents=True, exist_ok=True)
    figure(results["methods"], folder / "prefix_entropy.png")
    (folder / "prefix_entropy.md").write_text(page)
    everything = {**results, "seconds": seconds, "rows": useful}
    (folder / "results.json").write_text(json.dumps(everything, indent=1, default=float) + "\n")
    return page
