"""EDCO, what is believed of rows within arms, and UCB1: numbers by hand, and simulations where the truth is known."""

import math
from itertools import chain
from typing import Any

import numpy as np
import pytest

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import EDCO, UCB1, Draw, RoundBegan
from trl_curriculum.curricula.edco import MAX_AGE, PILOT, EDCOCurriculum
from trl_curriculum.curricula.parts.shared_belief import FEW, SharedBelief
from trl_curriculum.curricula.ucb1 import UCB1Curriculum
from trl_curriculum.probes.prefix_entropy import Scores
from trl_curriculum.records import PoolMapping
from trl_curriculum.testing.simulated import from_losses, from_rewards


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def measured(rows: np.ndarray, prompt: Any = None, tokens: int = 10) -> Scores:
    """What a probe says of rows besides their scores; rows with equal entries of `prompt` have equal prompts."""
    prompt = np.arange(1, 10**6) if prompt is None else np.asarray(prompt)
    shown = prompt[rows].astype(np.uint64)
    first = np.zeros(len(rows), bool)
    first[np.unique(shown, return_index=True)[1]] = True
    return Scores(np.zeros(len(rows)), tokens * first, shown, 0.1, {})


def answer(edco: EDCOCurriculum, score: Any, progress: float, prompt: Any = None) -> list[list[int]]:
    """Reports what is asked for; returns the rows of each question."""
    asked = []
    while (rows := edco.rows_to_probe(progress)) is not None:
        edco.observe_probe(rows, np.asarray(score, float)[rows], measured(rows, prompt))
        asked.append(rows.tolist())
    return asked


def round_of(edco: EDCOCurriculum, score: Any, n: int, progress: float, prompt: Any = None) -> list[int]:
    answer(edco, score, progress, prompt)
    return edco.select(n, progress).row.tolist()


def by_arm(arm: Any, names: int | None = None) -> Pool:
    arm = np.asarray(arm)
    return Pool(len(arm), arm, [f"arm{k}" for k in range(names or arm.max() + 1)])


