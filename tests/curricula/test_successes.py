"""Curricula that follow the success of rows: numbers that can be worked out by hand."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from trl_curriculum import CURRICULA, Feedback, Pool
from trl_curriculum.curricula.lze import energy
from trl_curriculum.curricula.parts.success_belief import SuccessBelief
from trl_curriculum.curricula.successes import DRY, Shown
from trl_curriculum.testing.simulated import pool, run


ALL = ("greso", "mopps", "cures", "lilo", "lze")


def bound(spec: Any, size: int = 4, arm: Sequence[int] | None = None, seed: int = 0) -> Any:
    return CURRICULA.make(spec).bind(Pool(size, arm), seed)


def shown(row: Sequence[int], right: Sequence[float], of: int = 4, step: int = 0) -> Feedback:
    """Each row in a group of `of` rollouts, of which so many are right."""
    reward = np.concatenate([np.r_[np.ones(int(k)), np.zeros(of - int(k))] for k in right])
    rows = np.repeat(row, of)
    return Feedback(rows, np.repeat(np.arange(len(row)), of), step, reward, rewards={"accuracy": reward})


class TestShown:
    def test_successes_trials_and_whether_they_differ(self) -> None:
        row = np.array([7, 7, 7, 2, 2, 2, 5, 5, 9, 9])
        reward = np.array([1.0, 0.5, np.nan, 0.1, 0.1, 0.1, np.nan, np.nan, np.nan, 1.0])
        found = Shown.of(Feedback(row, np.arange(10), 0, reward))
        assert found.row.tolist() == [2, 7, 9]  # of row 5 nothing was observed
        assert found.successes == pytest.approx([0.3, 1.5, 1.0]) and found.trials.tolist() == [3, 2, 1]
        assert found.mixed.tolist() == [False, True, False] and found.rate == pytest.approx([0.1, 0.75, 1.0])

    @pytest.mark.parametrize("name", ALL)
    def test_the_reward_that_decides_is_the_one_that_is_named(self, name: str) -> None:
        """The sum of all rewards is above 1: it is no success rate."""
        row, right = np.zeros(4, int), np.array([1.0, 0.0, 1.0, 1.0])
        both = Feedback(row, row, 0, right + 0.5, rewards={"accuracy": right})
        with pytest.raises(ValueError, match=r"a reward of 1\.5 came back: scale the rewards, or name"):
            bound(name).observe(both)
        named = bound({name: {"outcome": "accuracy"}})
        named.observe(both)
        alone = bound(name)
        alone.observe(Feedback(row, row, 0, right))
        assert named.metrics() == alone.metrics() and named.mixed == 1


class TestBelief:
    def belief(self, size: int = 4, arm: Sequence[int] | None = None, keep: float = 1.0, **more: Any) -> SuccessBelief:
        arm = np.zeros(size, int) if arm is None else np.array(arm)
        return SuccessBelief(arm, int(arm.max()) + 1, keep, **more)

    def see(self, belief: SuccessBelief, row: Sequence[int], right: Sequence[float], of: float = 4, **at: Any) -> None:
        belief.observe(np.array(row, int), np.array(right, float), np.full(len(row), of), at.pop("step", 0), **at)

    def test_before_anything_is_seen_it_is_beta_1_1(self) -> None:
        for flat in (True, False):
            a, b = self.belief(flat=flat).beta(slice(None))
            assert a == pytest.approx(np.ones(4)) and b == pytest.approx(np.ones(4))
        assert self.belief().expected_spread(slice(None)) == pytest.approx(np.full(4, 1 / 6))

    def test_a_flat_prior_counts_successes_and_failures(self) -> None:
        belief = self.belief(flat=True)
        self.see(belief, [0, 2], [3, 0])
        a, b = belief.beta(np.arange(3))
        assert a.tolist() == [4, 1, 1] and b.tolist() == [2, 1, 5]
        assert belief.expected_spread(np.arange(3)) == pytest.approx([4 * 2 / (6 * 7), 1 / 6, 5 / (6 * 7)])

    def test_an_arm_of_solved_and_hopeless_rows_does_not_look_useful(self) -> None:
        """By its mean, 1/2, it would be the best of all; its rows have shown that none of them is mixed."""
        belief = self.belief()
        self.see(belief, [0, 1], [4, 0])
        (m,), (v,), (strength,) = belief.priors()
        assert m == pytest.approx(1 / 2) and v == pytest.approx(1 / 18)  # (1/2 + 1 + 0)/3, (1/6 + 0 + 0)/3
        assert strength == pytest.approx(2 / 7)  # v / (m (1 - m) - v)
        assert belief.expected_spread(np.array([2, 3])) == pytest.approx([1 / 18, 1 / 18])  # never seen: the arm's
        a, b = belief.beta(np.array([0]))
        assert a / (a + b) == pytest.approx([29 / 30])  # (1/7 + 4)/(2/7 + 4)
        assert belief.expected_spread(np.array([0])) == pytest.approx([29 / 900 * 30 / 37])

    def test_rows_that_are_alike_take_their_arms_rate(self) -> None:
        belief = self.belief(50)
        self.see(belief, range(40), [2] * 40)  # 1/2 · 1/2 · 4/3: more than the variance of the mean
        assert belief.priors()[2].tolist() == [100.0]
        a, b = belief.beta(np.array([0, 49]))
        assert a / (a + b) == pytest.approx([0.5, 0.5]) and (a + b).tolist() == [104, 100]

    def test_an_arm_begins_at_the_pool(self) -> None:
        belief = self.belief(arm=[0, 0, 1, 1])
        self.see(belief, [0], [3])
        m, v, _ = belief.priors()  # pool: (1/2 + 3/4)/2 and (1/6 + 3/4 · 1/4 · 4/3)/2
        assert m == pytest.approx([(5 / 8 + 3 / 4) / 2, 5 / 8]) and v == pytest.approx([(5 / 24 + 1 / 4) / 2, 5 / 24])
        assert belief.of_pool(np.array([2, 2])) == pytest.approx((m.mean(), v.mean()))

    def test_a_row_counts_once_as_it_was_when_it_was_seen_last(self) -> None:
        belief = self.belief()
        self.see(belief, [0], [4])
        self.see(belief, [0], [0], retain=0.0, step=3)
        assert belief.priors()[0] == pytest.approx([(1 / 2 + 0) / 2])
        assert belief.beta(np.array([0]))[1] - belief.beta(np.array([1]))[1] == pytest.approx([4])  # all failures

    def test_what_was_seen_ages_with_the_optimizer_steps(self) -> None:
        belief = self.belief(keep=0.5)
        self.see(belief, [0], [4])
        self.see(belief, [], [], step=2)
        (m,), (v,), (strength,) = belief.priors()
        assert m == pytest.approx(0.75 / 1.25) and v == pytest.approx(1 / 6 / 1.25)  # the row counts 1/4
        assert strength == pytest.approx(1.25)
        a, b = belief.beta(np.array([0]))
        assert a == pytest.approx([0.75 + 1]) and b == pytest.approx([0.5])
        self.see(belief, [], [], step=60)
        assert belief.beta(np.array([0]))[0] == pytest.approx([1.0])

    def test_a_single_rollout_says_something_of_its_row_and_nothing_of_its_arm(self) -> None:
        belief = self.belief()
        self.see(belief, [0], [1], of=1)
        assert belief.priors()[0].tolist() == [0.5] and belief.beta(np.array([0]))[0] == pytest.approx([2])

    def test_sums_of_arms_are_those_of_their_rows_however_often_these_were_seen(self) -> None:
        rng = np.random.default_rng(0)
        belief = self.belief(60, arm=np.arange(60) % 3, keep=0.9)
        for step in range(40):
            row = rng.permutation(60)[:9]
            belief.observe(row, rng.integers(0, 9, 9).astype(float), np.full(9, 8.0), 2 * step, 0.5)
        kept = [one.copy() for one in (belief.rows, belief.rate, belief.spread)]
        left = belief._left(slice(None))
        anew = [np.bincount(belief.arm, one) for one in belief._shown(slice(None)) * left]
        assert np.array(kept) == pytest.approx(np.array(anew))


class TestGRESO:
    def test_a_row_is_kept_the_less_the_more_visits_in_a_row_showed_no_difference(self) -> None:
        greso = bound("greso")
        kept = []
        for right in (0, 0, 0, 4, 4, 2, 4, 0):
            greso.observe(shown([0], [right]))
            kept.append(float(greso.kept(np.array([0]))[0]))
        assert kept == [0.5, 0.25, 0.125, 0.75, 0.5625, 1, 0.75, 0.5]
        for _ in range(600):
            greso.observe(shown([0], [0]))
        assert greso.kept(np.array([0])).tolist() == [0.01]
        assert greso.probabilities() == pytest.approx(np.array([0.01, 1, 1, 1]) / 3.01)
        assert greso.metrics()["skipped"] == pytest.approx(1 - 3.01 / 4)

    def test_what_is_no_visit(self) -> None:
        greso, nan = bound("greso"), np.nan
        greso.observe(shown([0], [0]))
        for reward in ([nan, nan], [0.0, nan]):
            greso.observe(Feedback(np.array([0, 0]), np.array([0, 0]), 0, np.array(reward)))
        assert greso.streak.tolist() == [1, 0, 0, 0] and not greso.right.any()

    def test_rows_come_in_turn_in_proportion_to_what_they_are_kept_with(self) -> None:
        greso = bound("greso", 8)
        for n in (1, 2, 7):
            greso.observe(shown(range(8 - n, 8), [0] * n))  # 1; .5 (5 of them); .25; .125
        kept = greso.kept(slice(None))
        assert kept.tolist() == [1.0, *[0.5] * 5, 0.25, 0.125]
        n, drawn = 4000, []
        for _ in range(n):
            draw = greso.select(3)
            assert np.allclose(draw.probability, (kept / kept.sum())[draw.row], rtol=1e-12)
            drawn.append(draw.row)
        share = np.bincount(np.concatenate(drawn), minlength=8) / (3 * n)
        assert share == pytest.approx(kept / kept.sum(), abs=5 * 0.5 / np.sqrt(3 * n))
        always = np.flatnonzero(np.concatenate(drawn) == 0)  # the row that is never skipped: once in each pass
        passes = np.diff(always)
        assert passes.max() <= 15 and len(always) == pytest.approx(3 * n / kept.sum(), rel=0.02)

    def test_before_a_second_visit_it_is_uniform(self) -> None:
        greso = bound("greso", 20)
        rows = np.concatenate([draw.row for draw in run(greso, 5, np.zeros(20), batch=4)])
        assert sorted(rows) == list(range(20)) and greso.metrics()["skipped"] == pytest.approx(0.5)

    def test_q_moves_towards_the_target_from_the_second_pass_on(self) -> None:
        greso = bound({"greso": {"easy": 0.5, "hard": 0.5, "target": 0.3}}, 4)
        greso.select(4)
        greso.observe(shown(range(4), [4, 4, 0, 2]))
        assert (greso.easy, greso.hard) == (0.5, 0.5)
        greso.select(4)
        greso.observe(shown(range(4), [4, 4, 2, 2]))  # easy 1/2 ≥ .1: skipped more; hard 0 < .2: skipped less
        assert (greso.easy, greso.hard) == pytest.approx((0.49, 0.51))
        assert greso.kept(np.arange(4)) == pytest.approx([0.49**2, 0.49**2, 1, 1])
        greso.observe(shown(range(4), [2, 2, 0, 2]))
        assert (greso.easy, greso.hard) == pytest.approx((0.50, 0.50))


class TestMoPPS:
    def test_the_update_is_the_papers(self) -> None:
        """The numbers are those of its code for the same groups of 8, prior 1 and λ = .5."""
        mopps = bound({"mopps": {"prior": "flat", "keep": 1.0}})
        for right, alpha, beta in (
            ([2, 0], [3, 1], [7, 9]),
            ([6, 0], [8, 1], [6, 13]),
            ([8, 1], [12.5, 2], [3.5, 14]),
        ):
            mopps.observe(shown([0, 1], right, of=8))
            found = mopps.belief.beta(np.array([0, 1]))
            assert found[0].tolist() == alpha and found[1].tolist() == beta

    def test_of_candidates_those_near_the_target_are_drawn(self) -> None:
        for target, expected in ((0.5, [2, 3]), (0.8, [4, 5])):
            mopps = bound({"mopps": {"target": target, "prior": "flat", "keep": 1.0, "retain": 1.0}}, 6)
            for _ in range(100):
                mopps.observe(shown(range(6), [0, 4, 10, 11, 15, 17], of=20))
            assert all(sorted(mopps.select(2).row) == expected for _ in range(5))

    def test_a_row_of_which_little_is_known_comes_now_and_then(self) -> None:
        """The nearer of p ~ Beta(1, 1) and of p ~ Beta(1, 5) to 1/2."""
        mopps = bound({"mopps": {"prior": "flat", "keep": 1.0, "candidates": 2}}, 2)
        mopps.observe(shown([1], [0]))
        n = 3000
        first = np.mean([mopps.select(1).row[0] == 0 for _ in range(n)])
        t = (np.arange(20_000) + 0.5) / 20_000 / 2  # |p - 1/2| of the first is uniform in [0, 1/2]
        density = 5 * (1 - (0.5 + t)) ** 4 + 5 * (1 - (0.5 - t)) ** 4
        expected = float((2 * t * density).mean() / 2)
        assert first == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(n))

    def test_candidates_come_in_turn(self) -> None:
        """A pool of 24, four candidates a draw: each pass of two batches of 3 looks at every row once."""
        mopps = bound({"mopps": {"candidates": 4}}, 24)
        for _ in range(5):
            assert len({*mopps.select(3).row, *mopps.select(3).row}) == 6


class TestCurES:
    def test_it_is_a_softmax_over_the_standard_deviation(self) -> None:
        cures = bound({"cures": {"tau": 0.1, "prior": "flat"}})
        cures.observe(shown([0, 1, 2], [4, 8, 6], of=8))
        score = np.sqrt([5 * 5 / 110, 9 * 1 / 110, 7 * 3 / 110, 1 / 6])  # Beta(5, 5), (9, 1), (7, 3) and (1, 1)
        expected = np.exp(score / 0.1) / np.exp(score / 0.1).sum()
        assert cures.probabilities() == pytest.approx(expected)
        n, first = 4000, np.zeros(4)
        for _ in range(n):
            draw = cures.select(3)
            assert len(set(draw.row)) == 3 and np.allclose(draw.probability, expected[draw.row], rtol=1e-9)
            first[draw.row[0]] += 1
        assert first / n == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(n))

    def test_in_a_large_pool_weights_are_worked_out_in_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trl_curriculum.curricula.cures.RENEWED", 4)
        cures = bound({"cures": {"keep": 0.5}}, 12)
        begun = cures.tree.weight.copy()
        cures.observe(shown([9], [0]))
        now = cures._weight(slice(None))
        assert (cures.tree.weight[[0, 1, 2, 3, 9]] == now[[0, 1, 2, 3, 9]]).all()
        assert (cures.tree.weight[[4, 8, 10]] == begun[[4, 8, 10]]).all() and now[4] != begun[4]
        for step in (1, 2):
            cures.observe(shown([0], [2], step=step))
        assert cures.tree.weight[8:] == pytest.approx(cures._weight(np.arange(8, 12)))

    def test_a_changed_pool_has_the_weights_of_what_is_known_of_its_rows(self) -> None:
        hashes = np.arange(1, 7, dtype=np.uint64)
        old = CURRICULA.make("cures").bind(Pool(6, row_hash=hashes))
        old.observe(shown([0, 1, 2], [2, 4, 0]))
        new: Any = CURRICULA.make("cures").bind(Pool(4, row_hash=hashes[[2, 0, 4, 1]]))
        new.load_state_dict(old.state_dict(), carry_over=True)
        alone: Any = CURRICULA.make("cures").bind(Pool(4))
        alone.observe(shown([0, 1, 3], [0, 2, 4]))
        assert new.probabilities() == pytest.approx(alone.probabilities())


class TestLILO:
    def test_a_batch_is_a_share_of_best_and_a_share_of_fresh_rows(self) -> None:
        lilo = bound({"lilo": {"share": 0.5, "best": 0.25, "every": 1, "keep": 1.0}}, 40)
        lilo.observe(shown(range(16), [4] * 4 + [2] * 4 + [0] * 8))  # a quarter of 16: those half right
        row = lilo.select(8).row
        assert sorted(row[:4]) == [4, 5, 6, 7] and row[4:].min() >= 16 and len(set(row)) == 8

    def test_rows_that_were_never_seen_come_first_and_then_those_that_were_not_for_longest(self) -> None:
        lilo = bound({"lilo": {"share": 0.0, "every": 1}}, 12)
        for step, rows in enumerate(([3, 4, 5], [0, 1, 2], [6, 7, 8])):
            lilo.observe(shown(rows, [1, 1, 1], step=step))
        row = lilo.select(12).row.tolist()
        assert [sorted(row[k : k + 3]) for k in (0, 3, 6, 9)] == [[9, 10, 11], [3, 4, 5], [0, 1, 2], [6, 7, 8]]

    def test_the_best_rows_stay_the_same_until_they_are_chosen_anew(self) -> None:
        lilo = bound({"lilo": {"share": 1.0, "best": 0.5, "every": 2, "keep": 1.0}}, 8)
        lilo.observe(shown(range(8), [2, 2, 2, 2, 0, 0, 0, 0]))
        lilo.select(1)  # after no batch: nothing was chosen before
        assert set(np.flatnonzero(lilo.is_best)) == {0, 1, 2, 3}
        for batch, expected in ((1, {0, 1, 2, 3}), (2, {4, 5, 6, 7})):
            for _ in range(9):  # generations of one batch of 36 rollouts
                lilo.belief.observe(np.arange(8), np.repeat([0.0, 2.0], 4), np.full(8, 4.0), batch)
            lilo.observe(shown(range(8), [0, 0, 0, 0, 2, 2, 2, 2], step=batch))
            assert {*lilo.select(2).row.tolist()} <= expected


class TestLZE:
    @pytest.mark.parametrize(
        ("p", "began", "moved", "expected"),
        [(0.25, 0.25, 0.5, 0.646875), (0.5, 1.0, 0.0, 0.05), (0.9, 0.05, 1.0, 0.4446), (0.625, 0.0, 0.25, 1.0078125)],
    )
    def test_the_energy_is_the_papers(self, p: float, began: float, moved: float, expected: float) -> None:
        """The numbers are those of its code at the same p, p0 and min(2 |p - μ|, 1)."""
        found = energy(np.array([p * (1 - p)]), np.array([began]), np.array([moved]), 0.3, 0.05)
        assert found == pytest.approx([expected])

    def test_what_it_remembers_is_what_the_papers_code_does(self) -> None:
        lze = bound("lze")
        for right, moved, average in ((1, 0.0, 0.25), (3, 1.0, 0.3), (2, 0.4, 0.32), (4, 1.0, 0.388)):
            lze.observe(shown([0], [right]))
            assert lze.moved[0] == pytest.approx(moved) and lze.average[0] == pytest.approx(average)
            assert lze.first[0] == 0.25
        assert np.isnan(lze.first[1])

    def test_a_row_that_was_never_seen_has_the_energy_of_its_arm(self) -> None:
        lze = bound({"lze": {"keep": 1.0}})
        assert lze.energy(np.arange(4)) == pytest.approx(np.full(4, 0.5 * 4 / 6))
        lze.observe(shown([0, 1], [4, 0]))
        assert lze.energy(np.array([2])) == pytest.approx([0.5 * 4 / 18])

    def test_of_the_rows_that_come_the_share_with_the_largest_energy_is_drawn(self) -> None:
        lze = bound({"lze": {"share": 0.5, "noise": 1e-6, "keep": 1.0}}, 8)
        lze.observe(shown(range(8), [0, 4, 2, 1, 0, 4, 2, 1], of=4))
        assert {*lze.select(4).row.tolist()} == {2, 3, 6, 7}

    def test_gumbel_noise_draws_in_proportion_to_the_exponential(self) -> None:
        """The largest of E + Gumbel(scale) is row i with probability ∝ exp(E / scale)."""
        lze = bound({"lze": {"share": 0.25, "noise": 1.0, "keep": 1.0}})
        lze.observe(shown(range(4), [1, 2, 3, 0]))
        value = lze.energy(np.arange(4))
        expected = np.exp(value / np.ptp(value)) / np.exp(value / np.ptp(value)).sum()
        n = 3000
        found = np.bincount([lze.select(1).row[0] for _ in range(n)], minlength=4) / n
        assert found == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(n))

    def test_what_is_all_right_twice_is_pruned_and_comes_back_if_it_fails(self) -> None:
        lze = bound({"lze": {"share": 1.0}}, 4)
        for right in ([4, 4, 4, 1], [4, 3, 4, 1]):
            lze.observe(shown(range(4), right))
        assert (lze.solved >= 2).tolist() == [True, False, True, False] and lze.metrics()["pruned_rows"] == 0.5
        n = 4000
        drawn = np.bincount(np.concatenate([lze.select(2).row for _ in range(n)]), minlength=4)
        assert drawn[0] / drawn[1] == pytest.approx(0.1, abs=5 * np.sqrt(0.1 * 0.9 / drawn[1]))
        lze.observe(shown([0, 2], [3, 4]))
        assert (lze.solved >= 2).tolist() == [False, False, True, False]


class TestEvery:
    @pytest.mark.parametrize("name", ALL)
    def test_a_pool_in_which_no_row_can_teach_is_said_once_and_drawn_from(
        self, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        curriculum = CURRICULA.make(name).bind(pool(30, 3))
        assert curriculum.unfinished() is None
        with caplog.at_level(logging.WARNING):
            run(curriculum, DRY - 1, np.repeat([0.0, 1.0], 15))
            assert caplog.messages == []
            run(curriculum, DRY, np.repeat([0.0, 1.0], 15))
        assert len(caplog.messages) == 1
        assert f"{name} has seen no group whose rewards differ in {DRY} batches" in caplog.messages[0]
        sentence = curriculum.unfinished()
        assert sentence is not None and "never saw a group whose rewards differ" in sentence
        run(curriculum, 1, np.full(30, 0.5))
        assert curriculum.unfinished() is None

    @pytest.mark.parametrize("name", ALL)
    def test_a_rollout_without_a_reward_is_not_a_failure(self, name: str) -> None:
        some, all_of_them = bound(name), bound(name)
        right = np.array([1.0, 1.0, 0.0, np.nan, np.nan, np.nan])
        row = np.zeros(6, int)
        some.observe(Feedback(row, row, 0, right))
        all_of_them.observe(Feedback(row[:3], row[:3], 0, right[:3]))
        assert some.metrics() == all_of_them.metrics()
        nothing = bound(name)
        nothing.observe(Feedback(row, row, 0, np.full(6, np.nan)))
        assert nothing.batches == 0 and nothing.metrics() == bound(name).metrics()

    @pytest.mark.parametrize(
        ("spec", "arms"),
        [
            *(("greso", 1), ("mopps", 1), ("mopps", 2), ({"mopps": {"candidates": 3, "prior": "flat"}}, 1)),
            *(
                ("cures", 1),
                ("lilo", 1),
                ({"lilo": {"every": 2}}, 1),
                ("lze", 1),
                ("lze", 2),
                ({"lze": {"share": 1.0}}, 1),
            ),
        ],
    )
    def test_it_acts_when_it_says(self, spec: Any, arms: int) -> None:
        """The first batch that depends on what was shown: rows of other success are drawn otherwise."""
        size, rows, batches = 60, 8, 18
        drawn = []
        for kind in range(2):
            curriculum = bound(spec, size, np.arange(size) % arms)
            seen = []
            for step in range(batches):
                draw = curriculum.select(rows)
                seen.append(sorted(draw.row.tolist()))
                right = np.where(draw.row % (3 if arms == 1 else 2) == kind, 4, 2)
                curriculum.observe(shown(draw.row, right, step=step))
            drawn.append(seen)
        acts_at = curriculum.outlook(batches, rows).acts_at
        differ = [batch for batch, (one, other) in enumerate(zip(*drawn, strict=True), start=1) if one != other]
        assert acts_at is not None and acts_at <= differ[0] <= acts_at + 1  # one batch may be the same by chance

    def test_what_leaves_no_choice_is_said(self) -> None:
        assert "candidates=1 draws all rows alike" in bound({"mopps": {"candidates": 1}}).outlook(9, 4).odd[0]
        assert "share=0 takes fresh rows alone" in bound({"lilo": {"share": 0.0}}).outlook(9, 4).odd[0]
