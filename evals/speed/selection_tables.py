"""The page of `selection.py`, from its results alone."""

from typing import Any

import numpy as np
from selection_scale import CASES


def features_table(told: dict[str, Any]) -> str:
    seconds, processor = (
        {name: np.array(values) for name, values in told[key].items()} for key in ("seconds", "processor_seconds")
    )

    def ratio(of: dict[str, np.ndarray], name: str) -> str:
        pairs = of["features"] / of[name] if name.startswith("plain") else of[name] / of["features"]
        return f"{np.median(pairs):.2f} ({pairs.min():.2f}–{pairs.max():.2f})"

    names = {
        "features": "`GradientFeatures`, count sketch",
        "plain": "plain forward and backward",
        "plain, trained positions": "plain, logits only where some row is trained on",
        "loop": "loop over single rows, same projection",
        "loop, trained positions": "loop, logits only where the row is trained on",
    }
    lines = ["| | rows/s | processor s | ratio, wall | ratio, processor |", "|---|---|---|---|---|"]
    for name, text in names.items():
        ratios = "– | –" if name == "features" else f"{ratio(seconds, name)} | {ratio(processor, name)}"
        speed = told["rows"] / np.median(seconds[name])
        lines.append(f"| {text} | {speed:.2f} | {np.median(processor[name]):.1f} | {ratios} |")
    low, middle, high = told["tokens"]
    shapes = ", ".join(f"{rows} × {tokens}" for rows, tokens in told["batches"])
    return (
        f"SmolLM2-135M in float32, LoRA of rank 8 on all linear layers, {told['rows']} rows of {low} to {high} tokens "
        f"(median {middle:.0f}) in batches of {shapes}, {told['threads']} threads, {told['rounds']} rounds in which "
        "the arms take turns. Medians; ratios are of pairs in a round, median (min–max): what features cost over a "
        "plain pass, and how much faster they are than a loop. The smallest cosine between a row's features and those "
        f"of the loop is {told['smallest_cosine']:.6f}.\n\n" + "\n".join(lines)
    )


def unfinished(told: dict[str, Any]) -> str:
    missing = [case for case in CASES if case not in told["cases"]]
    return f"Not measured: {', '.join(missing)}." if missing else ""


def scale_tables(told: dict[str, Any]) -> str:
    lines = [
        "| method | candidates | wall s | processor s | peak GB | steps | passes | kept: copies / A / B / C / noise |",
        "|---|---|---|---|---|---|---|---|",
    ]
    solves = [
        "| one solve | candidates | build, wall s | solve, wall s | processor s | passes | passes a second "
        "| error, L1 | value | peak GB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case, of in told["cases"].items():
        name = case.split()[0]
        time = f"{of['run_s']:.1f} | {of['run_processor_s']:.1f}"
        if "shares" in of:
            kept = " / ".join(f"{of['shares'].get(label, 0):.2f}" for label in ("copy", "A", "B", "C", "noise"))
            counts = [f"{of['told'][key]:.0f}" if key in of["told"] else "–" for key in ("steps", "passes")]
            title = name.replace("_tight", ", tolerance 1e-4")
            lines.append(f"| {title} | {of['n']:,} | {time} | {of['gb']:.1f} | {' | '.join(counts)} | {kept} |")
        else:
            solves.append(
                f"| {'`ot.sinkhorn`' if name == 'pot' else '`Sinkhorn.solve`'} | {of['n']:,} | {of['build_s']:.1f} "
                f"| {time} | {of['passes']} | {of['passes'] / of['run_s']:.1f} | {of['error']:.1e} "
                f"| {of['value']:.5f} | {of['gb']:.1f} |"
            )
    loads = [of["load_before"] for of in told["cases"].values()]
    return (
        "Candidates of 1,024 dimensions in half precision, memory-mapped, 1,000 targets, the best 20 %, every option "
        "at its default. Each case in a process of its own; its peak includes the pages of the file that were read. "
        f"Load of the machine before a case: {min(loads):.1f} to {max(loads):.1f}. {unfinished(told)}\n\n"
        + "\n".join(lines)
        + f"\n\nOf the rows that `evoselect` keeps, {told['overlap_with_tight']:.1%} are the same with a tolerance of "
        "1e-4 instead of 1e-3.\n\nOne solve at equal weights and ε = .05, from nothing to an L1 error of 1e-3, "
        "against POT's plain Sinkhorn (double precision) with the cost matrix that it needs:\n\n" + "\n".join(solves)
    )


def planted_table(told: dict[str, Any]) -> str:
    keys = {
        **{f"share {label}": label for label in ("copy", "A", "B", "C", "noise")},
        "copies": "near-copies",
        "transport": "OT",
        "vendi": "Vendi",
        "effective_size": "ESS",
        "steps": "steps",
        "passes": "passes",
        "kept": "rows",
        "seconds": "s",
    }
    whole = ("effective_size", "steps", "passes", "kept")
    lines = [f"| method | {' | '.join(keys.values())} |", "|---" * (len(keys) + 1) + "|"]
    for name, of in told["mean_and_std"].items():
        cells = []
        for key in keys:
            digits = 0 if key in whole else 1 if key == "vendi" else 2
            cells.append(f"{of[key][0]:.{digits}f} ± {of[key][1]:.{digits}f}" if key in of else "–")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    overlap = told["mean_and_std"]["evoselect, tolerance 1e-5"]["overlap"]
    return (
        f"{told['n']:,} candidates of 64 dimensions: 40 % near-copies of a few rows of cluster A, 12, 5 and 5 % of "
        f"the clusters A, B and C, 38 % off-task noise. Targets: A, B and C as .5 / .3 / .2; {told['k']} stay. Mean "
        f"and standard deviation over {told['seeds']} pools; OT and Vendi are of the rows that are kept, near-copies "
        "are those with a cosine above .99 to an earlier one, ESS is the effective sample size of the weights. With a "
        f"tolerance of 1e-5, {overlap[0]:.1%} ± {overlap[1]:.1%} of the rows are the same.\n\n"
        + "\n".join(lines)
        + "\n\n![What each method keeps](selection.png)"
    )


TITLES = {"features": "Gradient features", "scale": "At scale", "planted": "A planted pool"}
TABLES = {"features": features_table, "scale": scale_tables, "planted": planted_table}


def page(results: dict[str, Any]) -> str:
    text = "# What selection costs\n\n`python evals/speed/selection.py`\n"
    for name, told in results.items():
        where = f"{told['machine']}; load of the machine before: {told['load_before']:.1f}."
        text += f"\n## {TITLES[name]}\n\n{where} {TABLES[name](told)}\n"
    return text
