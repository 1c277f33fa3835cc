"""Methods of rollouts: numbers worked out by hand."""

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trl_curriculum import Pool
from trl_curriculum.records import PoolMapping
from trl_curriculum.shaping import CEEH, DRPO, Ares, Canon, Hooks, Lead, Pear, Spine
from trl_curriculum.signals import Rollouts


@pytest.fixture(autouse=True)
def no_warnings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def rollouts(reward: list[float], length: Any = 1, group: Any = None, row: Any = None, **measured: Any) -> Rollouts:
    n = len(reward)
    group = np.zeros(n, int) if group is None else np.array(group)
    return Rollouts(
        group if row is None else np.array(row), group, 0, reward=np.array(reward), advantage=np.zeros(n),
        length=np.broadcast_to(np.array(length), n), measured={name: np.array(one) for name, one in measured.items()},
    )  # fmt: skip


def bound(method: Any, longest: int = 100, rows: int = 10) -> Any:
    made: Hooks = method.bind(Pool(rows), 0)
    made.meet(SimpleNamespace(max_completion_length=longest), None)
    return made


def test_canon_by_entropy_in_several_groups() -> None:
    seen = rollouts([0, 1, 1, 1, 1, 0], group=[0, 0, 0, 0, 1, 1], entropy=[4.0, 3, 2, 1, 0.5, 0.5])
    assert Canon(mu=1.0).advantage(seen).tolist() == [-1.0, 0.0, 0.5, 0.5, 0.5, -0.5]


def test_canon_of_ties_odd_groups_and_missing_rewards() -> None:
    assert Canon(by="length").advantage(rollouts([1, 0, 0, 0])).tolist() == [0.75, -0.25, -0.25, -0.25]
    even = rollouts([1, 0, 0, 0], [1, 2, 3, 4])
    assert Canon(by="length", mu=0.5).advantage(even).tolist() == [0.75, -0.25, -0.25, -0.25], "Dr. GRPO's"
    odd = rollouts([1, 0, 1], [1, 2, 3])  # one in the lower half, two in the upper
    assert Canon(by="length", mu=1.0).advantage(odd).tolist() == [0.5, -1.0, 0.0]
    missing = rollouts([1, np.nan, 0], [1, 2, 3])
    assert Canon(by="length", mu=1.0).advantage(missing)[[0, 2]].tolist() == [1.0, -1.0]
    alone = rollouts([1, np.nan, np.nan])
    assert Canon(by="length").advantage(alone)[0] == 0


def test_drpo_counts_the_whole_group_and_skips_uniform_ones() -> None:
    made = bound(DRPO(tau=1.0), longest=10)
    seen = rollouts([1, 0, np.nan, 1, 1, 1, 0, 0, 0], [2, 9, 9] * 3, np.repeat([0, 1, 2], 3), score=np.zeros(9))
    assert made.advantage(seen).tolist() == [3.0, -3.0, 0, 0, 0, 0, 0, 0, 0]
    far = rollouts([1, 1, 0], [1, 4096, 1], score=[0.0, 0, -900])
    np.testing.assert_allclose(bound(DRPO(shorter=1e-3), 4096).advantage(far), [3, 0, -3], atol=1e-9)


def test_pear_takes_off_hesitation_and_never_adds() -> None:
    seen = rollouts([1, 1, 0], thinking=[0.5, 0.2, 0.9], answer=[0.3, 0.3, 0.0])
    np.testing.assert_allclose(Pear().reward(seen), [-0.2, 0, 0])
    np.testing.assert_allclose(Pear(alpha=0.5).reward(seen), [-0.35, -0.05, 0])


