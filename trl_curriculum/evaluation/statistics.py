"""Paired differences between methods over seeds: a bootstrap interval, and an exact test by flips of signs."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..signals import FloatArray


LEVEL = 0.95
RESAMPLES = 9999
FLIPS = 2**16  # of signs, up to which all are counted


@dataclass(frozen=True)
class Difference:
    """
    A mean difference over seeds.

    Args:
        mean (`float`):
            Over the pairs.
        low, high (`float`):
            Ends of the interval; NaN with one pair.
        p (`float`):
            Two-sided; NaN with one pair.
        wins (`int`):
            Pairs in which the method is better.
        pairs (`int`):
            Seeds.
    """

    mean: float
    low: float
    high: float
    p: float
    wins: int
    pairs: int


def difference(values: FloatArray, baseline: FloatArray, less_is_better: bool = False) -> Difference:
    """
    Compares a method with a baseline on the same seeds; with one seed there is a mean alone.

    Args:
        values, baseline (shape `(seeds,)`):
            What each has reached, in the order of the same seeds.
        less_is_better (`bool`, *optional*, defaults to `False`):
            Whether a pair is won by the smaller value.
    """
    delta = np.asarray(values, float) - np.asarray(baseline, float)
    low, high, p = (*interval(delta), sign_flips(delta)) if len(delta) > 1 else (np.nan, np.nan, np.nan)
    return Difference(
        float(delta.mean()), low, high, p, int((delta < 0 if less_is_better else delta > 0).sum()), len(delta)
    )


def interval(delta: FloatArray, level: float = LEVEL) -> tuple[float, float]:
    """
    Percentile bootstrap interval of the mean over pairs; the same differences give the same interval.

    Raises:
        `ValueError`: with fewer than two pairs, which tell nothing of chance.
    """
    if len(delta) < 2:
        raise ValueError("An interval over seeds takes two seeds at least: give more in `seeds`.")
    found = stats.bootstrap(
        (delta,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def sign_flips(delta: FloatArray) -> float:
    """
    Two-sided p-value of a mean difference of 0, were a method as likely to be ahead as behind on every seed: the share
    of all 2^n flips of signs whose mean is as far from 0. Beyond 16 pairs, of 65,536 flips drawn at random.
    """
    test = stats.permutation_test(
        (delta,), np.mean, permutation_type="samples", n_resamples=FLIPS, rng=np.random.default_rng(0)
    )
    return float(test.pvalue)


def smallest_p(pairs: int) -> float:
    """The smallest p-value that so many pairs can have: all on one side, of both."""
    return 2.0 ** (1 - pairs)


def coverage(pairs: int, level: float = LEVEL) -> float:
    """
    How often a bootstrap interval of so many pairs holds the true difference, were differences normal.

    Of two or three pairs it goes from the smallest to the largest, which are on both sides of the true one unless all
    are on one. Of more, its half width is about z s √(n − 1) / n, with the quantile z of the normal distribution,
    while the mean's error over s / √n follows Student's t.
    """
    if 1 / pairs**pairs > (1 - level) / 2:  # the share of resamples that are one pair alone
        return 1 - smallest_p(pairs)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt((pairs - 1) / pairs)
    return float(2 * stats.t.cdf(half, pairs - 1) - 1)
