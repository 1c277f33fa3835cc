"""What a person sees of the rounds: scores before and after, what was kept from where, what each stage took."""

from typing import Any

import pandas as pd

from ..data.names import listed
from .terminal import show, table


Reports = dict[str, dict[str, Any]]  # what each stage of a round reports

TITLES = {"loss": "Loss of the right answers, nats per token", "accuracy": "Accuracy of the model's own answers"}


def scores_table(reports: list[dict[str, dict[str, float]]]) -> pd.DataFrame:
    """Scores before the first round and after each, one row per number of rounds, score and task."""
    found = [
        (rounds, name, task, value)
        for rounds, scores in enumerate(reports)
        for name in TITLES
        for task, value in (scores.get(name) or {}).items()
    ]
    return pd.DataFrame(found, columns=["rounds", "score", "task", "value"])


def print_rounds(scores: pd.DataFrame, rounds: list[Reports]) -> None:
    """Prints the scores, and for each round what its stages report."""
    for name, part in scores.groupby("score", sort=False):
        wide = part.pivot(index="task", columns="rounds", values="value")
        columns = ["before" if k == 0 else f"round {int(k) - 1}" for k in wide.columns]
        rows = [[str(task), *(f"{value:.3f}" for value in row)] for task, row in wide.iterrows()]
        _print(TITLES[str(name)], ["task", *columns], rows)
    print_made(rounds)
    print_selection(rounds)
    print_seconds(rounds)


def print_made(rounds: list[Reports]) -> None:
    """Prints how many candidates were written and accepted, and why the others were not."""
    rows = []
    for k, made in enumerate(one["candidates"] for one in rounds):
        rejected = ", ".join(f"{count} {reason}" for reason, count in made["rejected"].items())
        numbers = (made["written"], made["accepted"], f"{made['yield']:.0%}", made["tokens"])
        rows.append([str(k), *map(str, numbers), rejected])
    _print("Candidates", ["round", "written", "accepted", "yield", "tokens", "rejected"], rows)


def print_selection(rounds: list[Reports]) -> None:
    """Prints what was kept, from where, how close to the target and how diverse."""
    rows = []
    for k, kept in enumerate(one["selection"] for one in rounds):
        size = f"{kept['effective_size']:.0f}" if "effective_size" in kept else ""
        numbers = (f"{kept['kept']} of {kept['candidates']}", f"{kept['transport']:.3f}", f"{kept['vendi']:.1f}", size)
        largest = sorted(kept["shares"].items(), key=lambda item: -item[1])
        shares = listed(f"{share:.0%} {name}" for name, share in largest)
        rows.append([str(k), *numbers, shares])
    _print("Selection", ["round", "kept", "transport", "Vendi", "ESS", "shares"], rows)


def print_seconds(rounds: list[Reports]) -> None:
    """Prints what each stage has cost."""
    stages = list(dict.fromkeys(stage for one in rounds for stage in one))
    rows = [
        [str(k), *(f"{one[stage]['seconds']:.0f}" if one.get(stage) else "" for stage in stages)]
        for k, one in enumerate(rounds)
    ]
    _print("Seconds", ["round", *stages], rows)


def _print(title: str, columns: list[str], rows: list[list[str]]) -> None:
    kind = {"task": "name", "shares": "words", "rejected": "words"}
    show(table(title, {name: kind.get(name, "number") for name in columns}, rows))
