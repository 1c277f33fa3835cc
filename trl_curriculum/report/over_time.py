"""Draws over time, as frames for figures: one row per stretch of optimizer steps and arm or measure."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..data.names import keys
from ..signals import FloatArray, IntArray


STRETCHES = 60  # of equal numbers of steps, into which a run is divided
ARMS = 20  # that are shown by name; the others are one band


def signal_of(history: pd.DataFrame) -> str:
    """What a history is about: `"reward"` (GRPO) or `"loss"` (SFT)."""
    return "reward" if "reward" in history else "loss"


def label_arms(histories: Sequence[pd.DataFrame], most: int = ARMS) -> tuple[dict[str, str], str | None]:
    """
    The arms that are shown by name, the most drawn, and what the others are called together.

    Args:
        histories (`Sequence[pandas.DataFrame]`):
            One or several runs'.
        most (`int`, *optional*, defaults to `20`):
            Arms that are named.

    Returns:
        `tuple[dict[str, str], str | None]`: a label for each named arm, the most drawn first, no two alike; the label
        of the others, `None` where there are none.
    """
    counts = pd.concat([one["arm"].value_counts() for one in histories]).groupby(level=0).sum()
    order = counts.sort_values(ascending=False, kind="stable").index.tolist()
    few = order if len(order) <= most + 1 else order[:most]
    rest = None if len(few) == len(order) else f"{len(order) - most:,} other arms"
    return keys(few, taken=[] if rest is None else [rest]), rest


def stretch_of(history: pd.DataFrame, most: int = STRETCHES) -> tuple[IntArray, IntArray]:
    """The stretch of each draw, shape `(draws,)`, and the number of steps done at the end of each stretch."""
    step = history["step"].to_numpy()
    steps = int(step.max()) + 1
    n = min(most, steps)
    ends = -(-np.arange(1, n + 1) * steps // n)
    return np.searchsorted(ends, step, side="right"), ends


def tokens_of(history: pd.DataFrame, generations: int | None = None) -> FloatArray:
    """
    Tokens of each draw, shape `(draws,)`: in SFT those that are trained on, in GRPO those of its completions, which
    are `generations` in number, or else as many as were scored; NaN where lengths are missing.
    """
    length = history["length"].to_numpy(float)
    if signal_of(history) == "loss":
        return length
    if generations is not None:
        return length * generations
    return length * history["scored"].to_numpy(float) if "scored" in history else np.full(len(history), np.nan)


def stretches(history: pd.DataFrame, generations: int | None = None) -> dict[str, np.ndarray]:
    """Steps and tokens done before and after each stretch; tokens are NaN from a draw on whose length is missing."""
    stretch, ends = stretch_of(history)
    tokens = np.cumsum(np.bincount(stretch, tokens_of(history, generations), minlength=len(ends)))
    begin = {"begin": np.r_[0, ends[:-1]], "tokens_begin": np.r_[0.0, tokens[:-1]]}
    return begin | {"step": ends, "tokens": tokens}


def arms_over_time(
    history: pd.DataFrame, labels: Mapping[str, str], rest: str | None, generations: int | None = None
) -> pd.DataFrame:
    """
    Draws and what they showed, per stretch and arm.

    Args:
        history (`pandas.DataFrame`):
            With one draw at least.
        labels, rest:
            As [`label_arms`] returns them.
        generations (`int`, *optional*):
            See [`tokens_of`].

    Returns:
        `pandas.DataFrame`: `begin`, `step`, `tokens_begin`, `tokens` (steps and tokens done before and after the
        stretch), `arm` (label), `place` (of the label), `draws`, `share` (of the draws of the stretch) and `reward` or
        `loss` (mean over the draws where it was observed, NaN where there is none).
    """
    stretch, ends = stretch_of(history)
    names = [*labels.values(), *([rest] if rest is not None else [])]
    index = {arm: k for k, arm in enumerate(labels)}
    arm = history["arm"].map(index).fillna(len(labels)).to_numpy(int)
    cell, size = stretch * len(names) + arm, len(ends) * len(names)
    draws = np.bincount(cell, minlength=size).reshape(len(ends), -1)
    signal = signal_of(history)
    value = history[signal].to_numpy(float)
    seen = np.isfinite(value)
    count = np.bincount(cell[seen], minlength=size)
    total = np.bincount(cell[seen], value[seen], minlength=size)
    when = pd.DataFrame(stretches(history, generations))
    return when.loc[when.index.repeat(len(names))].assign(
        **{
            "arm": names * len(ends),
            "place": np.tile(np.arange(len(names)), len(ends)),
            "draws": draws.ravel(),
            "share": (draws / np.maximum(draws.sum(axis=1, keepdims=True), 1)).ravel(),
            signal: np.divide(total, count, out=np.full(size, np.nan), where=count > 0),
        }
    )
