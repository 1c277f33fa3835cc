"""What `trl-curriculum score` shows: scores by arm, and the rows at either end."""

from typing import Any

import pandas as pd
from datasets import Dataset
from rich.table import Table

from ..data.names import natural
from ..probes.prompts import prompt_of
from ..probes.scores import Scores
from ..report.terminal import LONGEST, table


SHOWN = 3  # rows with the largest scores, and with the smallest
WIDTH = 50  # characters of a prompt that is shown


def by_arm(frame: pd.DataFrame, scores: Scores, title: str) -> Table:
    """Numbers of each arm and of all rows."""
    numbers = ("rows", "mean score", "tokens", "unscored", "seconds")

    def row(arm: Any, part: pd.DataFrame, why: str = "", seconds: str = "") -> tuple[str, ...]:
        missing = f"{int(part['score'].isna().sum())}{why}"
        mean = f"{part['score'].mean():.3f}" if part["score"].notna().any() else "-"
        return str(arm), str(len(part)), mean, str(part["tokens"].sum()), missing, seconds

    parts = list(frame.groupby("arm")) if "arm" in frame else []
    order = natural([str(arm) for arm, _ in parts])[:LONGEST]
    rows = [row(*parts[k]) for k in order]
    if len(parts) > len(rows):
        rows.append((f"… {len(parts) - len(rows):,} more", *[""] * len(numbers)))
    reasons = ", ".join(f"{count} {reason}" for reason, count in scores.missing.items())
    rows.append(row("all", frame, f" ({reasons})" if reasons else "", f"{scores.seconds:.1f}"))
    columns = {"arm": "name"} | dict.fromkeys(numbers, "number")
    return table(title, columns, rows, longest=None)


def extremes(frame: pd.DataFrame, rows: Dataset) -> Table:
    """The rows with the largest and the smallest scores: garbage gathers at either end."""
    order = frame.dropna(subset="score").sort_values("score", ascending=False, kind="stable")
    ends = order if len(order) <= 2 * SHOWN else pd.concat([order[:SHOWN], order[-SHOWN:]])
    cells = []
    for place, (row, score, tokens) in enumerate(zip(ends["row"], ends["score"], ends["tokens"], strict=True)):
        if place == SHOWN and len(order) > 2 * SHOWN:
            cells.append(("…", "", "", ""))
        prompt = prompt_of(rows[int(row)])
        text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
        text = " ".join(text.split())
        text = text if len(text) <= WIDTH else f"{text[:WIDTH]}…"
        cells.append((str(row), f"{score:.3f}", str(tokens), text))
    kinds = {"row": "number", "score": "number", "tokens": "number", "prompt": "words"}
    return table("Largest and smallest", kinds, cells)