class TestRounds:
    def test_the_rows_with_the_largest_scores_and_each_as_often(self) -> None:
        edco = EDCO(rounds=2, top_n=3).bind(Pool(10))
        score = [5, 1, 9, 2, 0, 7, 3, 8, 4, 6]
        assert answer(edco, score, 0.0) == [list(range(10))]
        rows = [edco.select(2, step / 20).row.tolist() for step in range(9)]
        flat = list(chain(*rows))
        for k in range(0, 18, 3):  # six passes
            assert sorted(flat[k : k + 3]) == [2, 5, 7]
        assert len({tuple(flat[k : k + 3]) for k in range(0, 18, 3)}) > 1, "the order of every pass is the same"

    def test_in_descending_order_every_pass_is_that_of_the_scores(self) -> None:
        """As the code's GRPO trains a round: sorted, and not shuffled."""
        edco = EDCO(rounds=2, top_n=3, order="descending").bind(Pool(10))
        score = [5, 1, 9, 2, 0, 7, 3, 8, 4, 6]
        answer(edco, score, 0.0)
        rows = [edco.select(2, step / 20).row.tolist() for step in range(9)]
        assert list(chain(*rows)) == [2, 7, 5] * 6
        assert round_of(edco, score[::-1], 4, 0.5) == [7, 2, 4, 7], "a round begins with its first row"

    def test_in_descending_order_a_resume_goes_on_inside_a_pass(self) -> None:
        edco = EDCO(top_n=4, order="descending").bind(Pool(6))
        assert round_of(edco, [0, 1, 2, 3, 4, math.nan], 3, 0.0) == [4, 3, 2]
        again = EDCO(top_n=4, order="descending").bind(Pool(6))
        again.load_state_dict(edco.state_dict())
        assert again.select(6, 0.1).row.tolist() == [1, 4, 3, 2, 1, 4] == edco.select(6, 0.1).row.tolist()

    def test_a_random_score_has_no_order(self) -> None:
        with pytest.raises(ValueError, match="order='descending' goes by scores: leave it out with score_by='random'"):
            EDCO(score_by="random", order="descending")

    def test_begin_at_equal_parts_of_the_training(self) -> None:
        edco = EDCO(rounds=4, top_n=2).bind(Pool(8))
        began = []
        for step in range(20):
            asked = answer(edco, rng(step).random(8), step / 20)
            assert len(asked) == (step % 5 == 0)
            edco.select(3, step / 20)
            began += [step] * len(asked)
            assert edco.round == step // 5 + 1 and edco.metrics()["round"] == edco.round
        assert began == [0, 5, 10, 15]

    @pytest.mark.parametrize("rounds", range(1, 30))
    def test_as_many_as_asked_for_whatever_the_number_of_steps(self, rounds: int) -> None:
        for steps in (rounds, rounds + 1, 7 * rounds, 100):
            edco = EDCO(rounds=rounds, top_n=1, score_by="random").bind(Pool(4))
            for step in range(steps):
                edco.select(1, step / steps)
            assert edco.round == min(rounds, steps)

    def test_a_training_that_skips_parts_does_not_make_up_for_them(self) -> None:
        edco = EDCO(rounds=10, top_n=2).bind(Pool(8))
        for progress in (0.0, 0.55, 0.58, 0.99):
            round_of(edco, np.arange(8), 2, progress)
        assert edco.round == 3

    def test_the_pool_is_not_used_up(self) -> None:
        edco = EDCO(rounds=3, top_n=2).bind(Pool(6))
        score = [0, 1, 9, 8, 2, 3]
        for step in range(3):
            assert sorted(round_of(edco, score, 2, step / 3)) == [2, 3]

    def test_a_new_round_follows_new_scores_only(self) -> None:
        edco = EDCO(rounds=2, top_n=2).bind(Pool(6))
        assert sorted(round_of(edco, [0, 1, 9, 8, 2, 3], 2, 0.0)) == [2, 3]
        assert sorted(round_of(edco, [9, 8, 0, 0, 0, 0], 2, 0.4)) == [2, 3], "not asked, so it cannot know"
        assert sorted(round_of(edco, [9, 8, 0, 0, 0, 0], 2, 0.5)) == [0, 1]

    def test_n_from_the_share_of_distinct_rows(self) -> None:
        for share, n in ((0.25, 5), (0.5, 10), (1.0, 20), (0.01, 1)):
            edco = EDCO(share=share).bind(Pool(20))
            round_of(edco, np.arange(20), 1, 0.0)
            assert (edco.probabilities() > 0).sum() == n
        twice = np.arange(20) // 2 + 1
        edco = EDCO(share=0.5).bind(Pool(20))
        round_of(edco, np.arange(20), 1, 0.0, prompt=twice)
        assert (edco.probabilities() > 0).sum() == 5 and edco.metrics()["duplicates"] == 10

    def test_n_larger_than_the_pool(self) -> None:
        assert sorted(round_of(EDCO(top_n=10).bind(Pool(3)), [1, 2, 3], 6, 0.0)) == [0, 0, 1, 1, 2, 2]

    def test_equal_prompts_count_once(self) -> None:
        edco = EDCO(top_n=3).bind(Pool(6))
        rows = round_of(edco, [9, 9, 9, 8, 8, 7], 3, 0.0, prompt=[1, 1, 1, 2, 2, 3])
        assert len(set(rows)) == 3 and 5 in rows
        assert sum(row <= 2 for row in rows) == 1 and sum(row in (3, 4) for row in rows) == 1
        assert edco.metrics()["duplicates"] == 3

    def test_rows_without_a_score_come_last_at_random(self) -> None:
        score = [math.nan, 1, math.nan, 2, math.nan, math.nan]
        assert sorted(round_of(EDCO(top_n=2).bind(Pool(6)), score, 2, 0.0)) == [1, 3]
        third = set()
        for seed in range(30):
            rows = round_of(EDCO(top_n=3).bind(Pool(6), seed=seed), score, 3, 0.0)
            assert {1, 3} < set(rows)
            third |= set(rows) - {1, 3}
        assert third == {0, 2, 4, 5}

    def test_ties_are_broken_at_random(self) -> None:
        chosen = [tuple(sorted(round_of(EDCO(top_n=2).bind(Pool(6), seed=s), np.ones(6), 2, 0.0))) for s in range(40)]
        assert len(set(chosen)) > 8

    def test_draws_without_an_answer_are_refused(self) -> None:
        with pytest.raises(RuntimeError, match="'edco' was asked for rows before their scores were measured"):
            EDCO().bind(Pool(3)).select(1)


