"""Numbers that can be worked out by hand."""

import math

import numpy as np
import pytest
from simulate import feedback, from_rewards, run

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import DUMP, SEC, TD, ArmCurriculum, Boltzmann, Order, SlidingWindow, Uniform, identity
from trl_curriculum.curricula.parts.queues import Queues
from trl_curriculum.curricula.parts.selectors import draw_arms, entropy


def arms(n_arms: int, rows_each: int = 50) -> Pool:
    return Pool(n_arms * rows_each, np.repeat(np.arange(n_arms), rows_each), [f"arm{k}" for k in range(n_arms)])


class TestAdvantage:
    @pytest.mark.parametrize("k", range(9))
    def test_mean_absolute_advantage_of_a_group(self, k: int) -> None:
        draw = SEC(arms(1)).select(1)
        shown = from_rewards(draw, np.array([1.0] * k + [0.0] * (8 - k)), 8)
        expected = 2 * math.sqrt(k / 8 * (1 - k / 8) * 7 / 8)
        assert shown.signal("advantage").mean() == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize(("p", "expected"), [(0.05, 0.220), (0.1, 0.392), (0.25, 0.711), (0.5, 0.868)])
    def test_its_expectation_over_p_is_the_binomial_sum(self, p: float, expected: float) -> None:
        exact = sum(
            math.comb(8, k) * p**k * (1 - p) ** (8 - k) * 2 * math.sqrt(k / 8 * (1 - k / 8) * 7 / 8) for k in range(9)
        )
        assert exact == pytest.approx(expected, abs=6e-4)
        sec = SEC(arms(1), alpha=1.0)
        draw = sec.select(40_000)
        sec.observe(feedback(draw, np.full(50, p), np.random.default_rng(0)))
        assert sec.belief().mean[0] == pytest.approx(exact, abs=0.01)

    def test_a_format_bonus_fools_the_normalised_signal_and_not_the_raw_one(self) -> None:
        draw = SEC(arms(1)).select(1)
        boxed_but_wrong = from_rewards(draw, np.array([0.1, 0.0] * 4), 8)
        assert boxed_but_wrong.signal("advantage").mean() == pytest.approx(0.935, abs=2e-3)
        assert boxed_but_wrong.signal("unnormalized").mean() == pytest.approx(0.05)

    def test_unnormalized_groups_by_draw_not_by_row(self) -> None:
        shown = Feedback(np.zeros(4, int), np.array([0, 0, 1, 1]), 0, np.array([1.0, 0.0, 1.0, 1.0]))
        assert shown.signal("unnormalized").tolist() == [0.5, 0.5, 0.0, 0.0]

    def test_success_needs_rewards_between_zero_and_one(self) -> None:
        with pytest.raises(ValueError, match="a reward of 2 came back"):
            Feedback(np.zeros(1, int), np.zeros(1, int), 0, np.array([2.0])).signal("success")


class TestTD:
    def test_hand_computed_updates(self) -> None:
        td = TD(0.5)
        td.start(3)
        td.update(np.array([0, 0, 1]), np.array([0.2, 0.6, 1.0]))
        assert td.mean.tolist() == [0.2, 0.5, 0.0]
        td.update(np.array([0]), np.array([0.0]))
        assert td.mean.tolist() == [0.1, 0.5, 0.0]
        assert td.count.tolist() == [3, 1, 0]

    def test_unsampled_arms_are_kept_or_decay(self) -> None:
        kept, decayed = TD(0.5, "keep"), TD(0.5, "decay")
        for td in (kept, decayed):
            td.start(2)
            td.update(np.array([0, 1]), np.array([0.8, 0.8]))
            td.update(np.array([0]), np.array([0.8]))
        assert kept.mean.tolist() == pytest.approx([0.6, 0.4])
        assert decayed.mean.tolist() == pytest.approx([0.6, 0.2])

    @pytest.mark.parametrize("unsampled", ["keep", "decay"])
    def test_an_arm_whose_rewards_are_missing_was_not_observed(self, unsampled: str) -> None:
        td = TD(0.5, unsampled)  # type: ignore[arg-type]
        td.start(1)
        td.update(np.zeros(2, int), np.array([0.8, 0.8]))
        td.update(np.zeros(2, int), np.array([np.nan, np.nan]))
        assert td.mean[0] == pytest.approx(0.4) and td.count[0] == 4


