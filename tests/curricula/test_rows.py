"""Curricula over rows, against numpy, against closed forms, and against numbers that can be worked out by hand."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare, rankdata

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import (
    BabySteps,
    Competence,
    Cyclical,
    DataMaps,
    EVOCurate,
    LossTopK,
    Mixture,
    Order,
    SelfPaced,
)
from trl_curriculum.curricula.evo_curate import EVOCurateCurriculum
from trl_curriculum.curricula.parts.row_history import RowHistory, percentile_rank
from trl_curriculum.curricula.parts.row_sampler import RowSampler
from trl_curriculum.curricula.parts.selectors import MaxEntropy, entropy, top_share
from trl_curriculum.records import PoolMapping
from trl_curriculum.testing.simulated import from_losses


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def probe(curriculum: Any, loss: Any, progress: float = 0.0) -> None:
    curriculum.progress = progress
    curriculum.observe_probe(np.arange(curriculum.pool.size), np.array(loss, float))


class TestRowHistory:
    @pytest.fixture
    def histories(self) -> tuple[RowHistory, list[list[float]]]:
        """Rows that were seen 0 to 30 times."""
        history, kept, random = RowHistory(50), [[] for _ in range(50)], rng()
        for _ in range(30):
            row = np.flatnonzero(random.random(50) < np.linspace(0, 0.5, 50))
            value = random.random(len(row)).astype(np.float32)
            history.update(row, value)
            for r, v in zip(row, value, strict=True):
                kept[r].append(float(v))
        return history, kept

    def test_what_it_keeps_is_what_numpy_says_of_the_whole_history(
        self, histories: tuple[RowHistory, list[list[float]]]
    ) -> None:
        history, kept = histories
        nan = float("nan")
        for got, expected in (
            (history.std(), [np.std(h, ddof=1) if len(h) >= 2 else nan for h in kept]),
            (history.std(skip_first=True), [np.std(h[1:], ddof=1) if len(h) >= 3 else nan for h in kept]),
            (history.average(), [np.mean(h) if h else nan for h in kept]),
            (history.progress(), [h[-2] - h[-1] if len(h) >= 2 else nan for h in kept]),
            (history.last, [h[-1] if h else nan for h in kept]),
            (history.first, [h[0] if h else nan for h in kept]),
            (history.count, [len(h) for h in kept]),
        ):
            assert got == pytest.approx(expected, abs=1e-5, nan_ok=True)
        assert {0, 1, 2} <= {len(h) for h in kept}

    def test_a_row_that_never_changes_has_no_spread(self) -> None:
        history = RowHistory(1000)
        value = rng().random(1000)  # in double precision, which the history is not
        for _ in range(5):
            history.update(np.arange(1000), value)
        assert history.std().tolist() == pytest.approx(np.zeros(1000), abs=1e-6)
        assert np.isfinite(history.std()).all()

    def test_it_takes_22_bytes_a_row(self) -> None:
        assert sum(array.nbytes for array in RowHistory(1000).state_dict().values()) == 22_000


class TestPercentileRank:
    def test_ties_share_the_middle_of_their_ranks(self) -> None:
        value = rng().integers(0, 20, 200)
        assert percentile_rank(value) == pytest.approx((rankdata(value) - 0.5) / 200, abs=1e-6)
        assert percentile_rank(np.full(7, 3.0)).tolist() == [0.5] * 7

    def test_a_weight_is_so_many_rows(self) -> None:
        value, weight = rng().integers(0, 9, 40).astype(float), rng(1).integers(1, 6, 40)
        repeated = percentile_rank(np.repeat(value, weight))
        assert percentile_rank(value, weight.astype(float)) == pytest.approx(
            repeated[np.cumsum(weight) - weight], abs=1e-6
        )

    @pytest.mark.parametrize("change", [np.exp, np.sqrt, lambda x: 5 * x + 1, lambda x: x**3])
    def test_no_monotone_map_changes_it(self, change: Callable) -> None:
        value = rng().random(300)
        assert percentile_rank(change(value)).tolist() == percentile_rank(value).tolist()
        rank = percentile_rank(value)
        assert 0 < rank.min() and rank.max() < 1 and rank.mean() == pytest.approx(0.5, abs=1e-6)


def effective(p: np.ndarray) -> float:
    return math.exp(entropy(p)) / len(p)


UTILITY: dict[str, Callable] = {
    "uniform": lambda n: rng().random(n),
    "normal": lambda n: rng().standard_normal(n),
    "long tail up": lambda n: np.exp(2 * rng().standard_normal(n)),
    "long tail down": lambda n: -np.exp(2 * rng().standard_normal(n)),
    "matched difficulty": lambda n: np.exp(-((rng().random(n) - 0.3) ** 2) / 0.125),
    "in another unit": lambda n: 1e4 * rng().random(n) - 3e7,
}


class TestMaxEntropy:
    @pytest.mark.parametrize("n", [60, 5_000, 200_000])
    @pytest.mark.parametrize("kind", UTILITY)
    def test_the_effective_sample_size_is_what_was_asked_for(self, kind: str, n: int) -> None:
        utility = UTILITY[kind](n)
        if kind != "in another unit":
            utility = utility.astype(np.float32)
        for ess in (0.95, 0.625, 0.25, 0.05, 0.001):
            if ess * n < 2:
                continue
            p = MaxEntropy(ess)(utility)
            assert p.sum() == pytest.approx(1) and (p >= 0).all()
            assert effective(p) == pytest.approx(ess, rel=0.01)
            best = np.argsort(utility)
            assert (np.diff(p[best]) >= -1e-15).all()  # more useful rows are never less likely

    def test_all_of_the_sample_size_is_exactly_uniform(self) -> None:
        assert MaxEntropy(1.0)(rng().random(7)).tolist() == [1 / 7] * 7
        assert MaxEntropy(0.5)(np.full(7, 2.0)).tolist() == [1 / 7] * 7  # nothing to choose by

    def test_towards_one_row_only_the_best_is_left(self) -> None:
        utility = rng().random(100)
        p = MaxEntropy(1.0001 / 100)(utility)
        assert p.argmax() == utility.argmax() and p.max() > 0.999
        shared = np.r_[np.ones(5), rng().random(95) * 0.9]  # five are the best
        assert MaxEntropy(0.01)(shared)[:5] == pytest.approx([0.2] * 5, abs=1e-6)

    def test_the_floor_reaches_every_row(self) -> None:
        p = MaxEntropy(0.05, floor=0.2)(rng().random(1000))
        assert p.min() >= 0.2 / 1000 and p.min() == pytest.approx(0.2 / 1000, rel=1e-3)
        assert p == pytest.approx(0.8 * MaxEntropy(0.05)(rng().random(1000)) + 0.2 / 1000)

    def test_diversity_has_the_closed_form_and_it_is_the_best(self) -> None:
        utility, cluster, diversity = rng().random(30), np.arange(30) % 3 % 2, 1.7
        select = MaxEntropy(0.5, diversity=diversity)
        p = select(utility, cluster)
        worth = (utility - utility.max()) / (utility.max() - utility.min())
        tau = select.temperature(utility)
        inside = np.exp(worth / tau)
        free_energy = tau * np.log(np.bincount(cluster, inside))
        between = np.exp(free_energy / (tau + diversity * tau))
        expected = (between / between.sum())[cluster] * inside / np.bincount(cluster, inside)[cluster]
        assert p == pytest.approx(expected)

        def objective(q: np.ndarray) -> float:
            return float(q @ worth) + tau * entropy(q) + diversity * tau * entropy(np.bincount(cluster, q))

        for seed in range(50):
            other = p * np.exp(0.1 * rng(seed).standard_normal(30))
            assert objective(other / other.sum()) < objective(p)

    def test_diversity_towards_infinity_is_uniform_over_clusters(self) -> None:
        utility, cluster = rng().random(100) + np.repeat([0, 1], [90, 10]), np.repeat([0, 1], [90, 10])
        shares = [np.bincount(cluster, MaxEntropy(0.3, diversity=d)(utility, cluster)) for d in (0, 1, 10, 1e6)]
        assert abs(shares[0][1] - 0.5) > 0.05
        assert shares[-1] == pytest.approx([0.5, 0.5], abs=1e-4)
        distance = [abs(share[1] - 0.5) for share in shares]
        assert distance == sorted(distance, reverse=True)


class TestRowSampler:
    weight = np.array([0.0, 5, 1, 0, 3, 0.5, 0.5, 0])

    def sampler(self, weight: Any, replacement: bool, seed: int = 0) -> RowSampler:
        sampler = RowSampler(len(weight), rng(seed), replacement)
        sampler.set(np.array(weight, float))
        return sampler

    def test_with_replacement_rows_come_by_their_weights(self) -> None:
        sampler = self.sampler(self.weight, True)
        drawn = np.bincount(np.concatenate([sampler.draw(1000) for _ in range(100)]), minlength=8)
        has = self.weight > 0
        assert (drawn[~has] == 0).all()
        assert chisquare(drawn[has], 100_000 * self.weight[has] / 10).pvalue > 0.001
        assert sampler.probability(np.arange(8)) == pytest.approx(self.weight / 10)

    @pytest.mark.parametrize("weight", [[4, 3, 2, 1], [90, 6, 3, 1]], ids=["by rejection", "lined up"])
    def test_without_replacement_the_order_is_plackett_luce(self, weight: list[float]) -> None:
        orders = list(itertools.permutations(range(4)))
        exact = [
            math.prod(weight[row] / sum(weight[r] for r in order[place:]) for place, row in enumerate(order))
            for order in orders
        ]
        sampler, random = self.sampler(weight, False), rng(1)
        drawn, gumbel = np.zeros(len(orders)), np.zeros(len(orders))
        for _ in range(20_000):
            sampler.start_over()
            drawn[orders.index(tuple(np.concatenate([sampler.draw(1), sampler.draw(3)]).tolist()))] += 1
            keys = np.log(weight) + random.gumbel(size=4)
            gumbel[orders.index(tuple(np.argsort(-keys).tolist()))] += 1
        often = np.array(exact) > 5 / 20_000  # the rest in one class
        for counts in (drawn, gumbel):
            seen = np.r_[counts[often], counts[~often].sum()][: often.sum() + (~often).any()]
            expected = 20_000 * np.r_[np.array(exact)[often], np.array(exact)[~often].sum()][: len(seen)]
            assert chisquare(seen, expected).pvalue > 0.001

    def test_without_replacement_a_row_comes_again_when_all_were_drawn(self) -> None:
        sampler = self.sampler(np.r_[self.weight, 1000 * self.weight], False)
        n = 2 * int((self.weight > 0).sum())
        rows = np.concatenate([sampler.draw(k) for k in (3, 1, 9, 2, 40, 5)])
        for start in range(0, len(rows) - n + 1, n):
            assert len(set(rows[start : start + n].tolist())) == n
        assert set(rows.tolist()) == set(np.flatnonzero(np.r_[self.weight, self.weight] > 0).tolist())

    @pytest.mark.parametrize("replacement", [True, False])
    def test_goes_on_from_its_state(self, replacement: bool) -> None:
        first = self.sampler(np.r_[self.weight, 1000 * self.weight], replacement)
        first.draw(8)
        second = RowSampler(16, rng(9), replacement)
        second.load_state_dict(first.state_dict())
        second.rng.bit_generator.state = first.rng.bit_generator.state
        for n in (1, 5, 30):
            assert first.draw(n).tolist() == second.draw(n).tolist()

    @pytest.mark.parametrize("replacement", [True, False])
    def test_the_chance_of_being_drawn_at_all(self, replacement: bool) -> None:
        weight = np.exp(2 * rng().standard_normal(60))
        sampler = self.sampler(weight, replacement)
        hits = np.zeros(60)
        for _ in range(4000):
            sampler.start_over()
            hits[np.unique(sampler.draw(30))] += 1
        assert hits / 4000 == pytest.approx(sampler.inclusion(np.arange(60), 30), abs=0.04)
        if not replacement:
            assert sampler.inclusion(np.arange(60), 60).tolist() == [1.0] * 60
            assert sampler.inclusion(np.arange(60), 30).sum() == pytest.approx(30, abs=1e-3)

    def test_nothing_to_draw_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="All rows have weight 0"):
            self.sampler([0, 0], True)


class TestFreeLosses:
    """Losses that training shows are not those of a random sample: Horvitz-Thompson puts that right."""

    @pytest.mark.parametrize("replacement", [True, False])
    def test_weighted_percentiles_are_those_of_the_pool(self, replacement: bool) -> None:
        size = 20_000
        loss = rng().permutation(size) / size
        evo = EVOCurate(refresh_steps=1, replacement=replacement).bind(Pool(size))
        evo.sampler.set(np.exp(-5 * loss))  # mostly easy rows
        draw = evo.select(size // 2)
        evo.observe(from_losses(draw, loss[draw.row]))
        evo.select(1)
        seen = np.isfinite(evo.rank.last)
        true = percentile_rank(loss)[seen]
        assert np.abs(evo.rank.last[seen] - true).mean() < 0.02
        assert np.abs(percentile_rank(loss[seen]) - true).mean() > 0.1
        assert evo.mean_loss == pytest.approx(0.5, abs=0.02) and loss[seen].mean() < 0.4

    def test_after_a_whole_pass_without_replacement_every_row_stands_for_itself(self) -> None:
        evo = EVOCurate(replacement=False, refresh_steps=1).bind(Pool(100))
        evo.sampler.set(np.exp(5 * rng().random(100)))
        draw, loss = evo.select(100), rng(1).random(100)
        evo.observe(from_losses(draw, loss[draw.row]))
        evo.select(1)
        assert evo.rank.last == pytest.approx(percentile_rank(loss), abs=1e-6)

    def test_a_row_that_was_put_back_before_a_refresh_does_not_stand_for_all(self) -> None:
        given: list[np.ndarray] = []

        class Watched(LossTopK):
            def weights(self, now: Any, row: Any, loss: Any, inclusion_weight: Any) -> np.ndarray:
                given.append(inclusion_weight)
                return super().weights(now, row, loss, inclusion_weight)

        top = Watched(refresh_steps=1).bind(Pool(4))
        draw = top.select(4)
        top.observe(from_losses(draw, 1.0 + draw.row))
        easiest = draw[draw.row == 0]
        top.select(1)  # the two hardest are in
        top.observe(from_losses(easiest, np.array([0.5])))  # which has weight 0 by now
        top.select(1)
        assert given[1].tolist() == [1.0]


def utility(evo: EVOCurateCurriculum) -> np.ndarray:
    return evo.method.utility(evo)


class TestEVOCurate:
    def refreshed(self, change: Callable, **options: Any) -> EVOCurateCurriculum:
        evo = EVOCurate(measure="probe", **options).bind(Pool(200))
        random = rng()
        start, speed = random.random(200) + 0.5, random.random(200)
        for e in range(5):
            probe(evo, change(start * np.exp(-speed * e / 3) + 0.05 * random.random(200)), progress=e / 5)
        return evo

    @pytest.mark.parametrize("variability", ["none", "std", "std_after_first", "progress"])
    def test_no_monotone_map_of_the_loss_changes_the_utility(self, variability: str) -> None:
        plain = self.refreshed(lambda x: x, variability=variability)
        for change in (np.exp, lambda x: np.log(x) + 9, lambda x: x**3 + x):
            changed = self.refreshed(change, variability=variability)
            changed.capacity = plain.capacity  # the one number that is a mean of losses
            assert utility(changed).tolist() == utility(plain).tolist()
        assert np.isfinite(utility(plain)).all() and utility(plain).std() > 0

    def test_nor_does_the_unit_change_anything_where_the_loss_sets_the_capacity(self) -> None:
        nats, bits = (self.refreshed(lambda x, k=k: k * x, variability="std") for k in (1.0, 1 / math.log(2)))
        assert nats.capacity == pytest.approx(bits.capacity) and 0.1 < nats.capacity < 0.75
        assert utility(nats) == pytest.approx(utility(bits), abs=1e-4)

    def test_the_formula_by_hand(self) -> None:
        evo = EVOCurate(measure="probe", variability="std", width=0.25, kappa=0.5).bind(Pool(4))
        probe(evo, [4, 3, 2, 1])  # ranks .875 .625 .375 .125
        assert evo.capacity == 0.1  # nothing was learnt yet
        assert utility(evo) == pytest.approx(
            [math.exp(-((d - 0.1) ** 2) / 0.125) for d in (0.875, 0.625, 0.375, 0.125)]
        )
        probe(evo, [3, 1, 0.4, 0.6])  # ranks .875 .625 .125 .375: the first two stay, the others swap by .25
        assert evo.capacity == pytest.approx(1 - 5 / 10)
        v = [0.25, 0.25, 0.75, 0.75]  # two ties
        a = 1 / 2  # 1 / (1 + e) at the second refresh
        d = np.array([0.875, 0.625, 0.125, 0.375])
        expected = np.exp(-((d - 0.5) ** 2) / 0.125) ** a * np.array(v) ** (1 - a)
        assert utility(evo) == pytest.approx(expected, rel=1e-5)
        p = evo.probabilities()
        assert effective((p - 0.05 / 4) / 0.95) == pytest.approx(1 - 0.5 * 0.5, rel=0.01)

    def test_kappa_one_is_uniform(self) -> None:
        assert self.refreshed(lambda x: x, kappa=1.0).probabilities() == pytest.approx(
            np.full(200, 1 / 200), abs=1e-12
        )

    def test_a_row_never_seen_is_worth_the_mean_and_a_stale_one_keeps_its_rank(self) -> None:
        evo = EVOCurate(measure="probe", variability="std").bind(Pool(6))
        probe(evo, [0.1, 0.2, 0.3, 0.4, 0.5, np.nan])
        probe(evo, [0.5, np.nan, 0.3, 0.2, 0.1, np.nan])
        worth = utility(evo)
        assert worth[5] == pytest.approx(worth[:5].mean(), rel=1e-5)
        assert evo.rank.last[1] == pytest.approx(0.3) and np.isnan(evo.rank.last[5])
        assert evo.rank.count.tolist() == [2, 1, 2, 2, 2, 0]

    def test_capacity_has_limits(self) -> None:
        """Uncapped, the hardest rows are sought in the end, which are those that cannot be learned."""
        for loss, expected in ((4.0, 0.1), (0.95, 0.1), (0.6, 0.4), (0.01, 0.75)):
            evo = EVOCurate(measure="probe").bind(Pool(3))
            probe(evo, [1.0, 1.0, 1.0])
            probe(evo, np.full(3, loss))
            assert evo.capacity == pytest.approx(expected)

    def test_a_pool_that_is_solved_at_once_is_ready_for_everything(self) -> None:
        evo = EVOCurate(measure="probe").bind(Pool(3))
        probe(evo, [0.0, 0.0, 0.0])
        assert evo.capacity == 0.75 and evo.probabilities().tolist() == pytest.approx([1 / 3] * 3)


class TestPlantedPool:
    """1,000 rows each of easy, medium, hard (which needs medium first) and noise, which nothing can teach."""

    start, speed = np.array([2.0, 2.5, 3.0, 3.2]), np.array([30e-4, 6e-4, 2e-4, 0])

    def shares(self, evo: EVOCurateCurriculum, steps: int = 300) -> np.ndarray:
        """Probability of each kind after every fifth of the training."""
        kind, random, trained, shares = evo.pool.arm, rng(), np.zeros(4), []

        def loss(row: np.ndarray) -> np.ndarray:
            reachable = np.array([1, 1, min(1, trained[1] / 2000), 0])
            level = self.start * np.exp(-self.speed * trained * reachable)
            return level[kind[row]] * np.exp(0.15 * random.standard_normal(len(row)))

        for step in range(steps):
            asked = evo.rows_to_probe()
            if asked is not None:
                evo.observe_probe(asked, loss(asked))
            draw = evo.select(64, step / steps)
            trained += np.bincount(kind[draw.row], minlength=4)
            evo.observe(Feedback(draw.row, draw.id, step, loss=loss(draw.row)))
            if step % (steps // 5) == steps // 5 - 1:
                shares.append(np.bincount(kind, evo.probabilities()))
        return np.array(shares)

    @pytest.mark.parametrize("measure", ["probe", "free"])
    @pytest.mark.parametrize("variability", ["none", "std"])
    def test_it_moves_from_easy_to_hard_and_not_to_noise(self, measure: Any, variability: Any) -> None:
        pool = Pool(4000, np.repeat(np.arange(4), 1000), ["easy", "medium", "hard", "noise"])
        easy, medium, hard, noise = self.shares(
            EVOCurate(measure=measure, variability=variability, refresh_steps=30).bind(pool)
        ).T
        assert easy[0] == max(easy[0], medium[0], hard[0], noise[0]) or medium[0] - easy[0] < 0.05
        assert easy[-1] < 0.1 < 0.25 < easy[0]
        assert hard[-1] > max(easy[-1], medium[-1], noise[-1]) and hard[-1] > 2 * hard[0]
        assert medium.argmax() in (1, 2, 3) or medium[-1] < medium[0]
        assert noise.max() < 0.25


class TestOrderByProbe:
    def test_it_sorts_by_the_losses(self) -> None:
        loss = np.array([0.5, 0.1, np.nan, 0.9, 0.3])  # the median of the others is .4
        for mode, expected in (("easy_to_hard", [1, 4, 2, 0, 3]), ("hard_to_easy", [3, 0, 2, 4, 1])):
            order = Order(mode=mode, difficulty="probe").bind(Pool(5))  # type: ignore[arg-type]
            assert order.rows_to_probe().tolist() == [0, 1, 2, 3, 4]  # type: ignore[union-attr]
            order.observe_probe(np.arange(5), loss)
            assert order.rows_to_probe() is None
            assert order.select(5).row.tolist() == expected

    @pytest.mark.parametrize("method", [Order, BabySteps, Competence])
    def test_without_an_answer_it_says_what_is_missing(self, method: Any) -> None:
        curriculum = method(difficulty="probe").bind(Pool(5))
        assert curriculum.method.probe == "loss" and method().probe is None
        with pytest.raises(RuntimeError, match="before the losses were measured"):
            curriculum.select(2)
        with pytest.raises(ValueError, match="set difficulty_column to a numeric column, or difficulty='probe'"):
            method().bind(Pool(5))

    def test_arms_need_no_probe(self) -> None:
        with pytest.raises(ValueError, match="mode='blocked' follows the arms"):
            Order(mode="blocked", difficulty="probe").bind(Pool(4))


class TestBabySteps:
    def test_each_stage_adds_the_next_harder_part(self) -> None:
        baby = BabySteps().bind(Pool(10, difficulty=np.arange(10)[::-1]))
        for progress, admitted in ((0.0, 3), (0.24, 3), (0.25, 5), (0.5, 8), (0.75, 10), (1.0, 10)):
            draw = baby.select(admitted, progress)
            if progress not in (0.24, 1.0):  # a new stage begins a new pass
                assert sorted(draw.row.tolist()) == list(range(10 - admitted, 10))
            assert set(draw.row.tolist()) <= set(range(10 - admitted, 10))
            assert draw.probability == pytest.approx(np.full(admitted, 1 / admitted))

    def test_a_stage_shows_each_row_once_before_any_again(self) -> None:
        baby = BabySteps().bind(Pool(40, difficulty=np.arange(40)))
        rows = np.concatenate([baby.select(4, 0.3).row for _ in range(10)])
        assert sorted(rows[:20]) == sorted(rows[20:]) == list(range(20))

    def test_one_stage_is_uniform(self) -> None:
        assert sorted(BabySteps(stages=1).bind(Pool(9, difficulty=np.arange(9))).select(9).row) == list(range(9))


class TestCompetence:
    @pytest.mark.parametrize(
        ("progress", "admitted"),
        [(0.0, 100), (0.02, 2002), (0.125, 5000), (0.25, 7071), (0.4, 8944), (0.5, 10_000), (0.9, 10_000)],
    )
    def test_the_rows_that_are_in(self, progress: float, admitted: int) -> None:
        """sqrt(progress / .5 (1 - .0001) + .0001) of 10,000 rows."""
        pool = Pool(10_000, difficulty=10_000.0 - np.arange(10_000))
        draw = Competence().bind(pool).select(50, progress)
        assert 1 / draw.probability == pytest.approx(np.full(50, admitted), abs=2)
        assert len(set(draw.row.tolist())) == 50
        hardness = np.concatenate(
            [9_999 - Competence().bind(pool, seed=s).select(50, progress).row for s in range(100)]
        )
        assert hardness.max() < admitted + 2 and hardness.mean() == pytest.approx(admitted / 2, rel=0.05)

    def test_a_batch_finds_enough_rows(self) -> None:
        competence = Competence().bind(Pool(60, difficulty=np.arange(60)))
        assert sorted(competence.select(8).row.tolist()) == list(range(8))  # 1% of 60 is none
        assert len(competence.select(100).row) == 100

    def test_the_formula(self) -> None:
        competence = Competence(initial=0.2, duration=0.8).bind(Pool(10, difficulty=np.arange(10)))
        for t in (0.0, 0.1, 0.3, 0.79):
            assert competence.method.competence(t) == pytest.approx(math.sqrt(t / 0.8 * (1 - 0.04) + 0.04))
        assert competence.method.competence(0.8) == competence.method.competence(1.0) == 1.0


class TestMixture:
    pool = Pool(1110, np.repeat([0, 1, 2], [1000, 100, 10]), ["big", "middle", "small"])

    @pytest.mark.parametrize(
        ("temperature", "expected"),
        [(1, [0.9009, 0.0901, 0.0090]), (2, [0.7061, 0.2233, 0.0706]), (1 / 0.3, [0.5707, 0.2860, 0.1433])],
    )
    def test_temperature(self, temperature: float, expected: list[float]) -> None:
        mixture = Mixture(temperature=temperature).bind(self.pool)
        assert mixture.probabilities() == pytest.approx(expected, abs=2e-4)
        drawn = np.bincount(np.concatenate([mixture.select(100).arm for _ in range(200)]), minlength=3)
        assert chisquare(drawn, 20_000 * mixture.probabilities()).pvalue > 0.001

    def test_hot_is_equal_and_cold_is_the_largest(self) -> None:
        assert Mixture(temperature=1e9).bind(self.pool).probabilities() == pytest.approx([1 / 3] * 3, abs=1e-6)
        assert Mixture(temperature=1e-3).bind(self.pool).probabilities().tolist() == [1, 0, 0]

    def test_weights_are_taken_as_they_are_and_zero_leaves_out(self) -> None:
        mixture = Mixture(weights={"small": 3, "big": 1, "middle": 0}).bind(self.pool)
        assert mixture.probabilities().tolist() == [0.25, 0, 0.75]
        draw = mixture.select(2000)
        assert set(draw.arm.tolist()) == {0, 2}
        assert set(draw.probability.tolist()) == {0.25 / 1000, 0.75 / 10}

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"weights": {"bigg": 1, "middle": 1, "small": 1}}, r"arm 'bigg' that .* mean 'big'.*big, middle, small"),
            ({"weights": {"big": 1, "middle": 1}}, "weights lacks the arm 'small'"),
            ({"weights": {"big": -1, "middle": 1, "small": 1}}, r"weights\['big'\]=-1 is not a number of at least 0"),
            (
                {"weights": {"big": "a", "middle": 1, "small": 1}},
                r"weights=.*'a'.* of mixture must be dict\[str \| int \| float \| bool, float\] or None",
            ),
            ({"weights": {"big": float("nan"), "middle": 1, "small": 1}}, "is not a number of at least 0"),
            ({"weights": {"big": 0, "middle": 0, "small": 0}}, "All weights are 0"),
            ({"weights": {"big": 1, "middle": 1, "small": 1}, "temperature": 2.0}, "either weights or a temperature"),
            ({"temperature": 0.0}, "temperature=0.0 of mixture must be above 0"),
        ],
    )
    def test_bad_weights_say_what_is_wrong(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises((ValueError, TypeError), match=words):
            Mixture(**options).bind(self.pool)


class TestTopShare:
    def test_the_largest_are_in(self) -> None:
        assert top_share(np.array([1.0, 5, 3, 4, 2]), 0.4, rng()).tolist() == [0, 1, 0, 1, 0]
        assert top_share(np.array([1.0, 5, 3]), 0.01, rng()).tolist() == [0, 1, 0]  # at least one

    def test_ties_and_rows_without_a_value_come_in_at_random(self) -> None:
        value = np.r_[np.full(10, 1.0), np.full(20, np.nan)]
        total = np.zeros(30)
        for seed in range(2000):
            weight = top_share(value, 0.3, rng(seed))
            assert weight[:10].sum() == 3 and weight[10:].sum() == 6
            total += weight
        assert total / 2000 == pytest.approx(np.full(30, 0.3), abs=0.05)


class TestLossTopK:
    def test_the_largest_losses_are_in(self) -> None:
        top = LossTopK(share=0.3, measure="probe").bind(Pool(10))
        probe(top, [5, 1, 9, 2, 7, 3, 8, 4, 6, 0])
        assert np.flatnonzero(top.probabilities()).tolist() == [2, 4, 6]
        assert sorted(top.select(3).row.tolist()) == [2, 4, 6]

    def test_a_row_outside_comes_in_when_those_inside_have_fallen(self) -> None:
        top = LossTopK(refresh_steps=1).bind(Pool(4))
        loss = np.array([4.0, 3.0, 2.0, 1.0])
        for later, expected in ((loss, {0, 1, 2, 3}), ([0.1, 0.2, 2, 1], {0, 1}), (loss, {2, 3})):
            draw = top.select(4)
            assert set(draw.row.tolist()) == expected
            top.observe(from_losses(draw, np.array(later)[draw.row]))

    def test_a_share_of_the_rows_without_a_loss_is_in(self) -> None:
        top = LossTopK(share=0.2, measure="probe").bind(Pool(100))
        loss = np.where(np.arange(100) < 50, np.nan, np.arange(100))
        reached = set()
        for _ in range(40):
            probe(top, loss)
            row = np.flatnonzero(top.probabilities())
            assert (row < 50).sum() == 10 and row[row >= 50].tolist() == list(range(90, 100))
            reached |= set(row[row < 50].tolist())
        assert reached == set(range(50))


class TestSelfPaced:
    @pytest.mark.parametrize(("progress", "admitted"), [(0.0, 50), (0.1, 60), (0.25, 75), (0.5, 100), (0.9, 100)])
    def test_the_share_that_is_in_grows(self, progress: float, admitted: int) -> None:
        paced, loss = SelfPaced(measure="probe").bind(Pool(100)), rng().permutation(100) / 10
        probe(paced, loss, progress)
        assert np.flatnonzero(paced.probabilities()).tolist() == np.flatnonzero(loss < admitted / 10 - 1e-6).tolist()

    def test_rows_without_a_loss_are_in(self) -> None:
        paced = SelfPaced(measure="probe").bind(Pool(6))
        probe(paced, [3, 1, 2, 4, np.nan, np.nan])
        assert np.flatnonzero(paced.probabilities()).tolist() == [1, 2, 4, 5]

    def test_at_least_the_easiest_is_in_and_equal_losses_are_treated_alike(self) -> None:
        paced = SelfPaced(start=0.01, measure="probe").bind(Pool(3))
        probe(paced, [3, 1, 2])
        assert np.flatnonzero(paced.probabilities()).tolist() == [1]
        probe(paced, [1, 1, 2])
        assert np.flatnonzero(paced.probabilities()).tolist() == [0, 1]

    def test_with_free_losses_the_first_pass_is_uniform(self) -> None:
        paced, loss = SelfPaced().bind(Pool(40)), rng().random(40)
        first = paced.select(40)
        assert sorted(first.row.tolist()) == list(range(40))
        paced.observe(from_losses(first, loss[first.row]))
        assert set(paced.select(20).row.tolist()) == set(np.argsort(loss)[:20].tolist())


class TestDataMaps:
    def test_regions_of_a_known_history(self) -> None:
        random = rng()
        right = np.clip(random.random((3, 60)) * np.linspace(0.2, 1, 60) + np.linspace(0, 0.3, 60), 0.01, 0.99)
        order = {
            "ambiguous": np.argsort(-right.std(axis=0)),
            "hard": np.argsort(right.mean(axis=0)),
            "easy": np.argsort(-right.mean(axis=0)),
        }
        for region, best in order.items():
            maps = DataMaps(region=region, measure="probe").bind(Pool(60))  # type: ignore[arg-type]
            for p in right:
                probe(maps, -np.log(p))
            assert set(np.flatnonzero(maps.probabilities())) == set(best[:20].tolist())  # .33 of 60
            assert maps.right.std() == pytest.approx(right.std(axis=0, ddof=1), abs=1e-5)
            assert maps.right.average() == pytest.approx(right.mean(axis=0), abs=1e-5)

    def test_uniform_until_rows_have_a_place_on_the_map(self) -> None:
        maps = DataMaps(measure="probe").bind(Pool(30))
        for visit in range(2):
            assert maps.probabilities() == pytest.approx(np.full(30, 1 / 30)), visit
            probe(maps, rng(visit).random(30))
        assert (maps.probabilities() > 0).sum() == 10

    def test_rows_without_a_place_come_in_at_the_same_rate(self) -> None:
        maps = DataMaps(measure="probe", share=0.5).bind(Pool(60))
        for visit in range(3):
            loss = rng(visit).random(60)
            loss[:20] = np.nan
            if visit:
                loss[20:30] = np.nan  # seen once
            probe(maps, loss)
        row = np.flatnonzero(maps.probabilities())
        assert (row < 30).sum() == 15 and (row >= 30).sum() == 15


class TestCyclical:
    @pytest.mark.parametrize(
        ("start", "end", "alpha"),
        [(0.25, 1.0, 0.5), (0.1, 1.0, 0.5), (0.2, 0.9, 0.7), (0.5, 0.5, 0.5), (0.1, 0.8, 0.5)],
    )
    def test_the_parts_are_those_of_the_papers_rule(self, start: float, end: float, alpha: float) -> None:
        size, up, expected = start, True, []
        for _ in range(20):
            expected.append(size)
            up = (up and size < end) or size == start
            size = min(size / alpha, end) if up else max(size * alpha, start)
        cyclical = Cyclical(start=start, end=end, alpha=alpha)
        assert [cyclical.part(e) for e in range(20)] == pytest.approx(expected)

    def test_each_part_shows_its_rows_once(self) -> None:
        cyclical, loss = Cyclical().bind(Pool(80)), 0.01 + rng().random(80)
        sizes = (20, 40, 80, 40, 20, 40)
        for e, size in enumerate(sizes):
            part: list[int] = []
            while len(part) < size:
                draw = cyclical.select(10)
                cyclical.observe(from_losses(draw, loss[draw.row]))
                part += draw.row.tolist()
                assert cyclical.refreshes == e
            assert len(part) == size == len(set(part))
            assert draw.probability == pytest.approx(np.full(10, 1 / (80 if e == 0 else size)))

    def test_rows_come_in_by_one_over_loss(self) -> None:
        loss = np.array([1.0, 4.0, np.nan, 2.5])  # 2.5 is the mean of the others too
        drawn = np.zeros(4)
        for seed in range(4000):
            cyclical = Cyclical(measure="probe").bind(Pool(4), seed=seed)
            probe(cyclical, loss)
            drawn[cyclical.select(1).row] += 1
        worth = 1 / np.array([1.0, 4.0, 2.5, 2.5])
        assert chisquare(drawn, 4000 * worth / worth.sum()).pvalue > 0.001

    def test_within_a_part_the_order_is_random(self) -> None:
        first = []
        for seed in range(300):
            cyclical = Cyclical(start=1.0, measure="probe").bind(Pool(10), seed=seed)
            probe(cyclical, 0.01 + np.arange(10.0))
            first.append(int(cyclical.select(1).row[0]))
        assert chisquare(np.bincount(first, minlength=10)).pvalue > 0.001

    def test_a_loss_of_nothing_does_not_take_it_all(self) -> None:
        cyclical = Cyclical(measure="probe", start=0.5).bind(Pool(4))
        probe(cyclical, [0.0, 0.0, 0.0, 1.0])
        assert np.isfinite(cyclical.probabilities()).all() and (cyclical.probabilities() > 0).sum() == 2


class TestProgress:
    def test_a_resumed_run_knows_how_far_it_was_before_it_draws(self) -> None:
        """A probe is answered before the draw that tells the progress."""
        first = SelfPaced(measure="probe", refresh_steps=1).bind(Pool(100))
        probe(first, rng().random(100))
        first.observe(from_losses(first.select(4, 0.25), np.ones(4)))
        resumed = SelfPaced(measure="probe", refresh_steps=1).bind(Pool(100))
        resumed.load_state_dict(first.state_dict())
        for paced in (first, resumed):
            paced.observe_probe(np.arange(100), rng(1).random(100))
            assert (paced.probabilities() > 0).sum() == 75

    def test_part_of_a_pool_is_probed_at_random_and_anew_each_time(self) -> None:
        evo = EVOCurate(measure="probe", probe_share=0.3, refresh_steps=1).bind(Pool(100))
        asked = []
        for step in range(3):
            row = evo.rows_to_probe()
            assert row is not None and len(set(row.tolist())) == 30
            asked.append(row.tolist())
            evo.observe_probe(row, rng().random(30))
            evo.observe(from_losses(evo.select(4), np.ones(4), step))
        assert asked[0] != asked[1] != asked[2]


def test_a_step_that_draws_several_times_is_probed_once() -> None:
    evo = EVOCurate(measure="probe").bind(Pool(6))
    asked = evo.rows_to_probe()
    assert asked is not None
    evo.observe_probe(asked, np.arange(6.0))
    for _ in range(4):  # packing draws until a step is full
        evo.select(5)
        assert evo.rows_to_probe() is None
    evo.observe(Feedback(np.arange(6), np.arange(6), 0, length=np.ones(6, int), loss=np.ones(6), entropy=np.ones(6)))
    assert evo.rows_to_probe() is not None


def test_rows_of_the_queue_are_not_forgotten_when_the_data_changes() -> None:
    for seed in range(20):
        old = RowSampler(40, np.random.default_rng(seed), replacement=False)
        came = set(old.draw(36).tolist())
        new = RowSampler(41, np.random.default_rng(seed), replacement=False)
        row = np.append(np.arange(40), -1)
        new.load_state_dict(old.state_dict(), PoolMapping(row, np.zeros(1, int), 40))
        assert not came & set(new.draw(5).tolist())
