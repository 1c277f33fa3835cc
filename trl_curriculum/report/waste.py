"""Which rows the rollouts, or the tokens of SFT, were wasted on: by kind, the dearest first."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .over_time import tokens_of
from .rows_over_time import FAILED, PATIENCE, SOLVED, TURNS, WINDOW, Sequences, in_range, sequences


SHOWN = 12  # rows of each kind
CUT = 0.5  # share of a row's completions that were cut off
EASY, CHANCE = 0.5, 1e-3  # mean of the other rows of the arm; chance of failing all the same
FAR = 5.0  # robust standard deviations above the arm's median loss


class Waste(NamedTuple):
    """
    Rows of one kind.

    Args:
        title, meaning (`str`):
            What the kind is called, and how it is defined.
        n (`int`):
            How many rows are of it.
        share (`float`):
            Their share of all tokens of the run, as far as the kind counts them; NaN where tokens are not known.
        rows (`pandas.DataFrame`):
            The dearest, indexed by row: `arm`, `draws`, `tokens`, `first`, `last` (result of the row's first and last
            draw) and what else tells the kind.
    """

    title: str
    meaning: str
    n: int
    share: float
    rows: pd.DataFrame


def wasted(history: pd.DataFrame, generations: int | None = None) -> list[Waste]:
    """
    The kinds of waste of a run, each row with what was spent on it. A row may be of several.

    Args:
        history (`pandas.DataFrame`):
            In the order of its draws.
        generations (`int`, *optional*):
            Rollouts of a group, where they are known.
    """
    found = sequences(history)
    tokens = tokens_of(history, generations)
    rows = _rows(history, found, tokens)
    kinds = _of_rewards(history, found, tokens, rows) if "reward" in history else _of_losses(found, rows)
    total = float(np.sum(tokens))
    return [_waste(title, meaning, part, total) for title, (meaning, part) in kinds.items()]


def _waste(title: str, meaning: str, part: pd.DataFrame, total: float) -> Waste:
    by = "chance" if "chance" in part else "tokens"
    shown = part.sort_values([by, "draws"], ascending=[by == "chance", False], kind="stable").head(SHOWN)
    share = float(part["tokens"].sum(skipna=False)) / total if total else np.nan
    return Waste(title, meaning, len(part), share, shown)


def _rows(history: pd.DataFrame, found: Sequences, tokens: np.ndarray) -> pd.DataFrame:
    """Each row that showed something: its arm, draws, tokens, first and last result, and state."""
    spent = history.assign(tokens=tokens).groupby("row")
    first = np.diff(found.row, prepend=-1) != 0
    frame = pd.DataFrame(
        {"first": found.result[first], "last": found.result[found.last], "state": found.after[found.last]},
        index=pd.Index(found.row[found.last], name="row"),
    )
    sums = {"arm": spent["arm"].last(), "draws": spent.size(), "tokens": spent["tokens"].sum(min_count=1)}
    return pd.DataFrame(sums).join(frame, how="inner")


def _of_rewards(
    history: pd.DataFrame, found: Sequences, tokens: np.ndarray, rows: pd.DataFrame
) -> dict[str, tuple[str, pd.DataFrame]]:
    of = {name: rows[rows["state"] == k].drop(columns="state") for k, name in enumerate(found.names)}
    again = (found.before == found.names.index("solved")) & (found.result >= SOLVED)
    spent = pd.DataFrame({"row": found.row[again], "tokens": tokens[found.draw[again]]}).groupby("row")["tokens"]
    solved = rows.loc[sorted({*found.row[again].tolist()})].drop(columns="state")
    solved = solved.assign(again=spent.size(), tokens=spent.sum(min_count=1))
    kinds = {
        "Stuck": (
            f"The last {PATIENCE} groups or more earned nothing (at most {FAILED:.0%} of the range).",
            of["stuck"],
        ),
        "Solved and drawn again": (
            f"Solved already (at least {SOLVED:.0%}) when drawn, and solved again: the tokens of such draws.",
            solved,
        ),
        "Oscillating": (
            f"Among the last {WINDOW} groups, {TURNS} or more changes between ⅔ of the range and ⅓ of it.",
            of["oscillating"],
        ),
        "Suspicious golds": (
            f"No rollout ever earned anything, though the arm's other rows earn {EASY:.0%} or more: with their rate, "
            f"the chance of that is below {CHANCE:g}. Look whether the right answer is one.",
            _suspicious(history, rows).drop(columns="state"),
        ),
    }
    if "truncated" in history and history["truncated"].notna().any():
        cut = history.groupby("row")["truncated"].mean().rename("cut off")
        part = rows.join(cut)
        meaning = f"At least {CUT:.0%} of the completions did not end, but were cut off."
        kinds["Cut off"] = (meaning, part[part["cut off"] >= CUT].drop(columns="state"))
    return kinds


def _suspicious(history: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of which every rollout failed, and how likely that is at the rate of the other rows of their arm."""
    share = in_range(history["reward"].to_numpy(float))
    seen = np.isfinite(share)
    scored = history["scored"].to_numpy(float) if "scored" in history else np.ones(len(history))
    drawn = pd.DataFrame({"row": history["row"], "arm": history["arm"], "n": scored, "sum": share * scored})[seen]
    own = drawn.groupby("row")[["n", "sum"]].sum()
    arm = drawn.groupby("arm")[["n", "sum"]].sum().reindex(rows["arm"]).set_index(rows.index)
    others = (arm - own).reindex(rows.index)
    rate = others["sum"] / others["n"].where(others["n"] > 0)
    chance = (1 - rate.clip(upper=1)) ** own["n"].reindex(rows.index)
    failed = (own["sum"].reindex(rows.index) <= 0) & (rate >= EASY) & (chance < CHANCE)
    return rows.assign(others=rate, chance=chance)[failed]


def _of_losses(found: Sequences, rows: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    rising = rows[rows["state"] == found.names.index("rising")].drop(columns="state")
    median = rows.groupby("arm")["last"].transform("median")
    spread = 1.4826 * (rows["last"] - median).abs().groupby(rows["arm"]).transform("median")
    far = (rows["last"] - median) / spread.where(spread > 0)
    kept = (far >= FAR) & (rows["draws"] > 1) & (rows["state"] != found.names.index("falling"))
    return {
        "Rising loss": ("The last loss is at least a tenth above the first.", rising),
        "Suspicious answers": (
            f"Drawn twice or more, not falling, and the last loss is {FAR:.0f} robust standard deviations (1.4826 × "
            "median distance) or more above the median of the arm. Look whether the answer fits the prompt.",
            rows.assign(**{"deviations above": far})[kept].drop(columns="state"),
        ),
    }