class TestSlidingWindow:
    def test_mean_of_the_last_signals(self) -> None:
        window = SlidingWindow(3)
        window.start(2)
        window.update(np.array([0, 1, 0, 0]), np.array([1.0, 9.0, 2.0, 3.0]))
        assert window.mean.tolist() == [2.0, 9.0]
        window.update(np.array([0, 0]), np.array([7.0, np.nan]))
        assert window.mean.tolist() == [4.0, 9.0]  # of 2, 3, 7
        assert window.count.tolist() == [5, 1]

    def test_a_batch_longer_than_the_window(self) -> None:
        window = SlidingWindow(3)
        window.start(1)
        window.update(np.zeros(10, int), np.arange(10.0))
        assert window.mean[0] == 8.0


class TestDUMP:
    def test_hand_computed_bound(self) -> None:
        dump = DUMP(arms(2), tau=0.1)
        draw = dump.select(1)
        shown = from_rewards(draw, np.array([1.0, 0.0, 0.0, 0.0]), 4)
        dump.observe(shown)
        seen, other = int(draw.arm[0]), 1 - int(draw.arm[0])
        bound = np.empty(2)
        bound[seen] = shown.signal("advantage").mean() + math.sqrt(2 * math.log(5) / 5)
        bound[other] = math.sqrt(2 * math.log(5) / 1)
        expected = np.exp(bound / 0.1) / np.exp(bound / 0.1).sum()
        assert dump.probabilities() == pytest.approx(expected, rel=1e-5)

    def test_an_unscorable_arm_does_not_stay_unseen(self) -> None:
        dump = DUMP(arms(2))
        for step in range(200):
            draw = dump.select(8)
            shown = feedback(draw, np.full(100, 0.5), np.random.default_rng(step))
            missing = np.repeat(draw.arm == 0, 8)
            dump.observe(
                Feedback(
                    shown.row,
                    shown.draw,
                    step,
                    np.where(missing, np.nan, shown.reward),
                    np.where(missing, np.nan, shown.advantage),
                    shown.length,
                )
            )
        assert dump.probabilities()[0] < 0.05


class TestBoltzmann:
    worth = np.array([0.1, 0.5, 0.3])

    def test_cold_takes_the_best_and_hot_follows_the_prior(self) -> None:
        assert Boltzmann(1e-9)(self.worth, np.ones(3)).tolist() == [0, 1, 0]
        assert Boltzmann(1e9)(self.worth, np.ones(3)) == pytest.approx([1 / 3] * 3)
        assert Boltzmann(1e9)(self.worth, np.array([0.5, 0.2, 0.3])) == pytest.approx([0.5, 0.2, 0.3])

    def test_equal_worth_is_uniform_and_large_worth_does_not_overflow(self) -> None:
        assert Boltzmann(0.1)(np.full(4, 1e6), np.ones(4)) == pytest.approx([0.25] * 4)

    def test_an_arm_without_prior_gets_nothing(self) -> None:
        assert Boltzmann(0.1)(np.array([9.0, 0.0]), np.array([0.0, 1.0])).tolist() == [0, 1]

    @pytest.mark.parametrize(("tau", "odds"), [(1.0, 2.4), (0.4, 8.8), (0.2, 77)])
    def test_tau_sets_the_dynamic_range_of_sec(self, tau: float, odds: float) -> None:
        p = Boltzmann(tau)(np.array([0.868, 0.0]), np.ones(2))
        assert p[0] / p[1] == pytest.approx(odds, rel=0.01)

    def test_draws_follow_the_probabilities(self) -> None:
        p = np.array([0.5, 0.0, 0.3, 0.2])
        drawn = draw_arms(np.random.default_rng(0), p, 200_000)
        assert np.bincount(drawn, minlength=4) / 200_000 == pytest.approx(p, abs=0.005)

    def test_entropy(self) -> None:
        assert entropy(np.array([0.25] * 4)) == pytest.approx(math.log(4)) and entropy(np.array([1.0, 0.0])) == 0