class TestLead:
    def test_a_target_that_is_too_long_makes_answers_longer(self) -> None:
        """Which is why `least` of the code, 1000 tokens, is not ours."""
        made = bound(Lead(least=1000), longest=4000)
        shaped = made.advantage(rollouts([1, 1, 1, 1], [10, 20, 30, 40]))
        np.testing.assert_allclose(shaped, [-1.16, -0.39, 0.39, 1.16], atol=0.005)

    def test_what_there_is_to_learn(self) -> None:
        made = bound(Lead())
        made.advantage(rollouts([1, 1, 1, 0], [10, 30, 10, 50], [0, 0, 1, 1]))
        # being right: mean .75, variance .125 + .0625; efficient: .5 and 1, variance .0625
        variation = np.array([np.sqrt(0.1875) / 0.75, 0.25 / 0.75])
        right, efficient = variation / variation.sum() * [0.25, 0.125]
        assert made.w == pytest.approx(0.95 * 0.5 + 0.05 * right / (right + efficient), abs=1e-7)
        assert made.w == pytest.approx(0.5138, abs=5e-5)

    def test_advantages_by_hand(self) -> None:
        made = bound(Lead(momentum=1.0), longest=40)  # w stays .5
        shaped = made.advantage(rollouts([1, 1, 0, 0, 0, np.nan], [10, 30, 40, 40, 20, 7], [0, 0, 0, 1, 1, 1]))
        right = np.array([1, 1, -2]) / 3 / (np.sqrt(1 / 3) + 1e-4)
        efficient = np.array([0.5, 0.5, 0.0]) - 1 / 3  # the target is 20; 40 is twice as long
        efficient = efficient / (np.sqrt(1 / 12) + 1e-4)
        unsolved = np.array([0.25, -0.25]) / (np.sqrt(0.125) + 1e-4)  # the target is 40: 1 and .5
        mixed = np.concatenate([(right + efficient) / 2, unsolved / 2])
        np.testing.assert_allclose(shaped[:5], (mixed - mixed.mean()) / mixed.std(ddof=1), rtol=1e-6)
        assert shaped[5] == 0

    def test_the_weight_never_falls_below_the_floor(self) -> None:
        made = bound(Lead())
        for _ in range(40):
            made.advantage(rollouts([1, 1, 1], [10, 20, 60]))  # all solved: length alone has something to learn
        assert made.w == pytest.approx(0.5 * 0.95**40) and made.metrics() == {"weight": 0.3}
        before = made.w
        made.advantage(rollouts([1, 1], [10, 10]))
        made.advantage(rollouts([np.nan, np.nan], [10, 20]))
        assert made.w == before, "nothing to learn leaves it where it is"


class TestCEEH:
    def test_records_follow_what_is_better_faster(self) -> None:
        made = bound(CEEH())
        made.observe(rollouts([1, 0], [10, 3], row=[2, 2]))
        assert made.hard[2] and made.accuracy[2] == 0.5 and made.shortest[2] == 10
        made.observe(rollouts([1, 1], [6, 9], row=[2, 2]))
        assert not made.hard[2]
        np.testing.assert_allclose([made.accuracy[2], made.shortest[2]], [0.6, 9.2], rtol=1e-6)
        made.observe(rollouts([0, 0, np.nan], [1, 1, 1], [0, 0, 1], [2, 2, 3]))
        made.observe(rollouts([1, 0], [20, 1], row=[2, 2]))
        np.testing.assert_allclose([made.accuracy[2], made.shortest[2]], [0.57 - 0.05 * 0.07, 9.74], rtol=1e-6)
        assert (np.delete(made.accuracy, 2) == 0.5).all() and np.isnan(np.delete(made.shortest, 2)).all()
        assert made.metrics() == {"hard": pytest.approx(0.1)}

    def test_short_answers_pay_where_the_group_does_as_well_as_it_did(self) -> None:
        made = bound(CEEH())
        made.shortest[:2], made.accuracy[:2] = 10, [0.7, 0.8]
        reward = [1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1]
        seen = rollouts(reward, [6, 20, 200, 1] * 3, np.repeat([0, 1, 2], 4), np.repeat([0, 1, 2], 4))
        added = np.nan_to_num(made.reward(seen))
        np.testing.assert_allclose(added, [0.04, -0.1, -0.9, 0] + [0] * 8, rtol=1e-6)

    def test_a_row_drawn_twice_is_one_row(self) -> None:
        made = bound(CEEH())
        made.observe(rollouts([1, 1, 0, 0], [5, 8, 1, 1], [0, 0, 1, 1], [4, 4, 4, 4]))
        assert made.accuracy[4] == 0.5 and made.shortest[4] == 5 and made.hard[4]

    def test_records_go_where_their_rows_go(self) -> None:
        made, other = bound(CEEH()), bound(CEEH(), rows=3)
        made.observe(rollouts([1, 1, 0, 0], [6, 9, 6, 9], [0, 0, 1, 1], [2, 2, 7, 7]))
        other.load_state_dict(made.state_dict(), PoolMapping(np.array([7, -1, 2]), np.array([0]), 10))
        np.testing.assert_allclose(other.accuracy, [0.475, 0.5, 0.6], rtol=1e-6)
        assert other.hard.tolist() == [True, False, False] and other.shortest[2] == 6


