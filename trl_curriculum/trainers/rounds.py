"""What a person sees of the rounds: scores before and after, what was kept from where, what each stage took."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table


TITLES = {"loss": "Loss of the right answers, nats per token", "accuracy": "Accuracy of the model's own answers"}


def scores_table(told: list[dict[str, dict[str, float]]]) -> pd.DataFrame:
    """Scores before the first round and after each, one row per number of rounds, score and task."""
    found = [
        (rounds, name, task, value)
        for rounds, scores in enumerate(told)
        for name in TITLES
        for task, value in (scores.get(name) or {}).items()
    ]
    return pd.DataFrame(found, columns=["rounds", "score", "task", "value"])


def print_rounds(scores: pd.DataFrame, rounds: list[dict[str, dict[str, Any]]]) -> None:
    """Prints the scores, and for each round what its stages have told."""
    console = Console(width=None)
    for name, part in scores.groupby("score", sort=False):
        wide = part.pivot(index="task", columns="rounds", values="value")
        columns = ["before" if k == 0 else f"round {int(k) - 1}" for k in wide.columns]
        rows = [[str(task), *(f"{value:.3f}" for value in row)] for task, row in wide.iterrows()]
        console.print(_table(TITLES[str(name)], ["task", *columns], rows))
    console.print(_table("Candidates", ["round", "written", "accepted", "yield", "tokens", "rejected"], _made(rounds)))
    console.print(_table("Selection", ["round", "kept", "from", "transport", "Vendi", "ESS"], _kept(rounds)))
    stages = list(dict.fromkeys(stage for one in rounds for stage in one))
    cost = [
        [str(k), *(f"{one.get(stage, {}).get('seconds', 0):.0f}" for stage in stages)] for k, one in enumerate(rounds)
    ]
    console.print(_table("Seconds", ["round", *stages], cost))


def _made(rounds: list[dict[str, dict[str, Any]]]) -> list[list[str]]:
    made = [one["candidates"] for one in rounds]
    return [
        [
            str(k),
            str(one["written"]),
            str(one["accepted"]),
            f"{one['yield']:.0%}",
            str(one["tokens"]),
            ", ".join(f"{count} {reason}" for reason, count in one["rejected"].items()),
        ]
        for k, one in enumerate(made)
    ]


def _kept(rounds: list[dict[str, dict[str, Any]]]) -> list[list[str]]:
    kept = [one["selection"] for one in rounds]
    return [
        [
            str(k),
            f"{one['kept']} of {one['candidates']}",
            ", ".join(f"{share:.0%} {name}" for name, share in one["shares"].items()),
            f"{one['transport']:.3f}",
            f"{one['vendi']:.1f}",
            f"{one['effective_size']:.0f}" if "effective_size" in one else "",
        ]
        for k, one in enumerate(kept)
    ]


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        wordy = name in ("task", "from", "rejected")
        table.add_column(name, justify="left" if wordy else "right", overflow="fold", no_wrap=not wordy)
    for row in rows:
        table.add_row(*row)
    return table