class TestQueues:
    def test_an_arm_is_used_up_before_a_row_comes_again(self) -> None:
        queues = Queues(np.array([0, 1, 0, 1, 0, 1, 1]), 2, np.random.default_rng(0))
        first = queues.pop(np.array([0, 1, 0, 0, 1]))
        assert set(first[[0, 2, 3]]) == {0, 2, 4}
        second = queues.pop(np.array([1, 1, 0]))
        assert set(second[:2]) | set(first[[1, 4]]) == {1, 3, 5, 6}
        assert second[2] in (0, 2, 4)

    def test_one_call_can_pass_the_end_of_a_queue_more_than_once(self) -> None:
        rows = Queues(np.zeros(3, int), 1, np.random.default_rng(0)).pop(np.zeros(10, int))
        assert [sorted(rows[i : i + 3]) for i in (0, 3, 6)] == [[0, 1, 2]] * 3

    def test_passes_are_shuffled_anew(self) -> None:
        queues = Queues(np.zeros(50, int), 1, np.random.default_rng(0))
        first, second = queues.pop(np.zeros(50, int)), queues.pop(np.zeros(50, int))
        assert sorted(first) == sorted(second) and first.tolist() != second.tolist()


class TestOrder:
    difficulty = np.array([3, 1, 2, 1, 3, 2], float)

    def test_easy_to_hard_and_back(self) -> None:
        pool = Pool(6, difficulty=self.difficulty)
        assert self.difficulty[Order(pool).select(6).row].tolist() == [1, 1, 2, 2, 3, 3]
        assert self.difficulty[Order(pool, "hard_to_easy").select(6).row].tolist() == [3, 3, 2, 2, 1, 1]

    def test_stretched_over_a_budget_each_level_keeps_its_share(self) -> None:
        order = Order(Pool(6, difficulty=self.difficulty), total_draws=30)
        levels = [self.difficulty[order.select(5).row].tolist() for _ in range(6)]
        assert levels == [[1] * 5, [1] * 5, [2] * 5, [2] * 5, [3] * 5, [3] * 5]

    def test_shrunk_to_a_budget_still_reaches_the_last_level(self) -> None:
        order = Order(Pool(6, difficulty=self.difficulty), total_draws=3)
        assert self.difficulty[order.select(3).row].tolist() == [1, 2, 3]

    def test_blocked_and_interleaved(self) -> None:
        pool = Pool(6, [0, 1, 0, 1, 0, 1], ["a", "b"])
        assert Order(pool, "blocked").select(6).arm.tolist() == [0, 0, 0, 1, 1, 1]
        assert Order(pool, "interleaved").select(6).arm.tolist() == [0, 1, 0, 1, 0, 1]

    def test_needs_a_difficulty(self) -> None:
        with pytest.raises(ValueError, match="set difficulty_column"):
            Order(Pool(3))


class TestUniform:
    def test_every_row_once_per_pass(self) -> None:
        uniform = Uniform(Pool(10))
        assert sorted(uniform.select(10).row) == sorted(uniform.select(10).row) == list(range(10))


class TestPrior:
    def test_prevalence_draws_small_arms_less(self) -> None:
        pool = Pool(10, [0] * 8 + [1] * 2, ["big", "small"])
        assert SEC(pool).probabilities().tolist() == [0.5, 0.5]
        assert SEC(pool, prior="prevalence").probabilities() == pytest.approx([0.8, 0.2])


