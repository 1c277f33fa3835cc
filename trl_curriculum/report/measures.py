"""Numbers of a run over its stretches of steps, and what uniform draws would have met."""

import numpy as np
import pandas as pd

from ..signals import FloatArray
from .over_time import stretch_of, stretches, tokens_of
from .rows_over_time import FAILED, SOLVED, in_range


OUTCOMES = ("rewards differ", "all solved", "all failed", "all alike", "not scored")
LEAST = 10.0  # effective groups of a stretch that an estimate rests on


def measures(history: pd.DataFrame, rows: int | None, generations: int | None = None) -> pd.DataFrame:
    """
    Means of the draws of each stretch.

    Returns:
        `pandas.DataFrame`, one row per stretch: `begin`, `step`, `tokens_begin`, `tokens`; `length` (tokens),
        `coverage` (share of the pool drawn so far; only where `rows` is known); of GRPO `zero_variance` (share of the
        groups with at least two rewards), `truncated` (share of completions) and `per_useful` (tokens per group whose
        rewards differ; NaN where there is none); of SFT `entropy` (nats).
    """
    stretch, ends = stretch_of(history)
    frame = pd.DataFrame(stretches(history, generations))
    n = len(ends)
    frame["length"] = _mean(history["length"].to_numpy(float), stretch, n)
    if rows:
        first = ~history["row"].duplicated().to_numpy()
        frame["coverage"] = np.cumsum(np.bincount(stretch[first], minlength=n)) / rows
    if "entropy" in history:
        frame["entropy"] = _mean(history["entropy"].to_numpy(float), stretch, n)
    if "reward" in history:
        scored, zero = is_scored(history), history["zero_variance"].to_numpy(float)
        frame["zero_variance"] = _mean(np.where(scored, zero, np.nan), stretch, n)
        if "truncated" in history:
            frame["truncated"] = _mean(history["truncated"].to_numpy(float), stretch, n)
        useful = np.bincount(stretch, scored & (zero == 0), minlength=n)
        spent = np.bincount(stretch, tokens_of(history, generations), minlength=n)
        frame["per_useful"] = np.divide(spent, useful, out=np.full(n, np.nan), where=useful > 0)
    return frame


def outcomes(history: pd.DataFrame, generations: int | None = None) -> pd.DataFrame:
    """
    What became of the groups of each stretch (GRPO): whether their rewards differ, and if not, why.

    Returns:
        `pandas.DataFrame`: `begin`, `step`, `tokens_begin`, `tokens`, `outcome`, `place`, `draws` and `share`.
    """
    stretch, ends = stretch_of(history)
    share, zero = in_range(history["reward"].to_numpy(float)), history["zero_variance"].to_numpy(bool)
    which = np.select([~is_scored(history), ~zero, share >= SOLVED, share <= FAILED], [4, 0, 1, 2], 3)
    n = len(OUTCOMES)
    draws = np.bincount(stretch * n + which, minlength=len(ends) * n).reshape(-1, n)
    when = pd.DataFrame(stretches(history, generations))
    return when.loc[when.index.repeat(n)].assign(
        outcome=[*OUTCOMES] * len(ends),
        place=np.tile(np.arange(n), len(ends)),
        draws=draws.ravel(),
        share=(draws / np.maximum(draws.sum(axis=1, keepdims=True), 1)).ravel(),
    )


def uniform_zero_variance(history: pd.DataFrame, rows: int | None) -> tuple[FloatArray | None, str]:
    """
    The share of groups without variance that uniform draws would have met, of the same model at the same time.

    Each group stands for as many rows as its draw was improbable: with the marginal probability pᵢ of its row, the
    estimate over a stretch is Σ zᵢ/pᵢ / Σ 1/pᵢ (Hájek). It is sound where every row of the pool could be drawn, and
    then the mean of 1/pᵢ is the number of rows; where that falls short by more than three standard errors, rows were
    out of reach, and nothing is estimated. Stretches with fewer than 10 effective groups, (Σ 1/pᵢ)² / Σ 1/pᵢ², are
    gaps.

    Returns:
        `tuple[FloatArray | None, str]`: a share per stretch, or `None`, and why.
    """
    scored = is_scored(history)
    p = history["probability"].to_numpy(float)[scored]
    if not len(p) or not (p > 0).all():
        return None, "the method gives no probabilities of rows"
    if not rows:
        return None, "how many rows the pool has is not known"
    weight = 1 / p
    error = weight.std() / np.sqrt(len(weight))
    if weight.mean() + 3 * error < 0.99 * rows:
        return None, f"the draws reach only about {weight.mean():,.0f} of {rows:,} rows at a time"
    stretch, ends = stretch_of(history)
    stretch, zero, n = stretch[scored], history["zero_variance"].to_numpy(float)[scored], len(ends)
    total, squares = (np.bincount(stretch, value, minlength=n) for value in (weight, weight**2))
    enough = total**2 >= LEAST * np.maximum(squares, np.finfo(float).tiny)
    if not enough.any():
        return None, f"no stretch of steps has {LEAST:.0f} effective groups"
    return np.divide(np.bincount(stretch, weight * zero, minlength=n), total, out=np.full(n, np.nan), where=enough), ""


def is_scored(history: pd.DataFrame) -> np.ndarray:
    """Which groups have two rewards at least, so that they can differ; shape `(draws,)`."""
    return history["scored"].to_numpy(float) > 1 if "scored" in history else history["reward"].notna().to_numpy()


def _mean(value: FloatArray, stretch: np.ndarray, n: int) -> FloatArray:
    seen = np.isfinite(value)
    count = np.bincount(stretch[seen], minlength=n)
    return np.divide(
        np.bincount(stretch[seen], value[seen], minlength=n), count, out=np.full(n, np.nan), where=count > 0
    )
