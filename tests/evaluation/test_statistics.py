"""Intervals and p-values of differences whose values are known, and curves whose areas are."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from trl_curriculum.evaluation.matching import match
from trl_curriculum.evaluation.statistics import coverage, difference, interval, sign_flips, smallest_p


def test_the_interval_of_two_pairs_is_both() -> None:
    """A resample is one of both twice (a quarter each) or both: 2.5 % and 97.5 % lie at the pairs themselves."""
    assert interval(np.array([1.0, 3.0])) == (1.0, 3.0)


def test_the_interval_of_four_pairs_is_that_of_all_resamples() -> None:
    """Of 0, 0, 0, 4 the mean of a resample is its number of fours, binomial (4, 1/4): up to 0 .316, 1 .738, 2 .949."""
    assert interval(np.array([0.0, 0.0, 0.0, 4.0])) == (0.0, 3.0)
    assert interval(np.array([0.0, 0.0, 0.0, 4.0]), level=0.6) == (0.0, 2.0)  # 20 % at none, 80 % at two
    every = [np.mean(one) for one in itertools.product([-2.0, -0.5, 1.0, 4.0], repeat=4)]
    low, high = np.quantile(every, [0.025, 0.975], method="inverted_cdf")
    assert interval(np.array([-2.0, -0.5, 1.0, 4.0])) == pytest.approx((low, high), abs=0.13)  # next to each other


def test_the_same_differences_have_the_same_interval() -> None:
    delta = np.random.default_rng(0).normal(size=7)
    assert interval(delta) == interval(delta.copy())
    low, high = interval(delta + 5)
    assert (low - 5, high - 5) == pytest.approx(interval(delta))


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(ValueError, match=r"takes two seeds at least: give more in `seeds`\.$"):
        interval(np.array([1.0]))
    alone = difference(np.array([3.0]), np.array([1.0]))
    assert (alone.mean, alone.wins, alone.pairs) == (2.0, 1, 1)
    assert all(map(math.isnan, (alone.low, alone.high, alone.p)))


@pytest.mark.parametrize(
    ("delta", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # only itself and its opposite are as far from 0
        ([1.0, 2.0, 3.0, 4.0, 5.0], 2 / 32),
        ([-1.0, 2.0, 3.0], 4 / 8),  # sums 4, 6 and their opposites
        ([1.0, -1.0], 1.0),
        ([3.0, 1.0, -2.0], 6 / 8),  # sums 6, 4, 2, 0, 0, -2, -4, -6: all but the two of 0
        ([0.5] * 6, 2 / 64),
    ],
)
def test_all_flips_of_signs_are_counted(delta: list[float], p: float) -> None:
    assert sign_flips(np.array(delta)) == pytest.approx(p)
    assert sign_flips(-np.array(delta)) == pytest.approx(p)
    assert p >= smallest_p(len(delta))


def test_differences_are_paired() -> None:
    """Seeds that differ much among themselves, and a method that is ahead by the same on each."""
    uniform = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
    found = difference(uniform + 1, uniform)
    assert (found.mean, found.low, found.high, found.p, found.wins) == (1.0, 1.0, 1.0, pytest.approx(1 / 16), 5)
    assert difference(uniform + 1, uniform, less_is_better=True).wins == 0
    assert smallest_p(5) == 1 / 16


@pytest.mark.parametrize(("pairs", "share"), [(2, 0.5), (3, 0.75), (4, 0.81), (5, 0.845)])
def test_how_often_an_interval_of_few_is_right(pairs: int, share: float) -> None:
    """Counted over many normal samples, with all n^n resamples of each."""
    values = np.random.default_rng(0).normal(size=(4000, pairs))
    resamples = np.array(list(itertools.product(range(pairs), repeat=pairs)))
    resamples = np.unique(np.sort(resamples, axis=1), axis=0, return_counts=True)
    means = values[:, resamples[0]].mean(axis=2)
    low, high = np.quantile(
        means, [0.025, 0.975], axis=1, weights=np.tile(resamples[1], (4000, 1)), method="inverted_cdf"
    )
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(share, abs=0.02)
    assert coverage(pairs) == pytest.approx(share, abs=0.02)
    assert 0.945 < coverage(200) < 0.95


def test_the_docs_say_the_same() -> None:
    page = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\.\d+) \| (\d+) % \|$", page, flags=re.MULTILINE)
    assert len(rows) == 6
    for pairs, p, share in rows:
        assert float(p) == pytest.approx(smallest_p(int(pairs)), abs=5e-4 if len(p) < 6 else 0)
        assert int(share) == round(100 * coverage(int(pairs)))


# Curves at equal cost


def test_curves_are_matched_at_equal_cost() -> None:
    """The same straight line in steps, of runs whose steps cost 10 and 20: at equal cost one is behind."""
    step = np.arange(1, 11)
    matched = match({"cheap": (10.0 * step, step / 10), "dear": (20.0 * step, step / 10)})
    assert (matched.cost[0], matched.end) == (20.0, 100.0)  # where dear begins, where cheap ends
    assert matched.final.tolist() == [1.0, 0.5]
    assert matched.area == pytest.approx([0.6, 0.3])  # means of straight lines from .2 to 1 and from .1 to .5
    assert matched.value[1, matched.cost.tolist().index(70.0)] == pytest.approx(0.35)


def test_points_in_other_places_count_as_they_are() -> None:
    """A bend between two of the other's points is kept, so that areas are exact."""
    matched = match(
        {"bent": (np.array([0.0, 1.0, 10.0]), np.array([0.0, 9.0, 0.0])), "flat": (np.array([0.0, 10.0]),) * 2}
    )
    assert matched.cost.tolist() == [0.0, 1.0, 10.0]
    assert matched.area == pytest.approx([4.5, 5.0])


def test_a_single_point_is_its_own_area() -> None:
    matched = match({"a": (np.array([5.0]), np.array([2.0])), "b": (np.array([0.0, 10.0]), np.array([0.0, 1.0]))})
    assert matched.area.tolist() == matched.final.tolist() == [2.0, 0.5]


@pytest.mark.parametrize(
    ("curves", "words"),
    [
        (
            {"a": ([1.0, 2.0], [0, 0]), "b": ([3.0, 4.0], [0, 0])},
            "a ends at a cost of 2, before b has its first point, at 3:",
        ),
        ({"a": ([1.0, 2.0], [0, 0]), "b": ([], [])}, "b has no point to compare:"),
    ],
)
def test_curves_that_do_not_meet(curves: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        match({name: (np.array(cost), np.array(value)) for name, (cost, value) in curves.items()})
