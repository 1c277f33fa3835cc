"""What finished rounds have left, as points of a comparison: scores after each round, and what it has cost."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..disk.stages import DONE
from ..registry import nearest
from .compare import MATCHES, Metric
from .curves import COSTS, cost
from .grid import Cell


SCORES = "scores"  # the stage that scores a model, before the first round and at the end of each
ABOUT = {
    "accuracy": "mean reward of the model's own answers to the held-out rows",
    "loss": "loss of the right answers to the held-out rows",
}


def measure_rounds(cells: Sequence[Cell], metric: str | None, by: str) -> tuple[pd.DataFrame, Metric]:
    """
    The points of finished cells of `evolve`: one before the first round, and one after each.

    Args:
        cells (`Sequence` of [`Cell`]):
            Finished ones.
        metric (`str`, *optional*):
            `accuracy` or `loss` of the held-out rows. Default: the first that all have.
        by (`str`):
            A key of `MATCHES`. Steps and trained tokens are those of the rounds' training, generated tokens those of
            candidates, and seconds those of all stages but the scoring.

    Raises:
        `ValueError`: where a cell has no such score, or nothing to match by.
    """
    rounds = {cell: _reports(cell.folder) for cell in cells}
    known = [name for name in ABOUT if all(name in one[SCORES] for each in rounds.values() for one in each)]
    if not known:
        raise ValueError("These rounds have no scores to compare: give held-out rows (`test_tasks` or a test split).")
    metric = known[0] if metric is None else metric
    if metric not in known:
        raise ValueError(
            f"metric={metric!r} is no score of these rounds{nearest(metric, known)}: take {' or '.join(known)}."
        )
    parts = []
    for cell, reports in rounds.items():
        points = _costs(reports).assign(value=[one[SCORES][metric]["all"] for one in reports])
        points.insert(0, "seed", cell.seed)
        points.insert(0, "method", cell.entry.name)
        parts.append(points)
    made = pd.concat(parts, ignore_index=True)
    made["cost"] = cost(made.fillna({"probe_tokens": 0.0}), by)
    if not (made["cost"] > 0).any() or made["cost"].isna().any():
        raise ValueError(f"match={by}: these rounds have not told any {MATCHES[by].split(',')[0]}: match by steps.")
    return made, Metric(metric, ABOUT[metric])


def _reports(folder: Path) -> list[dict[str, dict[str, Any]]]:
    """What the stages before the first round have reported, and those of each round."""
    rounds = sorted(folder.glob("round-*"), key=lambda path: int(path.name.removeprefix("round-")))
    found = []
    for each in (folder / "before", *rounds):
        done = {path.parent.name: json.loads(path.read_text()) for path in each.glob(f"*/{DONE}")}
        if SCORES not in done:
            raise ValueError(f"{each} has no finished stage {SCORES!r}: only loops that score their rounds compare.")
        found.append(done)
    return found


def _costs(reports: Sequence[dict[str, dict[str, Any]]]) -> pd.DataFrame:
    """Running totals after each round, with the columns of `COSTS`; what rounds do not have is NaN."""
    rows = []
    for stages in reports:
        row = dict.fromkeys(COSTS, 0.0) | {"probe_tokens": np.nan, "discarded_tokens": np.nan}
        for name, report in stages.items():
            row["step"] += report.get("steps", 0)
            row["trained_tokens"] += report.get("trained_tokens", np.nan if "steps" in report else 0)
            row["generated_tokens"] += report.get("tokens", 0) if "written" in report else 0
            row["seconds"] += report["seconds"] if name != SCORES else 0
        rows.append(row)
    return pd.DataFrame(rows).cumsum()
