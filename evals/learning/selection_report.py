"""From the runs on a pool to tables, a figure and what they say; every number of the text is computed from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from selection_task import KINDS, TASKS


BASELINE, OURS = "random", "evoselect"
Key = tuple[str, str]  # set-up, method
Losses = dict[Key, np.ndarray]  # (pools, seeds), or (pools, seeds, tasks)


def losses(results: dict[str, Any]) -> tuple[Losses, Losses]:
    """Loss of each set-up and method, as the mean over tasks and for each task."""
    runs = {(r["set_up"], r["method"], r["pool"], r["seed"]): r for r in results["runs"]}
    pools, seeds = (list(dict.fromkeys(r[name] for r in results["runs"])) for name in ("pool", "seed"))
    mean, each = {}, {}
    for key in dict.fromkeys((r["set_up"], r["method"]) for r in results["runs"]):
        grid = [[runs[*key, pool, seed] for seed in seeds] for pool in pools]
        mean[key] = np.array([[run["mean"] for run in row] for row in grid])
        each[key] = np.array([[[run["loss"][task] for task in TASKS] for run in row] for row in grid])
    return mean, each


def selections(results: dict[str, Any]) -> dict[Key, list[dict]]:
    """What each method selected in each set-up, one entry per pool."""
    found: dict[Key, list[dict]] = {}
    for pool in results["pools"]:
        for one in pool["selections"]:
            found.setdefault((one["set_up"], one["method"]), []).append(one)
    return found


def told(chosen: list[dict], name: str) -> np.ndarray:
    return np.array([one["told"].get(name, np.nan) for one in chosen])


def interval(delta: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean: Student's t over pools, whose training seeds are averaged; NaN for one pool."""
    pools = delta.mean(axis=1)
    if len(pools) < 2:
        return np.nan, np.nan
    half = stats.t.ppf(0.975, len(pools) - 1) * pools.std(ddof=1) / np.sqrt(len(pools))
    return float(pools.mean() - half), float(pools.mean() + half)


def compared(delta: np.ndarray) -> str:
    """A paired difference of losses in words: below zero is better."""
    low, high = interval(delta)
    return f"{delta.mean():+.3f} [{low:+.3f}, {high:+.3f}], better in {(delta < 0).sum()} of {delta.size}"


def spread(values: np.ndarray, digits: int = 3) -> str:
    """Mean over pools and their standard deviation."""
    pools = values.reshape(len(values), -1).mean(axis=1)
    return f"{pools.mean():.{digits}f}" + (f" ± {pools.std(ddof=1):.{digits}f}" if len(pools) > 1 else "")