class TestOptions:
    def test_what_it_asks_for(self) -> None:
        assert EDCO().probe == "prefix_entropy" and EDCO(score_by="loss").probe == "loss"
        assert EDCO(score_by="random").probe is None and EDCO().follows == ()
        assert EDCO().wants == () and EDCO(reprobe="uncertain").wants == ("prefix_entropy",)

    @pytest.mark.parametrize("optimizer", ["reset", "keep"])
    def test_a_draw_says_that_a_round_began_and_the_first_needs_no_fresh_optimizer(self, optimizer: Any) -> None:
        edco = EDCO(rounds=3, top_n=2, optimizer=optimizer).bind(Pool(6))
        events = []
        for step in range(12):
            answer(edco, np.arange(6), step / 12)
            events.append(edco.select(2, step / 12).events)
        assert [k for k, event in enumerate(events) if event] == [0, 4, 8]
        fresh = optimizer == "reset"
        assert [events[k] for k in (0, 4, 8)] == [
            (RoundBegan(1, False),),
            (RoundBegan(2, fresh),),
            (RoundBegan(3, fresh),),
        ]

    def test_by_loss(self) -> None:
        edco = EDCO(top_n=1, score_by="loss").bind(Pool(4))
        rows = edco.rows_to_probe()
        assert rows is not None and rows.tolist() == [0, 1, 2, 3]
        edco.observe_probe(rows, np.array([1.0, 4, 2, 3]))  # losses come alone
        assert edco.select(3).row.tolist() == [1, 1, 1]

    def test_at_random_other_rows_each_round(self) -> None:
        edco = EDCO(rounds=4, top_n=5, score_by="random").bind(Pool(40))
        seen = []
        for step in range(4):
            assert edco.rows_to_probe(step / 4) is None
            seen.append(frozenset(edco.select(5, step / 4).row.tolist()))
        assert len(set(seen)) == 4 and all(len(rows) == 5 for rows in seen)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"rounds": 0}, "rounds=0 of edco must be at least 1"),
            ({"top_n": 0}, "top_n=0 of edco must be at least 1"),
            ({"share": 0.0}, "share=0.0 of edco must be above 0 and at most 1"),
            ({"reprobe": "some"}, "reprobe='some' of edco must be one of 'all', 'uncertain'"),
            ({"optimizer": "fresh"}, "optimizer='fresh' of edco must be one of 'reset', 'keep'"),
            ({"score_by": "entropy"}, "score_by='entropy' of edco must be one of 'prefix_entropy', 'loss', 'random'"),
            (
                {"score_by": "loss", "reprobe": "uncertain"},
                "is about prefix entropies: leave it out with score_by='loss'",
            ),
            ({"score_by": "random", "reprobe": "uncertain"}, "is about prefix entropies"),
            ({"tolerance": -1.0}, "tolerance=-1.0 of edco must be at least 0"),
        ],
    )
    def test_mistakes(self, options: Any, words: str) -> None:
        with pytest.raises((ValueError, TypeError), match=words) as error:
            EDCO(**options)
        assert "\n" not in str(error.value)