class TestSimulatedLearners:
    """Arms with fixed success rates: a bandit on |A| must concentrate on the one nearest to one half."""

    rates = np.array([0.0, 0.02, 0.15, 0.5, 0.9, 1.0])

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("make", [lambda p, s: SEC(p, alpha=0.2, tau=0.1, seed=s), lambda p, s: DUMP(p, seed=s)])
    def test_concentrates_on_the_arm_nearest_one_half(self, make: object, seed: int) -> None:
        curriculum: ArmCurriculum = make(arms(6), seed)  # type: ignore[operator]
        draws = run(curriculum, 300, np.repeat(self.rates, 50), seed)
        late = np.bincount(np.concatenate([draw.arm for draw in draws[200:]]), minlength=6) / 800
        assert late.argmax() == 3 and late[3] > 0.4
        assert late[[0, 1, 5]].sum() < 0.2

    @pytest.mark.parametrize("seed", range(3))
    def test_success_signal_finds_the_same_arm(self, seed: int) -> None:
        sec = SEC(arms(6), alpha=0.2, tau=0.05, learn_from="success", seed=seed)
        run(sec, 300, np.repeat(self.rates, 50), seed)
        assert sec.probabilities().argmax() == 3

    def test_without_labels_the_buckets_find_the_rows_of_that_arm(self) -> None:
        pool, success = Pool(120), np.repeat(self.rates, 20)
        sec = SEC(pool, alpha=0.3, tau=0.1, success_bins=5, rebucket_every=5)
        run(sec, 100, success)
        draws = run(sec, 100, success, seed=1)
        useful = np.concatenate([success[draw.row] == 0.5 for draw in draws]).mean()
        assert useful > 0.5  # of all rows 1 in 6

    def test_a_coin_flip_arm_holds_the_bandit_for_ever(self) -> None:
        """The known failure: disagreement is not learnability."""
        success = np.repeat([0.05, 0.5], 50)
        sec = SEC(arms(2), alpha=0.2, tau=0.2)
        draws = run(sec, 100, success)
        assert np.concatenate([draw.arm for draw in draws]).mean() > 0.8

    def test_a_method_is_its_parts(self) -> None:
        composed = ArmCurriculum(arms(4), estimator=TD(0.5), utility=identity, selector=Boltzmann(0.2), seed=3)
        sec = SEC(arms(4), alpha=0.5, tau=0.2, seed=3)
        success = np.repeat([0.1, 0.4, 0.6, 0.9], 50)
        assert [d.row.tolist() for d in run(composed, 20, success)] == [d.row.tolist() for d in run(sec, 20, success)]


class TestBuckets:
    def test_rows_move_to_the_bucket_of_their_success_rate(self) -> None:
        sec = SEC(Pool(6), success_bins=5, rebucket_every=1)
        draw = sec.select(6)
        success = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
        rewards = np.concatenate([[1.0] * round(4 * s) + [0.0] * (4 - round(4 * s)) for s in success[draw.row]])
        sec.observe(from_rewards(draw, rewards, 4))
        assert sec.buckets is not None and sec.buckets.arm.tolist() == [1, 2, 3, 4, 5, 5]
        assert sec.arm_names == ("untried", "0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1")

    def test_a_row_that_was_never_scored_does_not_stay_untried(self) -> None:
        sec = SEC(Pool(1), success_bins=5, rebucket_every=1)
        draw = sec.select(1)
        sec.observe(Feedback(draw.row, draw.id, 0, np.array([np.nan]), np.array([np.nan]), np.array([3])))
        assert sec.buckets is not None and sec.buckets.arm.tolist() == [1]

    def test_rows_drawn_least_often_come_first(self) -> None:
        sec = SEC(Pool(20), success_bins=2, rebucket_every=1)
        rng = np.random.default_rng(0)
        seen: list[int] = []
        for _ in range(5):
            draw = sec.select(4)
            seen += draw.row.tolist()
            sec.observe(feedback(draw, np.zeros(20), rng))
            sec.estimator.mean[:] = [9.0, 0.0, 0.0]  # only ever draw untried rows
        assert len(set(seen)) >= 16
