"""Numbers that can be worked out by hand."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import DUMP, SEC, ArmMethod, Order, SuccessRate, Uniform
from trl_curriculum.curricula.parts.estimators import TD, SlidingWindow
from trl_curriculum.curricula.parts.queues import Queues
from trl_curriculum.curricula.parts.selectors import Boltzmann, draw_arms, entropy
from trl_curriculum.curricula.parts.utilities import identity
from trl_curriculum.testing.simulated import feedback, from_rewards, run


def arms(n_arms: int, rows_each: int = 50) -> Pool:
    return Pool(n_arms * rows_each, np.repeat(np.arange(n_arms), rows_each), [f"arm{k}" for k in range(n_arms)])


class TestAdvantage:
    @pytest.mark.parametrize("k", range(9))
    def test_mean_absolute_advantage_of_a_group(self, k: int) -> None:
        draw = SEC().bind(arms(1)).select(1)
        shown = from_rewards(draw, np.array([1.0] * k + [0.0] * (8 - k)), 8)
        expected = 2 * math.sqrt(k / 8 * (1 - k / 8) * 7 / 8)
        assert np.abs(shown.advantages()).mean() == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize(("p", "expected"), [(0.05, 0.220), (0.1, 0.392), (0.25, 0.711), (0.5, 0.868)])
    def test_its_expectation_over_p_is_the_binomial_sum(self, p: float, expected: float) -> None:
        exact = sum(
            math.comb(8, k) * p**k * (1 - p) ** (8 - k) * 2 * math.sqrt(k / 8 * (1 - k / 8) * 7 / 8) for k in range(9)
        )
        assert exact == pytest.approx(expected, abs=6e-4)
        sec = SEC(alpha=1.0).bind(arms(1))
        draw = sec.select(40_000)
        sec.observe(feedback(draw, np.full(50, p), np.random.default_rng(0)))
        assert sec.belief().mean[0] == pytest.approx(exact, abs=0.01)

    def test_a_format_bonus_fools_the_sum_of_all_rewards_and_not_the_one_that_decides(self) -> None:
        row, draw, bonus = np.zeros(8, int), np.zeros(8, int), np.array([0.1, 0.0] * 4)
        boxed_but_wrong = from_rewards(SEC().bind(arms(1)).select(1), bonus, 8)
        shown = Feedback(
            row,
            draw,
            0,
            reward=bonus,
            advantage=boxed_but_wrong.advantage,
            rewards={"accuracy": np.zeros(8), "format": bonus},
        )
        assert np.abs(shown.advantages()).mean() == pytest.approx(0.935, abs=2e-3)
        assert np.abs(shown.advantages("format")).mean() == pytest.approx(0.935, abs=2e-3)
        assert shown.advantages("accuracy").tolist() == [0.0] * 8


class TestOutcome:
    """Two draws of four rollouts each; `accuracy` is worth 1 and `format` .5."""

    accuracy = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, np.nan, 1.0])
    format = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0])

    def shown(self, scale: Any = "group") -> Feedback:
        reward = np.nan_to_num(self.accuracy) + 0.5 * self.format
        groups = reward.reshape(2, 4)
        advantage = groups - groups.mean(axis=1, keepdims=True)
        if scale == "group":
            advantage = advantage / (groups.std(axis=1, ddof=1, keepdims=True) + 1e-4)
        rewards = {"accuracy": self.accuracy, "format": self.format}
        rows = np.repeat([0, 50], 4)
        return Feedback(
            rows, np.repeat([0, 1], 4), 0, reward, advantage.ravel(), np.ones(8, int), None, None, rewards, scale
        )

    def test_the_weighted_sum_or_one_by_its_name(self) -> None:
        shown = self.shown()
        assert shown.outcome().tolist() == [1.5, 0.5, 0, 0, 1, 1, 0.5, 1.5]
        assert shown.outcome("accuracy") is self.accuracy and shown.outcome("format") is self.format
        with pytest.raises(ValueError, match=r"outcome='acc' names a reward function.*choose one of accuracy, format"):
            shown.outcome("acc")
        with pytest.raises(ValueError, match="choose one of none"):
            Feedback(np.zeros(1, int), np.zeros(1, int), 0, np.ones(1)).outcome("acc")

    def test_success_needs_rewards_between_zero_and_one(self) -> None:
        with pytest.raises(ValueError, match=r"a reward of 1.5 came back: scale the rewards, or name"):
            self.shown().success()
        assert self.shown().success("accuracy") is self.accuracy

    def test_advantages_of_one_reward_function_by_hand(self) -> None:
        away = np.array([0.75, -0.25, -0.25, -0.25])
        first = away / (0.5 + 1e-4)  # the standard deviation of 1, 0, 0, 0 with n - 1
        assert self.shown().advantages("accuracy") == pytest.approx(np.r_[first, 0, 0, np.nan, 0], nan_ok=True)
        assert self.shown("none").advantages("accuracy") == pytest.approx(np.r_[away, 0, 0, np.nan, 0], nan_ok=True)
        seen = self.accuracy[np.isfinite(self.accuracy)]
        expected = np.r_[away / (seen.std(ddof=1) + 1e-4), 0, 0, np.nan, 0]
        assert self.shown("batch").advantages("accuracy") == pytest.approx(expected, nan_ok=True)

    def test_one_reward_function_alone_has_the_trainers_advantages(self) -> None:
        shown = feedback(SEC().bind(arms(2)).select(40), np.full(100, 0.4), np.random.default_rng(0))
        assert shown.advantages("accuracy") == pytest.approx(shown.advantages())

    def test_a_score_alone_in_its_group_has_no_advantage(self) -> None:
        one = np.array([1.0, np.nan])
        shown = Feedback(np.zeros(2, int), np.zeros(2, int), 0, one, np.zeros(2), rewards={"accuracy": one})
        assert np.isnan(shown.advantages("accuracy")).all()

    def test_groups_are_draws_and_not_rows(self) -> None:
        accuracy = np.array([1.0, 0.0, 1.0, 1.0])
        shown = Feedback(
            np.zeros(4, int), np.array([0, 0, 1, 1]), 0, accuracy, np.zeros(4), rewards={"a": accuracy}, scale="none"
        )
        assert shown.advantages("a").tolist() == [0.5, -0.5, 0, 0]

    def test_the_bandit_learns_from_the_one_that_decides(self) -> None:
        value = {}
        for outcome in (None, "accuracy", "format"):
            sec = SEC(alpha=1.0, outcome=outcome).bind(arms(2))
            sec.observe(self.shown("none"))
            value[outcome] = sec.belief().mean.tolist()
        # |1.5 - .5|, |.5 - .5|, 2 |0 - .5|; 2 |1 - 1|, |.5 - 1|, |1.5 - 1|
        assert value[None] == pytest.approx([0.5, 0.25])
        assert value["accuracy"] == pytest.approx([(0.75 + 3 * 0.25) / 4, 0.0])
        assert value["format"] == pytest.approx([0.5, 0.5])

    def test_so_do_estimated_arms(self) -> None:
        for outcome, expected in (("accuracy", [2, 4]), ("format", [3, 3])):
            pool = Pool(2, estimated=SuccessRate(bins=4, every=1, outcome=outcome))
            sec = SEC(outcome=outcome).bind(pool)
            shown = self.shown()
            rows = np.repeat([0, 1], 4)
            sec.observe(
                Feedback(rows, shown.draw, 0, shown.reward, shown.advantage, shown.length, rewards=shown.rewards)
            )
            assert sec.arms.arm.tolist() == expected  # 1/4 and 3/3; 2/4 and 2/4
        with pytest.raises(ValueError, match=r"a reward of 1\.5 came back"):
            SEC().bind(Pool(51, estimated=SuccessRate())).observe(self.shown())


class TestTD:
    def test_hand_computed_updates(self) -> None:
        td = TD(0.5)
        td.start(0, 3)
        td.update(np.array([0, 0, 1]), np.array([0.2, 0.6, 1.0]))
        assert td.mean.tolist() == [0.2, 0.5, 0.0]
        td.update(np.array([0]), np.array([0.0]))
        assert td.mean.tolist() == [0.1, 0.5, 0.0]
        assert td.count.tolist() == [3, 1, 0]

    def test_unsampled_arms_are_kept_or_decay(self) -> None:
        kept, decayed = TD(0.5, "keep"), TD(0.5, "decay")
        for td in (kept, decayed):
            td.start(0, 2)
            td.update(np.array([0, 1]), np.array([0.8, 0.8]))
            td.update(np.array([0]), np.array([0.8]))
        assert kept.mean.tolist() == pytest.approx([0.6, 0.4])
        assert decayed.mean.tolist() == pytest.approx([0.6, 0.2])

    @pytest.mark.parametrize("unsampled", ["keep", "decay"])
    def test_an_arm_whose_rewards_are_missing_was_not_observed(self, unsampled: str) -> None:
        td = TD(0.5, unsampled)  # type: ignore[arg-type]
        td.start(0, 1)
        td.update(np.zeros(2, int), np.array([0.8, 0.8]))
        td.update(np.zeros(2, int), np.array([np.nan, np.nan]))
        assert td.mean[0] == pytest.approx(0.4) and td.count[0] == 4


class TestSlidingWindow:
    def test_mean_of_the_last_signals(self) -> None:
        window = SlidingWindow(3)
        window.start(0, 2)
        window.update(np.array([0, 1, 0, 0]), np.array([1.0, 9.0, 2.0, 3.0]))
        assert window.mean.tolist() == [2.0, 9.0]
        window.update(np.array([0, 0]), np.array([7.0, np.nan]))
        assert window.mean.tolist() == [4.0, 9.0]  # of 2, 3, 7
        assert window.count.tolist() == [5, 1]

    def test_a_batch_longer_than_the_window(self) -> None:
        window = SlidingWindow(3)
        window.start(0, 1)
        window.update(np.zeros(10, int), np.arange(10.0))
        assert window.mean[0] == 8.0


class TestDUMP:
    def test_hand_computed_bound(self) -> None:
        dump = DUMP(tau=0.1).bind(arms(2))
        draw = dump.select(1)
        shown = from_rewards(draw, np.array([1.0, 0.0, 0.0, 0.0]), 4)
        dump.observe(shown)
        seen, other = int(draw.arm[0]), 1 - int(draw.arm[0])
        bound = np.empty(2)
        bound[seen] = np.abs(shown.advantages()).mean() + math.sqrt(2 * math.log(5) / 5)
        bound[other] = math.sqrt(2 * math.log(5) / 1)
        expected = np.exp(bound / 0.1) / np.exp(bound / 0.1).sum()
        assert dump.probabilities() == pytest.approx(expected, rel=1e-5)

    def test_an_unscorable_arm_does_not_stay_unseen(self) -> None:
        dump = DUMP().bind(arms(2))
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
        assert self.difficulty[Order().bind(pool).select(6).row].tolist() == [1, 1, 2, 2, 3, 3]
        assert self.difficulty[Order(mode="hard_to_easy").bind(pool).select(6).row].tolist() == [3, 3, 2, 2, 1, 1]

    def test_stretched_over_a_budget_each_level_keeps_its_share(self) -> None:
        order = Order(total_draws=30).bind(Pool(6, difficulty=self.difficulty))
        levels = [self.difficulty[order.select(5).row].tolist() for _ in range(6)]
        assert levels == [[1] * 5, [1] * 5, [2] * 5, [2] * 5, [3] * 5, [3] * 5]

    def test_shrunk_to_a_budget_still_reaches_the_last_level(self) -> None:
        order = Order(total_draws=3).bind(Pool(6, difficulty=self.difficulty))
        assert self.difficulty[order.select(3).row].tolist() == [1, 2, 3]

    def test_blocked_and_interleaved(self) -> None:
        pool = Pool(6, [0, 1, 0, 1, 0, 1], ["a", "b"])
        assert Order(mode="blocked").bind(pool).select(6).arm.tolist() == [0, 0, 0, 1, 1, 1]
        assert Order(mode="interleaved").bind(pool).select(6).arm.tolist() == [0, 1, 0, 1, 0, 1]

    def test_needs_a_difficulty(self) -> None:
        with pytest.raises(ValueError, match="set difficulty_column"):
            Order().bind(Pool(3))


class TestUniform:
    def test_every_row_once_per_pass(self) -> None:
        uniform = Uniform().bind(Pool(10))
        assert sorted(uniform.select(10).row) == sorted(uniform.select(10).row) == list(range(10))


class TestPrior:
    def test_prevalence_draws_small_arms_less(self) -> None:
        pool = Pool(10, [0] * 8 + [1] * 2, ["big", "small"])
        assert SEC().bind(pool).probabilities().tolist() == [0.5, 0.5]
        assert SEC(prior="prevalence").bind(pool).probabilities() == pytest.approx([0.8, 0.2])


@dataclass(frozen=True)
class Composed(ArmMethod):
    """Parts put together by hand."""

    def parts(self) -> Any:
        return TD(0.5), identity, Boltzmann(0.2)


class TestSimulatedLearners:
    """Arms with fixed success rates: a bandit on |A| must concentrate on the one nearest to one half."""

    rates = np.array([0.0, 0.02, 0.15, 0.5, 0.9, 1.0])

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("method", [SEC(alpha=0.2, tau=0.1), DUMP()], ids=["sec", "dump"])
    def test_concentrates_on_the_arm_nearest_one_half(self, method: ArmMethod, seed: int) -> None:
        curriculum = method.bind(arms(6), seed)
        draws = run(curriculum, 300, np.repeat(self.rates, 50), seed)
        late = np.bincount(np.concatenate([draw.arm for draw in draws[200:]]), minlength=6) / 800
        assert late.argmax() == 3 and late[3] > 0.4
        assert late[[0, 1, 5]].sum() < 0.2

    @pytest.mark.parametrize("seed", range(3))
    def test_the_one_reward_function_finds_the_same_arm(self, seed: int) -> None:
        sec = SEC(alpha=0.2, tau=0.05, outcome="accuracy").bind(arms(6), seed=seed)
        run(sec, 300, np.repeat(self.rates, 50), seed)
        assert sec.probabilities().argmax() == 3

    def test_without_labels_the_buckets_find_the_rows_of_that_arm(self) -> None:
        pool, success = Pool(120, estimated=SuccessRate(bins=5, every=5)), np.repeat(self.rates, 20)
        sec = SEC(alpha=0.3, tau=0.1).bind(pool)
        run(sec, 100, success)
        draws = run(sec, 100, success, seed=1)
        useful = np.concatenate([success[draw.row] == 0.5 for draw in draws]).mean()
        assert useful > 0.5  # of all rows 1 in 6

    def test_a_coin_flip_arm_holds_the_bandit_for_ever(self) -> None:
        """The known failure: disagreement is not learnability."""
        success = np.repeat([0.05, 0.5], 50)
        sec = SEC(alpha=0.2, tau=0.2).bind(arms(2))
        draws = run(sec, 100, success)
        assert np.concatenate([draw.arm for draw in draws]).mean() > 0.8

    def test_a_method_is_its_parts(self) -> None:
        composed = Composed().bind(arms(4), seed=3)
        sec = SEC(alpha=0.5, tau=0.2).bind(arms(4), seed=3)
        success = np.repeat([0.1, 0.4, 0.6, 0.9], 50)
        assert [d.row.tolist() for d in run(composed, 20, success)] == [d.row.tolist() for d in run(sec, 20, success)]


class TestSuccessRate:
    def test_rows_move_to_the_bucket_of_their_success_rate(self) -> None:
        sec = SEC().bind(Pool(6, estimated=SuccessRate(bins=5, every=1)))
        draw = sec.select(6)
        success = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
        rewards = np.concatenate([[1.0] * round(4 * s) + [0.0] * (4 - round(4 * s)) for s in success[draw.row]])
        sec.observe(from_rewards(draw, rewards, 4))
        assert sec.arms.arm.tolist() == [1, 2, 3, 4, 5, 5]
        assert sec.arm_names == ("untried", "0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1")

    def test_a_row_that_was_never_scored_does_not_stay_untried(self) -> None:
        sec = SEC().bind(Pool(1, estimated=SuccessRate(bins=5, every=1)))
        draw = sec.select(1)
        sec.observe(Feedback(draw.row, draw.id, 0, np.array([np.nan]), np.array([np.nan]), np.array([3])))
        assert sec.arms.arm.tolist() == [1]

    def test_rows_drawn_least_often_come_first(self) -> None:
        sec = SEC().bind(Pool(20, estimated=SuccessRate(bins=2, every=1)))
        rng = np.random.default_rng(0)
        seen: list[int] = []
        for _ in range(5):
            draw = sec.select(4)
            seen += draw.row.tolist()
            sec.observe(feedback(draw, np.zeros(20), rng))
            sec.estimator.mean[:] = [9.0, 0.0, 0.0]  # only ever draw untried rows
        assert len(set(seen)) >= 16
