"""The sum tree draws as its weights say, and is the tree that these alone would give."""

from typing import Any

import numpy as np
import pytest

from trl_curriculum.curricula.parts.sum_tree import SumTree
from trl_curriculum.disk.state import StateError
from trl_curriculum.testing.case import through_disk


class Numbers:
    """A generator whose uniform numbers are given."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers

    def random(self, n: int) -> np.ndarray:
        assert n == len(self.numbers)
        return self.numbers.copy()


@pytest.mark.parametrize("size", [1, 2, 16, 17, 256, 257, 5000])
def test_it_draws_the_row_in_whose_part_of_the_sum_a_number_lies(size: int) -> None:
    rng = np.random.default_rng(size)
    weight = rng.integers(0, 4, size).astype(float)  # whole numbers: sums are exact
    weight[rng.integers(size)] = 1.0
    tree, numbers = SumTree(weight), np.concatenate([[0.0, 1 - 2**-53], rng.random(500)])
    expected = np.searchsorted(np.cumsum(weight), numbers * weight.sum(), side="right")
    assert tree.draw(Numbers(numbers), 502).tolist() == expected.tolist()  # type: ignore[arg-type]
    assert tree.total == weight.sum() and (weight[expected] > 0).all()
    assert tree.probability(np.arange(size)) == pytest.approx(weight / weight.sum())


def test_a_number_that_rounding_brings_past_the_end_draws_the_last_row_with_a_weight() -> None:
    weight = np.concatenate([np.full(300, 0.1), np.zeros(40)])
    assert SumTree(weight).draw(Numbers(np.array([1 + 1e-9])), 1).tolist() == [299]  # type: ignore[arg-type]


def test_new_weights_leave_the_tree_that_they_alone_would_give() -> None:
    rng = np.random.default_rng(0)
    weight = rng.random(1000)
    tree = SumTree(weight)
    for _ in range(50):
        row = rng.integers(0, 1000, 30)
        weight[row] = 10.0 ** rng.integers(-9, 9, 30)
        tree.set(row, weight[row])
    tree.set(np.array([7, 8]), 0.0)
    weight[[7, 8]] = 0
    again = SumTree(weight)
    assert all((a == b).all() for a, b in zip(tree.levels, again.levels, strict=True))  # to the last bit


def test_distinct_rows_come_as_one_after_the_other_from_those_left() -> None:
    weight, tree, rng = np.array([1.0, 2.0, 3.0]), SumTree(np.array([1.0, 2.0, 3.0])), np.random.default_rng(0)
    n, found = 6000, np.zeros((3, 3))
    for _ in range(n):
        a, b = tree.draw_distinct(rng, 2)
        found[a, b] += 1
    expected = np.outer(weight / 6 / (6 - weight), weight) * (1 - np.eye(3))
    assert expected.sum() == pytest.approx(1)  # Plackett-Luce
    assert found / n == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(n))
    assert tree.weight.tolist() == weight.tolist()


def test_rows_that_hardly_weigh_anything_are_found_where_no_others_are_left() -> None:
    weight = np.concatenate([[1.0], np.full(40, 1e-200), np.zeros(9)])
    tree = SumTree(weight)
    rows = tree.draw_distinct(np.random.default_rng(0), 50)
    assert rows[0] == 0 and sorted(rows.tolist()) == list(range(41))  # fewer than asked for, and none without a weight
    assert tree.weight.tolist() == weight.tolist() and tree.total == 1.0


def test_it_goes_on_from_a_saved_state_and_refuses_another() -> None:
    tree = SumTree(np.random.default_rng(0).random(300))
    state: dict[str, Any] = through_disk(tree.state_dict())
    again = SumTree(np.ones(300))
    again.load_state_dict(state)
    assert (again.draw(np.random.default_rng(5), 64) == tree.draw(np.random.default_rng(5), 64)).all()
    for damaged in (state["weight"][1:], -state["weight"], state["weight"] * np.nan):
        with pytest.raises(StateError):
            again.load_state_dict({"weight": damaged})