def lined(head: list[str], rows: list[list[str]], text: int) -> str:
    """A Markdown table whose first columns are text and whose others are numbers."""
    lines = [head, ["---"] * text + ["---:"] * (len(head) - text), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(results: dict[str, Any], methods: dict, set_ups: dict) -> str:
    """One line per set-up and method: what is selected, and the loss after training on it."""
    mean, _ = losses(results)
    head = ["pool", "method", "rows", *KINDS, "OT", "Vendi", "ESS", "select, s", "tokens"]
    head += ["test loss", "over random", "95 % interval", "wins"]
    rows = []
    for (set_up, method), chosen in selections(results).items():
        cells = [set_ups[set_up].title, methods[method].title, f"{told(chosen, 'kept').mean():.0f}"]
        cells += [f"{np.mean([one['kinds'][kind] for one in chosen]):.2f}" for kind in KINDS]
        cells += [f"{told(chosen, 'transport').mean():.3f}", f"{told(chosen, 'vendi').mean():.0f}"]
        size = told(chosen, "effective_size").mean()
        cells += ["–" if np.isnan(size) else f"{size:.0f}", f"{np.mean([one['seconds'] for one in chosen]):.2f}"]
        if (set_up, method) not in mean:
            cells += ["–"] * 5
        else:
            tokens = [r["tokens"] for r in results["runs"] if (r["set_up"], r["method"]) == (set_up, method)]
            cells += [f"{np.mean(tokens):,.0f}", spread(mean[set_up, method])]
            if method == BASELINE or (set_up, BASELINE) not in mean:
                cells += ["–"] * 3
            else:
                delta = mean[set_up, method] - mean[set_up, BASELINE]
                low, high = interval(delta)
                cells += [f"{delta.mean():+.3f}", f"[{low:+.3f}, {high:+.3f}]", f"{(delta < 0).sum()}/{delta.size}"]
        rows.append(cells)
    return lined(head, rows, 2)


def tasks_table(results: dict[str, Any], methods: dict, set_ups: dict) -> str:
    """One line per set-up and method: loss of each task, and its share of the rows that belong to any of them."""
    _, each = losses(results)
    chosen = selections(results)
    before = [np.mean([pool["before"][task] for pool in results["pools"]]) for task in TASKS]
    rows = [["–", "before training", *(f"{loss:.2f}" for loss in before), *("–" for _ in TASKS)]]
    for (set_up, method), loss in each.items():
        share = [np.mean([one["tasks"][task] for one in chosen[set_up, method]]) for task in TASKS]
        cells = [spread(loss[..., k], 2) for k in range(len(TASKS))] + [f"{one:.2f}" for one in share]
        rows.append([set_ups[set_up].title, methods[method].title, *cells])
    return lined(["pool", "method", *TASKS, *(f"{task}, share" for task in TASKS)], rows, 2)


def ranked(results: dict[str, Any], set_up: str, names: list[str]) -> np.ndarray:
    """Spearman correlation of OT distance and loss over methods, one per pool; 1: closer is better."""
    mean, _ = losses(results)
    chosen = selections(results)
    transport = np.array([told(chosen[set_up, name], "transport") for name in names])
    loss = np.array([mean[set_up, name].mean(axis=1) for name in names])
    return np.array([stats.spearmanr(transport[:, k], loss[:, k]).statistic for k in range(loss.shape[1])])


def conclusions(results: dict[str, Any], methods: dict, set_ups: dict) -> str:
    """What the runs say, in no more words than they support."""
    mean, _ = losses(results)
    chosen = selections(results)
    lines = []
    for set_up, stage in set_ups.items():
        names = [name for name in methods if (set_up, name) in mean and name not in ("all", "oracle")]
        if OURS not in names or BASELINE not in names:
            continue
        loss = {name: mean[set_up, name].mean() for name in names}
        order = sorted(names, key=loss.__getitem__)
        lines += [f"**{stage.title}** (differences in nats, below zero is better, [95 % interval over pools]):", ""]
        first = order[0]
        text = f"- lowest loss of the {len(names)} methods: {methods[first].title}, {loss[first]:.3f}"
        if first != BASELINE:
            text += f"; over random {compared(mean[set_up, first] - mean[set_up, BASELINE])}"
        lines += [text]
        place = order.index(OURS) + 1
        lines += [
            f"- EvoSelect {'has the lowest loss' if place == 1 else f'does NOT win: it is number {place}'}, "
            f"{loss[OURS]:.3f}"
        ]
        for other in ("random", "attribution", "tsds", "oracle"):
            theirs = mean.get((set_up, other), mean.get(("pool", other)) if other == "oracle" else None)
            if theirs is not None:
                lines += [f"- EvoSelect over {methods[other].title}: {compared(mean[set_up, OURS] - theirs)}"]
        oracle = mean.get(("pool", "oracle"))
        if oracle is not None:
            gain = loss[BASELINE] - oracle.mean()
            part = f"; EvoSelect has {(loss[BASELINE] - loss[OURS]) / gain:.0%} of that gain" if gain > 0 else ""
            lines += [f"- the oracle (clean rows of the pool as it is) over random: {-gain:+.3f}{part}"]
        rank = ranked(results, set_up, names)
        lines += [
            f"- OT distance against loss over the {len(names)} methods: Spearman {rank.mean():+.2f} "
            f"({', '.join(f'{one:+.2f}' for one in rank)} in the pools)"
        ]
        wrong, all_wrong = (np.mean([one["kinds"]["wrong"] for one in chosen[set_up, name]]) for name in (OURS, "all"))
        lines += [
            f"- wrong answers: {wrong:.2f} of EvoSelect's rows, {all_wrong:.2f} of what it chose from; "
            f"{', '.join(str(one['left']) for one in chosen[set_up, OURS])} rows were there to choose from",
            f"- EvoSelect made {', '.join(f'{n:.0f}' for n in told(chosen[set_up, OURS], 'steps'))} of its 50 steps: "
            "it stops before the effective sample size of its weights falls below the number of rows that are kept",
            "",
        ]
    same = [
        set(one["rows"]) == set(other["rows"])
        for one, other in zip(chosen["checked", "attribution"], chosen["checked", "attr_div"], strict=True)
    ]
    both = [name for name in methods if ("pool", name) in mean and ("checked", name) in mean]
    if both:
        lines += ["**What the stages change** (loss with both stages minus loss without):", ""]
        lines += [f"- {methods[m].title}: {compared(mean['checked', m] - mean['pool', m])}" for m in both]
        lines += [
            f"- with both stages attribution, alone and before diversity, keeps the same rows in {sum(same)} of "
            f"{len(same)} pools, so what differs between these two there is the order of the rows",
            "",
        ]
        if ("pool", "oracle") in mean:
            oracle = {n: np.mean([s["told"]["transport"] for s in chosen["pool", n]]) for n in (OURS, "oracle")}
            lines += [
                f"OT distance of the oracle's rows: {oracle['oracle']:.3f}, of EvoSelect's from the same pool: "
                f"{oracle[OURS]:.3f}; loss {mean['pool', 'oracle'].mean():.3f} and {mean['pool', OURS].mean():.3f}.",
                "",
            ]
    return "\n".join(lines)


def figure(results: dict[str, Any], methods: dict, set_ups: dict, file: Path) -> None:
    """Kinds of the selected rows, beside the loss after training on them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    mean, _ = losses(results)
    chosen = selections(results)
    place, y = {}, 0.0
    for set_up in set_ups:
        for method in methods:
            if (set_up, method) in chosen:
                place[set_up, method] = y
                y += 1
        y += 1.2
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 8.5), layout="constrained", sharey=True)
    colours = ["tab:green", "tab:olive", "tab:red", "lightgrey"]
    for key, at in place.items():
        share = [np.mean([one["kinds"][kind] for one in chosen[key]]) for kind in KINDS]
        for value, start, colour in zip(share, np.cumsum([0, *share[:-1]]), colours, strict=True):
            left.barh(at, value, left=start, color=colour, height=0.8)
        if key in mean:
            pools = mean[key].mean(axis=1)
            right.plot(pools, np.full(len(pools), at), "o", color="lightgrey", markersize=4)
            right.plot(pools.mean(), at, "D", color="tab:blue" if key[1] == OURS else "black")
    left.set_yticks(list(place.values()), [methods[method].title for _, method in place], fontsize=9)
    for set_up, stage in set_ups.items():
        top = min(at for (s, _), at in place.items() if s == set_up)
        left.text(0, top - 0.6, stage.title, fontsize=9, fontweight="bold")
    left.invert_yaxis()
    left.set(xlabel="share of the selected rows", xlim=(0, 1))
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    fig.legend(handles, KINDS, fontsize=8, ncols=4, loc="outside upper left")
    right.set_xlabel("test loss, nats per answer token\n(diamond: mean, points: pools; lower is better)")
    right.grid(axis="x", alpha=0.3)
    fig.savefig(file, dpi=110)
    plt.close(fig)


def write_report(folder: Path | None, results: dict[str, Any], methods: dict, set_ups: dict) -> str:
    """Returns the page; with a folder, writes `results.json`, `selection_pool.md` and `selection_pool.png` there."""
    pools = [pool["pool"] for pool in results["pools"]]
    seeds = sorted({run["seed"] for run in results["runs"]})
    seconds = np.array([sum(run["seconds"].values()) for run in results["runs"]])
    steps = results["runs"][0]["steps"]
    page = f"# Selecting from a pool\n\nMade by `python evals/learning/selection.py --jobs 2`, pools {pools}, "
    page += f"training seeds {seeds}: {len(seconds)} runs of {steps} steps and {seconds.mean():.0f} s, and "
    page += f"{np.mean([pool['seconds']['features'] for pool in results['pools']]):.0f} s a pool for the features.\n\n"
    page += f"{conclusions(results, methods, set_ups)}\n{NOTES}\n## Selections and losses\n\n"
    page += f"{table(results, methods, set_ups)}\n\n## Each task\n\n{tasks_table(results, methods, set_ups)}\n\n"
    page += "![What was selected, and the loss](selection_pool.png)\n"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        figure(results, methods, set_ups, folder / "selection_pool.png")
        (folder / "selection_pool.md").write_text(page)
        for pool in results["pools"]:  # which rows: too long, and the pool is made again from its seed
            pool["selections"] = [{k: v for k, v in one.items() if k != "rows"} for one in pool["selections"]]
        (folder / "results.json").write_text(json.dumps(results) + "\n")
    return page


NOTES = """**What this is.** One small model, SmolLM2-135M-Instruct in fp32, on four short tasks; three pools, of which
each also draws the proxy, and two training seeds each. Losses are in nats per answer token of 24 held-out
rows a task, the mean over tasks; exact match was not measured. The interval is over three pools only, hence
wide; wins are over all pairs of a pool and a training seed. The pools were built so that selecting can
matter: a fifth of the 600 rows is what one wants (`selection_task.py` says what they are). All methods
train a fresh LoRA of rank 8 for equally many steps of 6 rows at a constant 1e-3; methods that repeat rows
(TSDS) train on each once, so on fewer different ones.

The set-ups are stages before the selection, the same for all methods; nothing was trained where only near-duplicates
were removed. Near-duplicates: gradients with a cosine above .6. Wrong answers: refused by the family's own scorer,
which finds all of them here; a real scorer may not. With both stages few more rows are left than are kept: the methods
have less to choose there. All methods have the library's defaults, but TSDS, whose sigma and scale are those that
features of unit norm ask for. OT: entropic transport cost to the 48 validation rows. ESS: effective sample size of
EvoSelect's weights; the others have none. Seconds include measuring OT and Vendi. The pool and the speed were tried
with pool 900, which is not reported.
"""
