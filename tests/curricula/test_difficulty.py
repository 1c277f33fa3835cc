"""Curricula that follow a difficulty together with what the model can do: numbers that can be worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from scipy.sparse import csr_matrix

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import CURRICULA, E2H, GAINRL, PUDF, AdaRFT, RMTTiers, WikiR1
from trl_curriculum.curricula.pudf import from_pass_rates, most_probable_ability
from trl_curriculum.data.clusters import nearest, neighbours
from trl_curriculum.disk.state import StateError


def levels(n: int, rows_each: int = 20) -> Pool:
    names = [f"level{k}" for k in range(n)]
    return Pool(n * rows_each, np.repeat(np.arange(n), rows_each), names, np.repeat(np.arange(n), rows_each))


def show(curriculum: Any, n: int, reward: Any, **columns: Any) -> np.ndarray:
    """Draws `n` rows, of which each shows a reward, or all the same; returns the rows."""
    draw = curriculum.select(n)
    curriculum.observe(Feedback(draw.row, draw.id, 0, reward=np.broadcast_to(reward, n).astype(float), **columns))
    return draw.row


class TestAdaRFT:
    def bind(self, **options: Any) -> Any:
        return AdaRFT(**options).bind(Pool(101, difficulty=np.arange(101)))

    @pytest.mark.parametrize(
        ("reward", "target"),
        [(0.5, 40.0), (1.0, 40 + 50 * math.tanh(1.0)), (0.6, 40 + 50 * math.tanh(0.2)), (0.0, 40 - 50 * math.tanh(1))],
    )
    def test_the_target_moves_by_the_formula_of_the_paper(self, reward: float, target: float) -> None:
        ada = self.bind(start=0.4)
        assert ada.metrics() == {"target": 40.0}
        show(ada, 8, reward)
        assert ada.target == pytest.approx(target)  # 78.1, 49.9, 1.9

    def test_it_stays_within_the_difficulties(self) -> None:
        ada = self.bind()
        show(ada, 4, 0.0)
        assert ada.target == 0
        for _ in range(4):
            show(ada, 4, 1.0)
        assert ada.target == 100 and sorted(show(ada, 3, 1.0)) == [98, 99, 100]

    def test_eta_is_a_share_of_the_range_whatever_the_unit(self) -> None:
        ada = AdaRFT().bind(Pool(5, difficulty=[2, 3, 4, 5, 6]))
        show(ada, 2, 0.75)
        assert ada.target == pytest.approx(2 + 0.5 * 4 * math.tanh(0.5))

    def test_a_reward_that_is_missing_says_nothing(self) -> None:
        ada = self.bind(start=0.4)
        show(ada, 4, [1.0, np.nan, 1.0, np.nan])
        assert ada.target == pytest.approx(40 + 50 * math.tanh(1))
        before = ada.target
        show(ada, 4, np.nan)
        assert ada.target == before

    def test_the_reward_that_decides(self) -> None:
        ada = self.bind(start=0.4, outcome="right")
        show(ada, 4, 1.0, rewards={"right": np.zeros(4), "format": np.ones(4)})
        assert ada.target == pytest.approx(40 - 50 * math.tanh(1))

    @pytest.mark.parametrize("target", [0.0, 0.4, 17.0, 17.5, 61.3, 100.0])
    @pytest.mark.parametrize("n", [1, 2, 7, 101])
    def test_the_nearest_rows_are_those_of_a_sort(self, target: float, n: int) -> None:
        rng = np.random.default_rng(n)
        difficulty = rng.integers(0, 20, 101) * 5.0
        ada = AdaRFT().bind(Pool(101, difficulty=difficulty))
        ada.target = target
        row = ada.select(n).row
        away = np.abs(difficulty - target)
        assert len(set(row.tolist())) == n and sorted(away[row]) == pytest.approx(np.sort(away)[:n])

    def test_rows_at_the_edge_come_by_chance_from_both_sides(self) -> None:
        ada = AdaRFT().bind(Pool(300, difficulty=np.repeat([0, 1, 2], 100)))
        ada.target = 1.0
        drawn = np.concatenate([ada.select(120).row for _ in range(50)])
        assert (np.bincount(drawn, minlength=300)[100:200] == 50).all()  # all of the middle each time
        below, above = (drawn < 100).sum(), (drawn >= 200).sum()
        assert below + above == 1000 and abs(below - 500) < 5 * math.sqrt(250)
        assert len(set(drawn.tolist())) > 290

    def test_a_batch_larger_than_the_pool_has_every_row(self) -> None:
        ada = AdaRFT().bind(Pool(3, difficulty=[1, 2, 3]))
        assert sorted(ada.select(7).row.tolist()) == [0, 0, 0, 1, 1, 2, 2]

    def test_after_a_probe_it_starts_at_the_least_loss(self) -> None:
        ada = AdaRFT(difficulty="probe").bind(Pool(4))
        ada.observe_probe(np.arange(4), np.array([3.0, 1.0, np.nan, 2.0]))
        assert ada.target == 1.0 and ada.select(1).row.tolist() == [1]

    def test_a_target_that_cannot_be_is_refused(self) -> None:
        ada = self.bind()
        state = ada.state_dict()
        state["own"]["target"] = 101.0
        with pytest.raises(StateError, match="'target' of AdaRFTCurriculum cannot be"):
            self.bind().load_state_dict(state)


class TestE2H:
    def test_gaussian_by_hand(self) -> None:
        """Four levels, floor 2 / 20: at a quarter of the training the centre is sqrt(.25) * 3 = 1.5."""
        near, far = math.exp(-0.25 / 0.5), math.exp(-2.25 / 0.5)
        q = np.array([far, near, near, far]) / (2 * (near + far))
        assert E2H().schedule(0.25, 4) == pytest.approx(0.1 + 0.6 * q)
        assert E2H(floor=0.0, beta=1.0).schedule(0.5, 4) == pytest.approx(q)

    def test_cosine_goes_from_one_ramp_to_its_mirror_image(self) -> None:
        cosine = E2H(form="cosine")
        assert cosine.schedule(0.0, 4) == pytest.approx([0.4, 0.3, 0.2, 0.1])
        assert cosine.schedule(0.5, 4) == pytest.approx([0.25] * 4)
        assert cosine.schedule(1.0, 4) == pytest.approx([0.1, 0.2, 0.3, 0.4])

    @pytest.mark.parametrize("method", [E2H(), E2H(form="cosine"), E2H(sigma=0.001, floor=0.0), RMTTiers()])
    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_probabilities_sum_to_one(self, method: Any, n: int) -> None:
        for progress in (0.0, 1e-9, 0.3, 0.5, 0.7, 1.0):
            p = method.schedule(progress, n)
            assert p.sum() == pytest.approx(1) and (p >= 0).all()

    def test_draws_follow_the_schedule_and_levels_are_used_up(self) -> None:
        e2h = E2H().bind(levels(4))
        draw = e2h.select(8000, 0.25)
        p = E2H().schedule(0.25, 4)
        assert np.bincount(draw.arm) / 8000 == pytest.approx(p, abs=5 * math.sqrt(0.25 / 8000))
        assert draw.probability == pytest.approx(p[draw.arm] / 20)
        first = draw.row[draw.arm == 2][:20]
        assert len(set(first.tolist())) == 20

    def test_difficulties_are_cut_into_levels_and_equal_ones_stay_together(self) -> None:
        pool = Pool(10, difficulty=[9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
        assert np.bincount(E2H(levels=5).bind(pool).queues.size).tolist() == [0, 0, 5]  # two rows each
        tied = E2H(levels=2).bind(Pool(10, difficulty=[1] * 6 + [2] * 4))
        assert tied.queues.size.tolist() == [6, 4]

    def test_the_share_of_an_empty_level_goes_to_the_nearest(self) -> None:
        e2h = E2H(levels=4, form="cosine").bind(Pool(10, difficulty=[1] * 5 + [2] * 5))
        assert e2h.queues.size.tolist() == [0, 5, 0, 5]  # the middle of each half
        assert e2h.probabilities() == pytest.approx([0, 0.4 + 0.3 + 0.2, 0, 0.1])
        assert e2h.metrics()["level"] == pytest.approx(2 * 0.9 + 4 * 0.1)

    def test_what_goes_not_together(self) -> None:
        with pytest.raises(ValueError, match="form='cosine' of e2h is no Gaussian: leave floor out"):
            E2H(form="cosine", floor=0.1)
        with pytest.raises(ValueError, match="levels=None of e2h follows the arms"):
            E2H(difficulty="probe")
        with pytest.raises(ValueError, match=r"floor=0.3 of e2h for each of 4 levels .* at most 0.25"):
            E2H(floor=0.3).bind(levels(4))
        with pytest.raises(ValueError, match="sorts by difficulty: set difficulty_column"):
            E2H(levels=3).bind(Pool(4))


class TestRMTTiers:
    @pytest.mark.parametrize(
        ("progress", "expected"),
        [
            (0.0, [1, 0, 0]),
            (0.06, [0.8, 0.2, 0]),
            (0.3, [0, 1, 0]),
            (0.4, [0, 0.75, 0.25]),
            (0.7, [0, 0, 1]),
            (1.0, [0, 0, 1]),
        ],
    )
    def test_straight_lines_between_the_knots(self, progress: float, expected: list[float]) -> None:
        assert RMTTiers().schedule(progress, 3) == pytest.approx(expected)

    def test_tiers_by_thirds_of_the_difficulties(self) -> None:
        tiers = RMTTiers().bind(Pool(9, difficulty=np.arange(9)))
        for progress, rows in ((0.0, [0, 1, 2]), (0.3, [3, 4, 5]), (0.9, [6, 7, 8])):
            assert sorted(tiers.select(3, progress).row.tolist()) == rows

    def test_any_number_of_arms(self) -> None:
        tiers = RMTTiers(levels=None).bind(levels(5))
        assert set(tiers.select(50, 0.3).arm.tolist()) == {2}
        with pytest.raises(ValueError, match=r"first=0\.7 of rmt_tiers must come before second=0\.3"):
            RMTTiers(first=0.7, second=0.3)


class TestGAINRL:
    def bind(self, size: int = 400, **options: Any) -> Any:
        return GAINRL(**{"width": 20.0, "step": 100.0, "subset": 8} | options).bind(
            Pool(size, difficulty=np.arange(size)[::-1])
        )

    def test_the_window_is_a_gaussian_over_ranks(self) -> None:
        gain = self.bind()
        gain.select(8)
        p = gain.sampler.probability(np.array([399, 379, 359]))  # ranks 0, 20, 40
        assert p[1:] / p[0] == pytest.approx([math.exp(-0.5), math.exp(-2)])

    @pytest.mark.parametrize(
        ("success", "centre"), [(1.0, 100 * math.tanh(1)), (0.75, 100 * math.tanh(0.5)), (0.5, 0.0), (0.0, 0.0)]
    )
    def test_the_centre_moves_by_success_and_never_back(self, success: float, centre: float) -> None:
        gain = self.bind()
        for rewards in ([success] * 4, [np.nan] + [success] * 3):  # a subset of two batches
            show(gain, 4, rewards)
        assert gain.centre == 0.0  # until the next subset
        show(gain, 4, 0.0)
        assert gain.centre == pytest.approx(centre) and gain.metrics()["subset"] == 2

    def test_it_ends_at_the_last_rank(self) -> None:
        gain = self.bind(40, step=1000.0)
        for _ in range(3):
            show(gain, 8, 1.0)
        assert gain.centre == 39 and gain.sampler.probability(np.arange(40)).argmax() == 0

    def test_rows_of_equal_difficulty_share_their_rank(self) -> None:
        gain = GAINRL(width=1.0).bind(Pool(6, difficulty=[1, 1, 1, 1, 2, 3]))
        gain.select(1)
        p = gain.sampler.probability(np.arange(6))
        assert len({*p[:4].tolist()}) == 1 and p[4] / p[0] == pytest.approx(math.exp(-(4**2 - 1.5**2) / 2))

    def test_a_subset_has_no_row_twice(self) -> None:
        gain = self.bind(subset=64)
        rows = np.concatenate([gain.select(16).row for _ in range(4)])
        assert len(set(rows.tolist())) == 64

    def test_a_width_beyond_the_pool_is_said(self) -> None:
        outlook = GAINRL().bind(Pool(200, difficulty=np.arange(200))).outlook(100, 10)
        assert "width=1000 ranks is more than the pool's 200" in outlook.odd[0]
        assert outlook.acts_at == 21 and outlook.events == (1, 21, 41, 61, 81)


class TestWikiR1:
    chain = csr_matrix([[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])

    def test_nothing_is_known_at_first(self) -> None:
        wiki = WikiR1().bind(Pool(4, neighbours=self.chain))
        assert wiki.beliefs().tolist() == [0.5] * 4

    def test_beliefs_are_passed_on(self) -> None:
        """Row 1 lies between row 0, always solved, and row 2, never: by symmetry it is at the mean, as row 3 is."""
        wiki = WikiR1().bind(Pool(4, neighbours=self.chain))
        wiki.observe(Feedback(np.array([0, 2]), np.array([0, 1]), 0, reward=np.array([1.0, 0.0])))
        assert wiki.beliefs() == pytest.approx([1, 0.5, 0, 0.5])
        wiki.observe(Feedback(np.array([2]), np.array([2]), 0, reward=np.array([1.0])))  # now solved half of the time
        own = np.array([1, 0.75, 0.5, 0.75])  # .75: the mean of both
        expected = own
        for _ in range(10):
            expected = 0.8 * (self.chain @ expected) + 0.2 * own
        assert wiki.beliefs() == pytest.approx([1, expected[1], 0.5, 0.75])

    def test_one_propagation_by_hand(self) -> None:
        """With α = .5 it settles: a = .5 K a + .5 o, so that a1 = .5 a0 + .5 o1 and a0 = .5 a1 + .5."""
        wiki = WikiR1(alpha=0.5).bind(Pool(2, neighbours=csr_matrix([[0, 1], [1, 0]])))
        wiki.observe(Feedback(np.array([0]), np.array([0]), 0, reward=np.array([0.0])))
        assert wiki.beliefs() == pytest.approx([0, 0])  # the mean of what was seen is 0 as well
        wiki.success[1] = 1.0
        wiki.seen_at[1] = -2  # one half life ago
        prior = 0.5
        own = 0.5 * 1 + 0.5 * prior
        a1 = (0.25 * 0 + 0.5 * own) / 0.75
        assert wiki.beliefs() == pytest.approx([0, 0.5 + 0.5 * a1], abs=1e-3)

    def test_an_observation_ages(self) -> None:
        wiki = WikiR1(half_life=1.0).bind(Pool(4))
        wiki.observe(Feedback(np.array([0, 1]), np.array([0, 1]), 0, reward=np.array([1.0, 0.0])))
        wiki.drawn = 4  # a pass later: half its own, half what is passed on, .5 * 1 + .5 * the mean of all
        assert wiki.beliefs() == pytest.approx([0.875, 0.125, 0.5, 0.5])
        wiki.observe(Feedback(np.array([0]), np.array([2]), 0, reward=np.array([0.0])))
        assert wiki.success[0] == pytest.approx(1 / 3)  # the old one counts half

    def test_probabilities_by_hand(self) -> None:
        wiki = WikiR1(sigma=0.25).bind(Pool(3))
        wiki.observe(Feedback(np.arange(3), np.arange(3), 0, reward=np.array([0.5, 0.25, 0.0])))
        weight = np.exp([0, -0.5, -2])
        draw = wiki.select(3)
        assert draw.probability == pytest.approx((weight / weight.sum())[draw.row]) and len(set(draw.row)) == 3

    def test_the_next_level_begins_when_the_last_rewards_are_good(self) -> None:
        wiki = WikiR1(levels=True, window=10, threshold=0.55).bind(levels(3))
        for rewards, level in ((0.5, 0), (0.5, 0), (0.6, 0), (0.6, 1), (1.0, 1), (1.0, 2)):
            rows = show(wiki, 5, rewards)
            assert wiki.level == level
            assert len(set((rows // 20).tolist())) == 1
        show(wiki, 5, 1.0)
        show(wiki, 5, 1.0)
        assert wiki.level == 2 and wiki.metrics()["level"] == 3  # the last

    def test_neighbours_are_rows_with_the_same_words(self) -> None:
        texts = ["add two numbers", "the capital of France", "add three numbers", "a capital of France"]
        rows = Dataset.from_dict({"prompt": texts})
        alike = neighbours(rows, 2)
        assert alike is not None and neighbours(rows, 0) is None
        assert np.asarray(alike.sum(axis=1)).ravel() == pytest.approx(np.ones(4)) and (alike.diagonal() == 0).all()
        assert alike.toarray().argmax(axis=1).tolist() == [2, 3, 0, 1]

    def test_cosines_of_vectors(self) -> None:
        root = math.sqrt(0.5)
        alike = nearest(np.array([[1, 0], [root, root], [0, 1], [-1, 0]]), 2).toarray()
        assert alike == pytest.approx(np.array([[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 0, 1]]))
        assert nearest(np.ones((1, 1)), 5).toarray().tolist() == [[1.0]]


class TestPUDF:
    def test_the_most_probable_ability(self) -> None:
        """One right answer to b = 0: 1 - 1 / (1 + exp(-θ)) = θ, so θ (1 + e^θ) = 1."""
        theta = most_probable_ability(np.zeros(1), np.ones(1))
        assert theta * (1 + math.exp(theta)) == pytest.approx(1) and theta == pytest.approx(0.4011, abs=1e-4)
        assert most_probable_ability(np.array([-2.0, 2.0]), np.array([1.0, 0.0])) == pytest.approx(0, abs=1e-9)
        for b in (-50.0, 0.0, 50.0):  # of many answers the prior is forgotten
            y = np.full(100_000, 0.75)
            expected = b + math.log(3)
            assert most_probable_ability(np.full(100_000, b), y) == pytest.approx(expected, abs=0.01)

    def test_difficulties_from_pass_rates(self) -> None:
        assert from_pass_rates(np.array([0.5, 0.75, 0.25])) == pytest.approx([0, -math.log(3), math.log(3)])
        assert from_pass_rates(np.array([0.0, 1.0])) == pytest.approx([math.log(99), -math.log(99)])
        with pytest.raises(ValueError, match=r"row 1 holds 40: they must lie in \[0, 1\]"):
            PUDF(scale="pass_rates").bind(Pool(2, difficulty=[0.5, 40]))

    def test_the_rows_within_reach(self) -> None:
        pool = Pool(9, difficulty=np.arange(-4, 5))
        assert sorted(PUDF().bind(pool).select(5).row.tolist()) == [0, 1, 2, 3, 4]  # b <= 0
        pudf = PUDF(lower=-1, upper=1).bind(pool)
        assert sorted(pudf.select(3).row.tolist()) == [3, 4, 5] and pudf.metrics()["admitted"] == pytest.approx(1 / 3)
        assert pudf.outlook(9, 3).odd == ()
        far = PUDF().bind(Pool(4, difficulty=[7, 5, 9, 6]))
        assert "fewer rows at first than are drawn at once" in far.outlook(9, 2).odd[0]
        assert sorted(far.select(2).row.tolist()) == [1, 3]  # none is: the nearest

    def test_a_window_without_rows_is_said_once_losses_are_known(self, caplog: pytest.LogCaptureFixture) -> None:
        pudf = PUDF(difficulty="probe", response="loss", refresh_steps=1).bind(Pool(4))
        pudf.observe_probe(np.arange(4), np.array([0.9, 1.2, 0.8, 1.5]))  # b = ln(e^0.8 - 1) = .20 at the least
        assert sorted(pudf.select(2).row.tolist()) == [0, 2]
        assert "the nearest come again and again" in caplog.text

    def test_the_ability_follows_what_rows_show(self) -> None:
        b = np.repeat(np.arange(-4.0, 5), 10)
        pudf = PUDF(refresh_steps=1).bind(Pool(90, difficulty=b))
        show(pudf, 50, 1.0)
        pudf.select(5)
        missing = sum(10 / (1 + math.exp(pudf.ability - k)) for k in range(-4, 1))  # the sum of 1 - P
        assert missing == pytest.approx(pudf.ability) and 1 < pudf.ability < 2
        assert pudf.admitted == 60  # up to b = 1
        show(pudf, 5, np.nan)  # nothing was seen since: it stays
        before = pudf.ability
        pudf.select(5)
        assert pudf.ability == before

    def test_an_ability_that_stalls_is_raised(self) -> None:
        pudf = PUDF(refresh_steps=1).bind(Pool(4, difficulty=[-1, -1, -1, -1]))
        raised = []
        for _ in range(8):
            show(pudf, 4, 0.5)
            raised.append(round(pudf.raised, 2))
        assert raised == [0, 0, 0, 0.1, 0.1, 0.2, 0.2, 0.3]

    def test_in_sft_an_answer_is_its_likelihood_and_begins_at_zero(self) -> None:
        loss = np.array([0.1, math.log(2), 2.0, np.nan])
        pudf = PUDF(response="loss", difficulty="probe", refresh_steps=1).bind(Pool(4))
        pudf.observe_probe(np.arange(4), loss)
        assert pudf._b[:3] == pytest.approx([math.log(math.expm1(0.1)), 0, math.log(math.expm1(2))])
        draw = pudf.select(4)
        pudf.observe(Feedback(draw.row, draw.id, 0, loss=np.nan_to_num(loss[draw.row], nan=math.log(2))))
        pudf.select(4)
        assert pudf.ability == pytest.approx(0, abs=1e-6)

    def test_what_goes_not_together(self) -> None:
        for options, words in (
            ({"lower": 1.0}, "lower=1.0 of pudf is above upper=0.0"),
            ({"scale": "pass_rates", "difficulty": "probe"}, "says what a column holds"),
            ({"response": "loss", "outcome": "right"}, "outcome='right' of pudf names a reward"),
        ):
            with pytest.raises(ValueError, match=words):
                CURRICULA.make({"pudf": options})
