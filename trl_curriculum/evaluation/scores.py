"""What is read off the training of a simulated learner, and how it is summed up over seeds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binom

from ..signals import FloatArray


WASTE = ("solved", "impossible", "noisy", "locked")  # columns of a run: shares of draws that teach nothing


def area(run: pd.DataFrame) -> float:
    """Mean competence over the steps of a run, which is the area under its curve."""
    return float(run["competence"].mean())


def steps_to(run: pd.DataFrame, level: float, since: int = 0) -> float:
    """Steps from step `since` on until the competence reaches a level; infinite where it never does."""
    reached = np.flatnonzero(run["competence"].to_numpy()[since:] >= level)
    return float(reached[0] + 1) if len(reached) else np.inf


def scores(
    run: pd.DataFrame, uniform: pd.DataFrame, placebo: pd.DataFrame | None = None, since: int = 0
) -> dict[str, float]:
    """
    Scores of a run, against others of the same world and seed.

    Args:
        run (`pandas.DataFrame`):
            What [`~trl_curriculum.evaluation.simulated.simulate`] returned.
        uniform (`pandas.DataFrame`):
            The same under `uniform`.
        placebo (`pandas.DataFrame`, *optional*):
            The same under the method's placebo.
        since (`int`, *optional*, defaults to `0`):
            Step from which times and gains count: that of a shift.

    Returns:
        `dict[str, float]`: `area`, the mean competence over all steps, and how far it is above that of `uniform`
        (`over_uniform`) and of the placebo (`over_placebo`); `final` competence, and what was gained in all (`gain`);
        `time`, the share of the steps until it reaches what `uniform` reached in the end, infinite where it never
        does; the mean share of draws that are wasted, by kind; the `coverage` at the end; and the mean share of groups
        with `zero_variance`.
    """
    competence = run["competence"].to_numpy()
    found = {
        "area": area(run),
        "over_uniform": area(run) - area(uniform),
        "over_placebo": np.nan if placebo is None else area(run) - area(placebo),
        "final": float(competence[-1]),
        "gain": float(competence[-1] - competence[since]),
        "time": steps_to(run, float(uniform["competence"].iloc[-1]), since) / (len(run) - since),
    }
    found |= {name: float(run[name].mean()) for name in WASTE}
    return found | {"coverage": float(run["coverage"].iloc[-1]), "zero_variance": float(run["zero_variance"].mean())}


def median(values: Sequence[float] | FloatArray, confidence: float = 0.95) -> tuple[float, float, float]:
    """
    Median of some values, and the narrowest interval of two of them that holds the true median with a probability.

    Whatever the values' distribution is, of n of them the k-th from either end enclose the median with probability
    1 - 2 P(B < k), B being binomial with n trials of 1/2. From 6 values on there is such a k for .95.

    Args:
        values (shape `(n,)`):
            The values, infinite ones among them.
        confidence (`float`, *optional*, defaults to `0.95`):
            That probability, at least.

    Returns:
        `tuple[float, float, float]`: the median, and the ends of the interval.

    Raises:
        `ValueError`: where there are too few values.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    k = int(binom.ppf((1 - confidence) / 2, n, 0.5))  # the largest k with P(B < k) <= (1 - confidence) / 2
    if k < 1:
        raise ValueError(f"{n} values have no interval that holds their median with {confidence:.0%}: give more.")
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    return float(low if low == high else (low + high) / 2), float(ordered[k - 1]), float(ordered[n - k])
