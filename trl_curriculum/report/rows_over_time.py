"""
What becomes of a row: a state after each of its draws, from its own sequence of results alone.

GRPO. A result is the mean reward of a group, as a share of the range: [0, 1] where all rewards lie in there, else from
the least to the largest group mean of the run. Groups without a reward do not count. With r₁ … rₖ, in this order:

- *unseen*: k = 0;
- *oscillating*: among the last 6 groups it changed at least 3 times between at least ⅔ and at most ⅓ of the range
  (groups between are passed over);
- *solved*: rₖ ≥ .9;
- *stuck*: the last 3 groups, or more, are ≤ .1;
- *hard*: none was above .1 so far, and there were fewer than 3;
- *learning*: all others.

SFT. A result is the row's loss, as training saw it. With l₁ … lₖ:

- *unseen*: k = 0; *once*: k = 1;
- *falling*: lₖ ≤ .9 l₁; *rising*: lₖ ≥ 1.1 l₁;
- *flat*: all others.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from ..signals import FloatArray, IntArray
from .over_time import stretch_of, stretches


SOLVED, FAILED = 0.9, 0.1  # shares of the range of rewards
HIGH, LOW, WINDOW, TURNS = 2 / 3, 1 / 3, 6, 3
PATIENCE = 3  # failed groups
CHANGE = 0.1  # of a loss, relative
OF_REWARDS = ("unseen", "hard", "stuck", "oscillating", "learning", "solved")
OF_LOSSES = ("unseen", "once", "rising", "flat", "falling")


class Sequences(NamedTuple):
    """
    All draws that showed something, by row and in the order of each row's draws; arrays of shape `(n,)`.

    Args:
        names (`tuple[str, ...]`):
            Of the states.
        draw (`IntArray`):
            Position of the draw in the history.
        row (`IntArray`):
            Row of the draw.
        result (`FloatArray`):
            Share of the range (GRPO) or loss (SFT).
        before, after (`IntArray`):
            State of the row before and after it, a position in `names`.
        last (`ndarray` of `bool`):
            Whether it is the row's last.
    """

    names: tuple[str, ...]
    draw: IntArray
    row: IntArray
    result: FloatArray
    before: IntArray
    after: IntArray
    last: np.ndarray


def in_range(reward: FloatArray) -> FloatArray:
    """Group means as shares of the range of rewards; NaN everywhere where rewards outside [0, 1] are all alike."""
    seen = reward[np.isfinite(reward)]
    if not len(seen) or (seen.min() >= 0 and seen.max() <= 1):
        return reward
    width = seen.max() - seen.min()
    return (reward - seen.min()) / width if width > 0 else np.full(len(reward), np.nan)


def sequences(history: pd.DataFrame) -> Sequences:
    """The states of all rows after each of their draws, from a history in the order of its draws."""
    rewards = "reward" in history
    result = in_range(history["reward"].to_numpy(float)) if rewards else history["loss"].to_numpy(float)
    row = history["row"].to_numpy()
    order = np.lexsort((history["draw"].to_numpy(), history["step"].to_numpy(), row))
    order = order[np.isfinite(result[order])]
    row, result = row[order], result[order]
    first = np.diff(row, prepend=-1) != 0
    start = np.maximum.accumulate(np.where(first, np.arange(len(row)), 0))
    after = (_of_rewards if rewards else _of_losses)(row, result, np.arange(len(row)) - start + 1, start)
    before = np.where(first, 0, np.roll(after, 1))
    names = OF_REWARDS if rewards else OF_LOSSES
    return Sequences(names, order, row, result, before, after, np.roll(first, -1))


def migration(history: pd.DataFrame, rows: int, generations: int | None = None) -> pd.DataFrame:
    """
    How many of the `rows` of the pool are in which state at the end of each stretch of steps.

    Returns:
        `pandas.DataFrame`: `begin`, `step`, `tokens_begin`, `tokens`, `state`, `place` (of the state), `rows`
        and `share`.
    """
    found = sequences(history)
    stretch, ends = stretch_of(history)
    moves = np.zeros((len(ends), len(found.names)), np.int64)
    np.add.at(moves, (stretch[found.draw], found.after), 1)
    np.add.at(moves, (stretch[found.draw], found.before), -1)
    counts = np.cumsum(moves, axis=0)
    counts[:, 0] += rows
    when = pd.DataFrame(stretches(history, generations))
    n = len(found.names)
    return when.loc[when.index.repeat(n)].assign(
        state=[*found.names] * len(ends),
        place=np.tile(np.arange(n), len(ends)),
        rows=counts.ravel(),
        share=counts.ravel() / rows,
    )


def _of_rewards(row: IntArray, result: FloatArray, k: IntArray, start: IntArray) -> IntArray:
    # [0] is the newest of each row's last groups; NaN where there was none.
    at = np.arange(len(row))[None] - np.arange(WINDOW)[:, None]
    recent = np.where(at >= start, result[np.maximum(at, 0)], np.nan)
    best = pd.Series(result).groupby(row).cummax().to_numpy() if len(row) else result
    side = np.where(recent >= HIGH, 1, np.where(recent <= LOW, -1, 0))
    turns, last = np.zeros(len(row), int), np.zeros(len(row), int)
    for one in side[::-1]:
        turns += (one * last) < 0
        last = np.where(one != 0, one, last)
    conditions = {
        "oscillating": turns >= TURNS,
        "solved": result >= SOLVED,
        "stuck": (k >= PATIENCE) & (recent[:PATIENCE] <= FAILED).all(axis=0),
        "hard": (k < PATIENCE) & (best <= FAILED),
    }
    return _first_that_holds(conditions, OF_REWARDS, "learning")


def _of_losses(row: IntArray, result: FloatArray, k: IntArray, start: IntArray) -> IntArray:
    first = result[start]
    conditions = {
        "once": k == 1,
        "falling": result <= (1 - CHANGE) * first,
        "rising": result >= (1 + CHANGE) * first,
    }
    return _first_that_holds(conditions, OF_LOSSES, "flat")


def _first_that_holds(conditions: dict[str, np.ndarray], names: tuple[str, ...], otherwise: str) -> IntArray:
    places = [names.index(name) for name in conditions]
    return np.select([*conditions.values()], places, names.index(otherwise))