class TestUncertain:
    ARM = np.repeat(np.arange(4), 50)

    def score(self, seed: int, within: float, between: float = 1.0) -> np.ndarray:
        random = rng(seed)
        return (between * np.arange(4) + 5)[self.ARM] + within * random.standard_normal(200)

    def test_first_a_pilot_of_each_arm(self) -> None:
        edco = EDCO(rounds=2, top_n=10, reprobe="uncertain").bind(by_arm(self.ARM))
        first = edco.rows_to_probe(0.0)
        again = edco.rows_to_probe(0.0)
        assert first is not None and again is not None and first.tolist() == again.tolist()
        assert np.bincount(self.ARM[first]).tolist() == [PILOT] * 4 and len(set(first.tolist())) == 4 * PILOT
        other = EDCO(top_n=10, reprobe="uncertain").bind(by_arm(self.ARM), seed=1).rows_to_probe(0.0)
        assert other is not None and other.tolist() != first.tolist()

    def test_an_arm_smaller_than_the_pilot(self) -> None:
        edco = EDCO(reprobe="uncertain", top_n=2).bind(by_arm([0, 0, 0] + [1] * 20))
        first = edco.rows_to_probe(0.0)
        assert first is not None and first[:3].tolist() == [0, 1, 2] and len(first) == 3 + PILOT

    def test_most_are_spared_where_arms_say_nearly_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trl_curriculum.curricula.edco.MAX_AGE", 100)  # none is asked for because it is old
        edco = EDCO(rounds=4, top_n=50, reprobe="uncertain").bind(by_arm(self.ARM))
        spared, right = [], []
        for step in range(4):
            score = self.score(step, within=0.1)
            rows = round_of(edco, score, 50, step / 4)
            spared.append(edco.metrics()["probes_spared"])
            right.append(np.mean(np.isin(rows, np.flatnonzero(self.ARM == 3))))
        # The first round cannot tell noise from difference yet
        assert min(spared[1:]) > 0.8 and right == [1.0] * 4, spared
        assert edco.metrics()["belief_uncertainty"] < 0.5

    def test_all_are_asked_where_there_is_one_arm_and_nothing_else_is_known(self) -> None:
        edco = EDCO(rounds=2, top_n=10, reprobe="uncertain").bind(Pool(100))
        asked = answer(edco, rng().random(100), 0.0)
        assert sorted(chain(*asked)) == list(range(100)) and len(asked) <= 3
        edco.select(10, 0.0)
        assert edco.metrics()["probes_spared"] == 0
        assert set(edco.probabilities().nonzero()[0]) == set(np.argsort(-rng().random(100))[:10])

    def test_it_stops_asking(self) -> None:
        edco = EDCO(top_n=10, reprobe="uncertain", tolerance=0.0).bind(by_arm(self.ARM))
        for _ in range(10):
            rows = edco.rows_to_probe(0.0)
            if rows is None:
                break
            edco.observe_probe(rows, np.full(len(rows), np.nan), measured(rows))  # and hears nothing
        assert edco.asks <= 3 and rows is None
        assert len(edco.select(10, 0.0)) == 10

    def test_no_row_is_asked_for_twice_in_a_round(self) -> None:
        edco = EDCO(rounds=3, top_n=10, reprobe="uncertain").bind(by_arm(self.ARM))
        for step in range(3):
            asked = list(chain(*answer(edco, self.score(step, 1.0), step / 3)))
            assert len(asked) == len(set(asked)) > 0
            edco.select(10, step / 3)
            assert edco.metrics()["probed_rows"] == pytest.approx(len(asked) / 200)

    def test_old_rows_are_asked_for_again(self) -> None:
        """Nothing is uncertain at a large tolerance: a row is asked for by the pilot, or for its age."""
        edco = EDCO(rounds=6, top_n=10, reprobe="uncertain", tolerance=100.0).bind(by_arm(self.ARM))
        asked = []
        for step in range(6):
            asked.append(set(chain(*answer(edco, self.score(0, 0.1), step / 6))))
            edco.select(10, step / 6)
        assert MAX_AGE == 2
        assert [len(rows) for rows in asked[:3]] == [4 * PILOT] * 3, "the pilot of each arm alone"
        for k in (3, 4, 5):  # seen three rounds ago, and not since
            since = set().union(*asked[k - 2 : k])
            assert asked[k] >= asked[k - 3] - since and len(asked[k]) <= 8 * PILOT

    def test_rollouts_count_as_asked(self) -> None:
        edco = EDCO(rounds=2, top_n=200, reprobe="uncertain", tolerance=100.0).bind(by_arm(self.ARM))
        score = self.score(0, 0.1)
        answer(edco, score, 0.0)
        draw = edco.select(200, 0.0)
        shown = np.repeat(draw.row, 2)
        entropy = score[shown] - 2.0
        edco.observe_late(shown, np.repeat(draw.id, 2), prefix_entropy=entropy)
        assert answer(edco, score, 0.5) == [], "all were seen in this round"
        edco.select(1, 0.5)
        assert edco.metrics()["probes_spared"] == 1
        assert edco.belief is not None
        believed = edco.belief.scores(edco.round)
        assert np.corrcoef(believed, score)[0, 1] > 0.99 and abs((believed - score).mean()) < 0.1, (
            "in the probe's unit"
        )

    def test_it_says_what_is_believed_of_each_arm(self) -> None:
        edco = EDCO(rounds=2, top_n=10, reprobe="uncertain").bind(by_arm(self.ARM))
        round_of(edco, self.score(0, 0.01), 10, 0.0)
        report = edco.metrics()
        for k in range(4):
            assert report[f"score/arm{k}"] == pytest.approx(5 + k, abs=0.05)
        assert {"belief_uncertainty", "belief_age", "probes_spared", "score", "score_chosen"} < set(report)