class TestAres:
    def test_by_difficulty(self) -> None:
        made = bound(Ares(weight=1.0))
        made.threshold = 1.0
        reward = [1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0]
        long = [0, 8, 8, 8, 0, 8, 4, 3, 6, 6, 6, 6]
        seen = rollouts(reward, 1, np.repeat([0, 1, 2], 4), long=long, quantile=np.ones(12))
        # hard: n' = 6 and m = 2.1; 3.9 beyond, h = 3.9^2 / 8
        # middling: n' = 3.75, which is rounded to 4, and m = 1; 3 beyond, h = 9 / 6
        short = -1.2 * 0.5 * 3.9**2 / 8 / 6.1
        enough = 1.2 / (1 + np.exp(-2.1 / 3))
        expected = [short, 0.6, 0.6, 0.6, -0.375, -0.375, 0.4, 0.4, enough, 0.6, 0.6, 0.6]
        np.testing.assert_allclose(made.reward(seen), expected)

    def test_the_first_batch_is_measured_and_later_ones_move_the_threshold(self) -> None:
        made = bound(Ares(momentum=0.75))
        seen = rollouts([1, 0, 0], long=[0, 0, 0], quantile=[1.0, 3.0, np.nan])
        assert made.reward(seen).tolist() == [0, 0, 0]
        made.observe(seen)
        assert made.threshold == 2
        made.observe(rollouts([1, 0], long=[0, 0], quantile=[4.0, 4.0]))
        assert made.metrics() == {"threshold": 2.5}
        made.observe(rollouts([1], long=[0], quantile=[np.nan]))
        assert made.threshold == 2.5
        unscored = rollouts([np.nan, np.nan], long=[1, 2], quantile=[1.0, 1.0])
        assert made.reward(unscored).tolist() == [0, 0]


def test_spine_pays_for_agreeing() -> None:
    answer = Spine().read(["so 1", "So 1", "so 2", "a\nb", "c\nb", "", "", "so 3", "so 4"])["answer"]
    assert (answer[5] == 0 and answer[0] == answer[1] == np.float32(answer[0]).astype(np.float64)) or answer[0] > 2**24
    seen = rollouts([1, 0, 0.5, 0, 1, 1, 0, 0, 0], group=[0, 0, 0, 1, 1, 1, 1, 2, 2], answer=answer)
    total = seen.reward + Spine().reward(seen)
    assert total[:7].tolist() == [1, 1, 0, 1, 1, 0, 0]
    assert sorted(total[7:]) == [0, 1], "of two that are given equally often one is chosen"
    with pytest.raises(ValueError, match=r"low=0.6 of spine must not be above high=0.5"):
        Spine(low=0.6)


def test_a_row_whose_draws_were_made_one_group_counts_once() -> None:
    """`allocation` makes one group of all draws of a row, which need not stand side by side."""
    group, long = np.array([0, 0, 1, 1, 0, 0]), np.array([0.0, 0, 1, 1, 8, 8])  # n' = round((4 + 1) / 2)
    apart, order = rollouts([1.0] * 6, group=group, long=long, quantile=np.ones(6)), np.argsort(group, kind="stable")
    beside = rollouts([1.0] * 6, group=group[order], long=long[order], quantile=np.ones(6))
    assert apart.starts.tolist() == [0, 2] and beside.starts.tolist() == [0, 4]
    made = bound(Ares())
    made.threshold = 1.0
    np.testing.assert_array_equal(made.reward(apart)[order], made.reward(beside))
