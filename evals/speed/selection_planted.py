"""All methods on a small pool of known composition."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from planted import SHARES, Planted

from trl_curriculum.selection import SELECTION
from trl_curriculum.selection.report import report


N, K, SEEDS = 2000, 400, 5
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "all": ("all", {}),
    "attribution": ("attribution", {}),
    "diversity, small first": ("diversity", {}),
    "diversity, round robin": ("diversity", {"order": "round_robin"}),
    "attr_div": ("attr_div", {}),
    "tsds": ("tsds", {}),
    "tsds, sigma .6, scale 1": ("tsds", {"sigma": 0.6, "scale": 1.0}),
    "evoselect, lambda 0": ("evoselect", {"diversity": 0}),
    "evoselect (lambda .3)": ("evoselect", {}),
    "evoselect, lambda 1": ("evoselect", {"diversity": 1}),
    "evoselect, lambda 3": ("evoselect", {"diversity": 3}),
    "evoselect, alternate": ("evoselect", {"mode": "alternate"}),
    "evoselect, eta x 3": ("evoselect", {"eta": 3 / 50**0.5}),
    "evoselect, tolerance 1e-5": ("evoselect", {"tolerance": 1e-5}),
}
NUMBERS = ("transport", "vendi", "copies", "effective_size", "steps", "passes", "seconds")


def measure_planted() -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    for seed in range(SEEDS):
        pool = Planted(seed, N)
        features = pool.features()
        rows: dict[str, np.ndarray] = {}
        for name, (method, options) in METHODS.items():
            seeded = {"seed": seed} if method in ("random", "diversity", "attr_div", "tsds") else {}
            start = time.perf_counter()
            chosen = SELECTION.make({method: options}, **seeded)(features, K)
            seconds = time.perf_counter() - start
            told = report(features, chosen, pool.label)
            of = {f"share {label}": told["shares"].get(label, 0.0) for label in SHARES}
            kept = {"kept": float(told["kept"])} | {key: float(told[key]) for key in NUMBERS if key in told}
            runs[name].append(of | kept | {"seconds": seconds})
            rows[name] = chosen.row
        tight = np.intersect1d(rows["evoselect (lambda .3)"], rows["evoselect, tolerance 1e-5"])
        runs["evoselect, tolerance 1e-5"][-1]["overlap"] = len(tight) / K
        print(f"seed {seed} of {SEEDS}", flush=True)
    methods = {
        name: {key: [float(np.mean(v)), float(np.std(v, ddof=1))] for key in of[0] for v in [[r[key] for r in of]]}
        for name, of in runs.items()
    }
    return {"n": N, "k": K, "seeds": SEEDS, "mean_and_std": methods}


def picture(results: dict[str, Any], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    methods = list(results["mean_and_std"].items())[::-1]
    fig, axis = plt.subplots(figsize=(9, 5), layout="constrained")
    colors = dict(zip(SHARES, ["gold", *plt.cm.viridis([0.1, 0.45, 0.75]), "lightgrey"], strict=True))
    names = {"copy": "near-copies of rows of A", "noise": "off-task noise"}
    left = np.zeros(len(methods))
    for label, color in colors.items():
        width = np.array([told[f"share {label}"][0] for _, told in methods])
        axis.barh([name for name, _ in methods], width, left=left, color=color, label=names.get(label, label))
        left += width
    axis.set(
        xlim=(0, 1), xlabel=f"share of the kept rows ({results['k']} of {results['n']}, {results['seeds']} pools)"
    )
    fig.legend(loc="outside upper center", ncol=5, fontsize=9)
    fig.savefig(file, dpi=110)
    plt.close(fig)