class TestSharedBelief:
    def test_james_and_stein_by_hand(self) -> None:
        """Two arms of two rows each; each row is seen once, then one again."""
        belief = SharedBelief(np.array([0, 0, 1, 1]), 2)
        assert np.isnan(belief.scores(0)).all()
        belief.observe(np.arange(4), np.array([1.0, 3.0, 10.0, 14.0]), 0)
        # Means 2 and 12; own parts -1, 1, -2, 2 with variance 2.5, of which noise and difference take half each
        assert belief.mean["probe"].tolist() == [2.0, 12.0] and belief.own.tolist() == [-1, 1, -2, 2]
        assert belief.variances() == pytest.approx((1.25, 1.25))
        k = 1.25 / (1.25 + 1.25 / 1)
        assert belief.scores(0) == pytest.approx(np.array([2 - k, 2 + k, 12 - 2 * k, 12 + 2 * k]))
        # Among all rows: .5 (2 - 7)^2 + .5 (12 - 7)^2 = 25, and 1.25 within arms
        spread, left, of_arm = 25 + 1.25, 1.25 * (1 - k), 2.5 / 2
        assert belief.uncertainty(0) == pytest.approx(np.full(4, math.sqrt((left + of_arm) / spread)))
        # A round later an observation counts half: k = 1.25 / (1.25 + 1.25 / .5)
        assert belief.scores(1)[0] == pytest.approx(2 - 1 / 3)
        # Row 0 again, at 4: its arm's mean moves by (4 - (2 - k)) / 3, its own part to the mean of both
        belief.observe(np.array([0]), np.array([4.0]), 0)
        mean = 2 + (4 - (2 - k)) / 3
        assert belief.mean["probe"][0] == pytest.approx(mean)
        assert belief.own[0] == pytest.approx((-1 + (4 - mean)) / 2) and belief.weight.tolist() == [2, 1, 1, 1]
        assert belief.noise_count == 1 and belief.noise_sum == pytest.approx((4 - mean + 1) ** 2 / 2)

    def test_until_rows_come_again_half_is_noise_and_then_it_is_estimated(self) -> None:
        random, arm = rng(), np.zeros(4000, int)
        truth = random.standard_normal(4000) * 2
        belief = SharedBelief(arm, 1, keep=1.0)
        belief.observe(np.arange(4000), truth + random.standard_normal(4000), 0)
        assert belief.variances() == pytest.approx((2.5, 2.5), rel=0.1)
        belief.observe(np.arange(FEW), truth[:FEW], 0)
        belief.observe(np.arange(4000), truth + random.standard_normal(4000), 0)
        noise, between = belief.variances()
        assert noise == pytest.approx(1, rel=0.1) and between == pytest.approx(4, rel=0.1)

    def simulate(self, seed: int, looks: int = 2, seen: float = 0.5) -> tuple[SharedBelief, np.ndarray, np.ndarray]:
        """Arms with means, rows with parts of their own, noisy looks at half of the rows."""
        random = rng(seed)
        arm = random.integers(0, 20, 2000)
        truth = (2 * random.standard_normal(20))[arm] + random.standard_normal(2000)
        belief = SharedBelief(arm, 20, keep=1.0)
        rows = np.flatnonzero(random.random(2000) < seen)
        raw = np.zeros(2000)
        for _ in range(looks):
            value = truth[rows] + 1.5 * random.standard_normal(len(rows))
            raw[rows] += value / looks
            belief.observe(rows, value, 0)
        return belief, truth, np.where(np.isin(np.arange(2000), rows), raw, np.nan)

    @pytest.mark.parametrize("looks", [1, 2, 5])
    def test_it_is_closer_to_the_truth_than_the_rows_or_the_arms_alone(self, looks: int) -> None:
        belief, truth, raw = self.simulate(looks, looks)
        seen = np.isfinite(raw)
        mean = np.array([raw[seen & (belief.arm == a)].mean() for a in range(20)])[belief.arm]

        def error(value: np.ndarray) -> float:
            return float(((value - truth)[seen] ** 2).mean())

        found = error(belief.scores(0))
        assert found < 0.97 * error(raw) and found < 0.97 * error(mean), (found, error(raw), error(mean))
        best = 1 / (1 + looks / 1.5**2)  # posterior variance, were all variances known
        assert found < (1.15 if looks > 1 else 1.3) * best
        of_others = ((belief.scores(0) - truth)[~seen] ** 2).mean()
        assert of_others == pytest.approx(1, rel=0.2), "rows that were not seen are their arm's mean"

    @pytest.mark.parametrize("looks", [2, 4])
    def test_the_uncertainty_is_calibrated(self, looks: int) -> None:
        """Errors are as large as it says, of rows that were seen as of those that were not: on average over pools."""
        ratio = []
        for seed in range(8):
            belief, truth, raw = self.simulate(seed, looks)
            means = belief.mean["probe"]
            size = np.bincount(belief.arm, minlength=20)
            spread = belief.variances()[1] + np.average((means - np.average(means, weights=size)) ** 2, weights=size)
            assert math.sqrt(spread) == pytest.approx(truth.std(), rel=0.15)
            error = (belief.scores(0) - truth) / (belief.uncertainty(0) * math.sqrt(spread))
            ratio.append([(error[part] ** 2).mean() for part in (np.isfinite(raw), np.isnan(raw))])
            assert belief.uncertainty(0)[np.isnan(raw)].min() > belief.uncertainty(0)[np.isfinite(raw)].max()
        assert np.mean(ratio, axis=0) == pytest.approx(np.ones(2), abs=0.12), ratio

    def test_several_observations_at_once_count_as_many(self) -> None:
        one, many = SharedBelief(np.zeros(3, int), 1), SharedBelief(np.zeros(3, int), 1)
        one.observe(np.arange(3), np.array([1.0, 2, 6]), 0)
        many.observe(np.arange(3), np.array([1.0, 2, 6]), 0, count=np.array([4, 1, 1]))
        assert many.weight.tolist() == [4, 1, 1]
        assert many._shrink(many.weight[:2].astype(float), 1.0, 1.0).tolist() == pytest.approx([0.8, 0.5])
        assert many.uncertainty(0)[0] < many.uncertainty(0)[1] and one.uncertainty(0)[0] == one.uncertainty(0)[1]

    def test_rollouts_have_a_unit_of_their_own(self) -> None:
        """Rollouts are lower by 3 everywhere; arm 2 was seen in rollouts only."""
        random, arm = rng(), np.repeat(np.arange(3), 100)
        truth = np.array([5.0, 6.0, 9.0])[arm] + 0.5 * random.standard_normal(300)
        belief = SharedBelief(arm, 3)
        belief.observe(np.arange(200), truth[:200], 0)
        belief.observe(np.arange(300), truth - 3, 0, "free")
        error = belief.scores(0) - truth
        assert np.abs(error).max() < 0.6 and abs(error[200:].mean()) < 0.1
        assert belief.mean["free"] == pytest.approx(np.array([2.0, 3.0, 6.0]), abs=0.2)
        alone = SharedBelief(arm, 3)
        alone.observe(np.arange(300), truth - 3, 0, "free")
        assert np.abs(alone.scores(0) - (truth - 3)).max() < 1.0, "ranks need no unit"

    def test_rows_and_arms_age(self) -> None:
        belief = SharedBelief(np.array([0, 0, 0, 1]), 2)
        belief.observe(np.arange(3), np.array([1.0, 2.0, 6.0]), 0)
        fresh = belief.uncertainty(0)[0]
        assert belief.age(3).tolist() == [3, 3, 3, math.inf]
        assert belief.uncertainty(1)[0] > fresh, "a row counts less a round later"
        belief.next_round()
        assert belief.count["probe"].tolist() == [1.5, 0]
        assert belief.uncertainty(1)[0] > fresh
        before = belief.mean["probe"][0]
        belief.observe(np.array([0]), np.array([100.0]), 9)
        shrunk = belief._shrink(np.array([0.5**9]), *belief_variances([1.0, 2.0, 6.0]))[0] * (1 - 3)
        assert belief.mean["probe"][0] == pytest.approx(before + (100 - shrunk - before) / 2.5, rel=1e-5)
        assert belief.weight[0] == pytest.approx(1 + 0.5**9) and belief.age(9)[0] == 0

    def test_nan_and_arms_that_were_never_seen(self) -> None:
        belief = SharedBelief(np.array([0, 0, 1, 1]), 2)
        belief.observe(np.arange(4), np.full(4, np.nan), 0)
        assert np.isnan(belief.scores(0)).all() and np.isinf(belief.age(0)).all()
        assert np.isfinite(belief.uncertainty(0)).all()
        belief.observe(np.arange(4), np.array([1.0, np.nan, np.nan, np.nan]), 0)
        assert belief.scores(0)[:2].tolist() == [1, 1] and np.isnan(belief.scores(0)[2:]).all()
        assert belief.uncertainty(0)[1:].min() >= 1

    def test_saved_and_carried_over(self) -> None:
        belief, _, _ = self.simulate(0)
        belief.next_round()
        belief.observe(np.arange(50), np.ones(50), 1, "free")
        other = SharedBelief(belief.arm, 20, keep=1.0)
        other.load_state_dict(belief.state_dict())
        for now in (1, 2):
            assert np.array_equal(other.scores(now), belief.scores(now), equal_nan=True)
            assert np.array_equal(other.uncertainty(now), belief.uncertainty(now))
        for each in (belief, other):
            each.observe(np.arange(9), np.arange(9.0), 2)
        assert np.array_equal(other.scores(2), belief.scores(2), equal_nan=True)
        # Row 0 is new, rows 1 … 9 were 0 … 8; arm 3 is new, the others keep their places
        mapping = PoolMapping(np.r_[-1, np.arange(9)], np.array([0, 1, 2, -1]), 2000)
        arm = np.r_[0, belief.arm[:9] % 3]
        small = SharedBelief(arm, 4, keep=1.0)
        small.load_state_dict(belief.state_dict(), mapping)
        assert small.own[1:].tolist() == belief.own[:9].tolist() and small.own[0] == 0 and small.seen_in[0] == -1
        assert small.mean["probe"][:3].tolist() == belief.mean["probe"][:3].tolist()
        assert np.isnan(small.mean["probe"][3]) and small.count["probe"][3] == 0

    def test_keep_is_a_share(self) -> None:
        with pytest.raises(ValueError, match="keep=0 is not the share"):
            SharedBelief(np.zeros(1, int), 1, keep=0)


