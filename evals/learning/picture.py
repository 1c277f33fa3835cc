"""README's picture, from the ladder's committed runs: what uniform and SEC spend their prompts on, and what that buys.

python evals/learning/picture.py   # reads docs/results/ladder/results.json, writes docs/results/ladder/picture.svg
"""

import json
from pathlib import Path

import matplotlib
import numpy as np
from ladder_report import by_method
from ladder_task import hard


matplotlib.use("Agg")
from matplotlib import pyplot as plt


FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results" / "ladder"
SHOWN = {"uniform": ("uniform", "#8c8c8c"), "sec": ("SEC, τ = 0.2", "#d9480f")}
KINDS = {  # places of the arms in `spent`
    "solved": (slice(0, 4), "#ced4da"),
    "in reach": (slice(4, 8), "#2b8a3e"),
    "impossible": (slice(8, 12), "#495057"),
}


def draw(file: Path) -> None:
    """Draws the picture."""
    runs = by_method(json.loads((FOLDER / "results.json").read_text())["runs"])
    plt.rcParams |= {"font.size": 10, "svg.hashsalt": "ladder", "axes.spines.top": False, "axes.spines.right": False}
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", width_ratios=(1, 1.25))

    bottom = np.zeros(len(SHOWN))
    spent = [np.mean([np.sum(run["spent"], axis=0) for run in runs[name].values()], axis=0) for name in SHOWN]
    for kind, (places, color) in KINDS.items():
        share = np.array([one[places].sum() / one.sum() for one in spent])
        left.bar(range(len(SHOWN)), share, bottom=bottom, color=color, width=0.6)
        for x, height in enumerate(share):
            ink = "white" if kind != "solved" else "black"
            left.text(x, bottom[x] + height / 2, f"{kind} {height:.0%}", ha="center", va="center", color=ink, size=8)
        bottom += share
    left.set_xticks(range(len(SHOWN)), [title for title, _ in SHOWN.values()])
    left.set(ylim=(0, 1), yticks=(), title="what the prompts were spent on")
    left.spines["left"].set_visible(False)

    for name, (title, color) in SHOWN.items():
        at = next(iter(runs[name].values()))["at"]
        curves = np.array([[hard(passed) for passed in run["pass"]] for run in runs[name].values()])
        mean, sd = curves.mean(0), curves.std(0, ddof=1)
        right.plot(at, mean, color=color, linewidth=2.2)
        right.fill_between(at, mean - sd, mean + sd, color=color, alpha=0.18, linewidth=0)
        right.text(at[-1] + 3, mean[-1], title, color=color, va="center")
    seeds = len(runs["sec"])
    right.set(
        xlim=(0, 175),
        xticks=range(0, 141, 20),
        ylim=(0, None),
        xlabel="optimizer step",
        ylabel="exact pass@1, hard levels",
    )
    right.set_title(f"what that buys ({seeds} seeds, band: 1 sd)")
    fig.savefig(file, metadata={"Date": None})
    plt.close(fig)


if __name__ == "__main__":
    draw(FOLDER / "picture.svg")