def belief_variances(value: list[float]) -> tuple[float, float]:
    total = np.mean((np.array(value) - np.mean(value)) ** 2)
    return total / 2, total / 2


class TestSavedEDCO:
    @pytest.mark.parametrize("options", [{}, {"reprobe": "uncertain"}, {"optimizer": "keep"}], ids=lambda o: str([*o]))
    @pytest.mark.parametrize("at", ["before", "between questions", "inside a round"])
    def test_goes_on_as_it_was(self, options: Any, at: str) -> None:
        pool = by_arm(np.repeat(np.arange(4), 10))
        score = [rng(step).random(40) + pool.arm for step in range(6)]
        first = EDCO(rounds=6, top_n=4, **options).bind(pool)
        round_of(first, score[0], 4, 0.0)
        first.observe(from_losses(first.select(3, 0.1), np.ones(3)))
        if at == "between questions":
            rows = first.rows_to_probe(0.2)
            assert rows is not None
            first.observe_probe(rows, score[1][rows], measured(rows))
        elif at == "inside a round":
            round_of(first, score[1], 2, 0.2)
        second = EDCO(rounds=6, top_n=4, **options).bind(pool)
        second.load_state_dict(first.state_dict())
        for step in range(2, 6):
            each = []
            for edco in (first, second):
                asked = answer(edco, score[step], step / 6)
                draw = edco.select(5, step / 6)
                edco.observe(from_losses(draw, np.ones(5)))
                each.append((asked, draw.row.tolist(), edco.metrics(), edco.round))
            assert each[0] == each[1]

    def test_carried_over_to_other_rows(self) -> None:
        hashes = np.arange(100, 140, dtype=np.uint64)
        arm = np.repeat(np.arange(4), 10)
        names = ["a", "b", "c", "d"]
        old = EDCO(rounds=2, top_n=4, reprobe="uncertain").bind(Pool(40, arm, names, row_hash=hashes))
        round_of(old, np.arange(40.0), 4, 0.0)
        kept = np.r_[5:40]
        new = EDCO(rounds=2, top_n=4, reprobe="uncertain").bind(
            Pool(36, np.r_[arm[kept], 0], names, row_hash=np.r_[hashes[kept], np.uint64(7)])
        )
        new.load_state_dict(old.state_dict(), carry_over=True)
        assert old.belief is not None and new.belief is not None
        assert np.array_equal(new.belief.own[:35], old.belief.own[5:]) and new.belief.seen_in[35] == -1
        assert new.score[:35].tolist() == pytest.approx(old.score[5:].tolist(), nan_ok=True) and np.isnan(
            new.score[35]
        )
        asked = new.rows_to_probe(0.1)
        assert asked is not None, "other rows begin a round of their own"
        with pytest.raises(RuntimeError, match="before their scores were measured"):
            new.select(3, 0.1)
        assert len(set(round_of(new, np.arange(36.0), 4, 0.1))) == 4
        assert len(set(round_of(new, np.arange(36.0), 4, 0.5))) == 4


class TestUCB1:
    def play(self, ucb: UCB1Curriculum, reward: list[float], batches: int) -> list[int]:
        """Arm of each batch, where each arm always earns its reward."""
        played = []
        for step in range(batches):
            draw = ucb.select(4)
            assert len(set(draw.arm.tolist())) == 1 and (ucb.level[draw.row] == draw.arm).all()
            played.append(int(draw.arm[0]))
            ucb.observe(from_rewards(draw, np.full(8, reward[played[-1]]), 2, step))
        return played

    def test_each_arm_once_and_then_the_largest_bound(self) -> None:
        ucb = UCB1(round_batches=2).bind(by_arm(np.arange(30) % 3))
        reward = [0.2, 0.9, 0.5]
        played = self.play(ucb, reward, 60)
        assert played[::2] == played[1::2], "a round is two batches"
        rounds = played[::2]
        total, plays = np.zeros(3), np.zeros(3)
        for t, arm in enumerate(rounds):
            if t < 3:
                assert arm == t
            else:
                bound = total / plays + np.sqrt(2 * math.log(t) / plays)
                assert arm == bound.argmax(), f"round {t}: {bound}"
            total[arm] += reward[arm]
            plays[arm] += 1
        assert plays[1] > plays[2] > plays[0] > 1

    def test_hand_computed_bounds(self) -> None:
        ucb = UCB1(round_batches=1).bind(by_arm(np.arange(6) % 3))
        assert np.isinf(ucb.bounds()).all()
        self.play(ucb, [0.5, 0.25, 1.0], 3)
        ucb.select(1)
        each = math.sqrt(2 * math.log(3))
        assert ucb.bounds() == pytest.approx(np.array([0.5, 0.25, 1.0]) + each)
        assert ucb.playing == 2 and ucb.metrics()["playing"] == 2 and ucb.metrics()["value/arm1"] == 0.25

    def test_the_reward_of_a_round_is_the_mean_of_all_its_rollouts(self) -> None:
        ucb = UCB1(round_batches=2).bind(by_arm(np.arange(6) % 3))
        for rewards in ([1.0, 0.0], [1.0, np.nan], [1.0, 1.0]):
            draw = ucb.select(1)
            shown = from_rewards(draw, np.array(rewards), 2)
            ucb.observe(shown)
        assert ucb.reward[0] == pytest.approx(2 / 3) and ucb.plays.tolist() == [1, 0, 0]

    def test_a_round_without_rewards_is_no_play(self) -> None:
        ucb = UCB1(round_batches=1).bind(by_arm(np.arange(6) % 3))
        draw = ucb.select(1)
        ucb.observe(from_rewards(draw, np.full(2, np.nan), 2))
        assert ucb.select(1).arm.tolist() == [0] and ucb.plays.tolist() == [0, 0, 0]

    def test_difficulties_are_cut_into_levels_of_equal_size(self) -> None:
        difficulty = rng().permutation(11).astype(float)
        ucb = UCB1().bind(Pool(11, difficulty=difficulty))
        assert ucb.arm_names == ("level 1", "level 2", "level 3")
        assert np.bincount(ucb.level).tolist() == [4, 4, 3]
        for level in range(2):
            assert difficulty[ucb.level == level].max() < difficulty[ucb.level == level + 1].min()
        assert set(UCB1(levels=5).bind(Pool(11, difficulty=difficulty)).level) == set(range(5))
        assert len(UCB1().bind(Pool(2, difficulty=[1.0, 2.0])).arm_names) == 2
        missing = UCB1().bind(Pool(5, difficulty=[1.0, np.nan, 3.0, 4.0, 2.0]))
        assert missing.level.tolist() == [0, 1, 1, 2, 0]

    def test_it_needs_arms_or_difficulties(self) -> None:
        with pytest.raises(ValueError, match="'ucb1' plays arms: set arms, or difficulty_column to be cut"):
            UCB1().bind(Pool(4))
        for options, words in (({"round_batches": 0}, "at least 1"), ({"levels": 1}, "at least 2")):
            with pytest.raises(ValueError, match=f"of ucb1 must be {words}"):
                UCB1(**options)  # type: ignore[arg-type]

    def test_it_follows_the_reward_function_that_decides(self) -> None:
        for outcome, expected in ((None, 0.5), ("accuracy", 0.25), ("format", 1.0)):
            ucb = UCB1(round_batches=1, outcome=outcome).bind(by_arm(np.arange(6) % 3))
            draw = ucb.select(2)
            rewards = {"accuracy": np.array([0.5, 0.0]), "format": np.array([1.0, 1.0])}
            ucb.observe(Feedback(draw.row, draw.id, 0, np.array([0.75, 0.25]), np.zeros(2), rewards=rewards))
            ucb.select(1)
            assert ucb.reward[0] == expected and ucb.plays.tolist() == [1, 0, 0]

    def test_saved_in_the_middle_of_a_round(self) -> None:
        pool = by_arm(np.arange(30) % 3)
        whole, reward = UCB1(round_batches=3).bind(pool), [0.3, 0.6, 0.5]
        self.play(whole, reward, 14)
        again = UCB1(round_batches=3).bind(pool)
        again.load_state_dict(whole.state_dict())
        assert self.play(whole, reward, 20) == self.play(again, reward, 20)

    def test_rows_of_the_arm_in_turn(self) -> None:
        ucb = UCB1().bind(by_arm(np.arange(30) % 3))
        draw: Draw = ucb.select(20)
        assert sorted(draw.row[:10].tolist()) == sorted(draw.row[10:].tolist()) == list(range(0, 30, 3))
