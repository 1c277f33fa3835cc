"""Selection methods on planted pools and small cases worked out by hand."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import ot
import pytest
import torch

from trl_curriculum.selection import (
    SELECTION,
    TSDS,
    AttrDiv,
    Attribution,
    EvoSelect,
    Features,
    Potentials,
    Sinkhorn,
    SinkhornError,
    distinct,
    effective_size,
    shares,
    vendi,
)
from trl_curriculum.selection.diversity import visit
from trl_curriculum.selection.sinkhorn import _Ascent
from trl_curriculum.selection.tsds import _density, spread


sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "evals"))
from planted import Planted, random_unit, unit


def weights(n: int, seed: int = 0) -> torch.Tensor:
    w = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return w / w.sum()


def planted(seed: int, n: int = 1000) -> tuple[Features, np.ndarray]:
    pool = Planted(seed, n)
    return pool.features(), pool.label


class TestSinkhorn:
    @pytest.mark.parametrize("epsilon", [0.5, 0.05, 0.02])
    def test_the_plan_is_pots(self, epsilon: float) -> None:
        x, y, w = random_unit(60, 8), random_unit(20, 8, 1), weights(60)
        transport = Sinkhorn(x, y, epsilon)
        found = transport.solve(w, 1e-11, 10**6)
        cost = 1 - x @ y.T
        plan = w[:, None] * transport.b * ((found.f[:, None] + found.g - cost) / epsilon).exp()
        expected = ot.sinkhorn(
            w.numpy(), transport.b.numpy(), cost.numpy(), epsilon, "sinkhorn_log", stopThr=1e-12, numItermax=10**6
        )
        assert np.abs(plan.numpy() - expected).max() < 1e-6
        kl = (plan * (plan / (w[:, None] * transport.b)).log()).sum()
        assert found.value == pytest.approx(float((plan * cost).sum() + epsilon * kl), abs=1e-8)

    def test_a_target_that_is_nearest_to_no_candidate(self) -> None:
        """Its column of the kernel is held relative to its own smallest cost."""
        angle = torch.tensor([0.0, 0.1, 0.0, 0.1, 1.5], dtype=torch.float64)
        point = torch.stack([angle.cos(), angle.sin()], dim=1)
        x, y, w = point[:2], point[2:], torch.tensor([0.25, 0.75], dtype=torch.float64)
        transport = Sinkhorn(x, y, 0.1)
        assert transport.shift[2] > 0.5 and not transport.shift[:2].any()
        found = transport.solve(w, 1e-11, 10**6)
        plan = w[:, None] * transport.b * ((found.f[:, None] + found.g - 1 + x @ y.T) / 0.1).exp()
        assert plan.sum(dim=0).tolist() == pytest.approx([1 / 3] * 3) and plan.sum(dim=1).tolist() == pytest.approx(
            w.tolist()
        )

    @pytest.mark.parametrize(("epsilon", "dtype"), [(0.025, torch.float32), (0.0249, torch.float64)])
    def test_single_precision_down_to_an_epsilon(self, epsilon: float, dtype: torch.dtype) -> None:
        assert Sinkhorn(random_unit(4, 2).float(), random_unit(3, 2).float(), epsilon).kernel.dtype == dtype

    def test_the_potential_is_the_gradient_on_the_simplex(self) -> None:
        x, y, w = random_unit(12, 5), random_unit(7, 5, 1), weights(12)
        transport = Sinkhorn(x, y, 0.1)
        f = transport.solve(w, 1e-12, 10**6).f
        h = 1e-5
        for i, j in ((0, 1), (3, 8), (11, 2)):
            step = torch.zeros(12, dtype=torch.float64)
            step[i], step[j] = h, -h
            up, down = (transport.solve(w + sign * step, 1e-12, 10**6).value for sign in (1, -1))
            assert (up - down) / (2 * h) == pytest.approx(float(f[i] - f[j]), abs=1e-6)

    def test_starting_from_the_last_solution_takes_fewer_passes_and_ends_in_the_same(self) -> None:
        x, y, w = random_unit(200, 16), random_unit(40, 16, 1), weights(200)
        transport = Sinkhorn(x, y, 0.05)
        transport.solve(w, 1e-8)
        near = w * (1 + 0.01 * weights(200, 1) * 200)
        near = near / near.sum()
        warm = transport.solve(near, 1e-8)
        cold = transport.solve(near, 1e-8, start_over=True)
        assert warm.passes < cold.passes
        shift = (warm.f - cold.f).mean()
        assert torch.allclose(warm.f - shift, cold.f, atol=1e-6)

    def test_in_chunks_and_in_half_precision_it_is_the_same(self) -> None:
        x, y, w = random_unit(300, 16), random_unit(40, 16, 1), weights(300)
        whole = Sinkhorn(x, y, 0.05).solve(w, 1e-6)
        chunks = Sinkhorn(x, y, 0.05, chunk=40 * 7).solve(w, 1e-6)
        small = Sinkhorn(x, y, 0.05, keep_bytes=0, chunk=40 * 7).solve(w, 1e-6)
        assert torch.allclose(whole.f, chunks.f, atol=1e-12)
        assert torch.allclose(whole.f, small.f, atol=2e-3)

    def test_takes_fewer_passes_than_plain_iterations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features, _ = planted(0, 400)
        features = Features(features.candidates.double(), features.targets.double())
        ahead = EvoSelect()(features, 80)

        def plain(self: _Ascent, sums: torch.Tensor) -> bool:
            self.at = self.at - sums.log()
            return True

        monkeypatch.setattr(_Ascent, "goes_on", plain)
        slow = EvoSelect()(features, 80)
        assert ahead.report["passes"] < slow.report["passes"] / 3
        assert len(set(ahead.row) & set(slow.row)) >= 76

    @pytest.mark.parametrize("epsilon", [0.5, 0.05, 0.01])
    @pytest.mark.parametrize("seed", range(3))
    def test_converges_from_far_away(self, seed: int, epsilon: float) -> None:
        features, label = planted(seed, 400)
        transport = Sinkhorn(features.candidates.double(), features.targets.double(), epsilon)
        for scale in (1e-6, 1e-2, 1e2, 1e6):
            w = torch.as_tensor(np.where(label == "B", scale, 1.0)) * weights(400, seed)
            assert transport.solve(w / w.sum(), 1e-8, 5000).error <= 1e-8

    @pytest.mark.parametrize("epsilon", [0.02, 0.01, 0.005])
    @pytest.mark.parametrize("seed", range(2))
    def test_a_small_epsilon_is_pots_on_single_precision_features(self, seed: int, epsilon: float) -> None:
        features, _ = planted(seed, 100)
        x, y = features.candidates, features.targets
        found = Sinkhorn(x, y, epsilon).solve(torch.full((100,), 1 / 100), 1e-9, 20_000)
        cost = (1 - x.double() @ y.double().T).numpy()
        log = ot.sinkhorn(
            np.full(100, 1 / 100),
            np.full(len(y), 1 / len(y)),
            cost,
            epsilon,
            "sinkhorn_log",
            stopThr=1e-10,
            numItermax=10**5,
            log=True,
        )[1]
        f, expected = found.f.numpy(), epsilon * log["log_u"]
        np.testing.assert_allclose(f - f.mean(), expected - expected.mean(), atol=1e-6)

    @pytest.mark.parametrize("epsilon", [0.05, 0.025, 0.01, 0.003])
    @pytest.mark.parametrize("share", [0.5, 0.99])
    def test_the_farthest_targets_are_reached(self, share: float, epsilon: float) -> None:
        """Two clusters, of which one has no candidate nearer than the largest cost there is."""
        e = torch.eye(8)
        n = round(100 * share)
        x = unit(torch.cat([e[:1].expand(n, -1), e[1:2].expand(100 - n, -1)]) + 0.01 * torch.sin(torch.arange(8)))
        y = torch.cat([e[:1].expand(10, -1), -e[:1].expand(10, -1)])
        assert Sinkhorn(x, y, epsilon).solve(torch.full((100,), 1 / 100), 1e-3).error <= 1e-3

    def test_names_the_smallest_epsilon(self) -> None:
        x = random_unit(5, 4, dtype=torch.float32)
        for epsilon in (1e-5, 0.0, -1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match=r"epsilon=.* must be at least 0\.003 and finite"):
                Sinkhorn(x, x, epsilon)
        with pytest.raises(ValueError, match=r"epsilon=1e-05 of evoselect must be at least 0\.003"):
            EvoSelect(epsilon=1e-5)
        with pytest.raises(ValueError, match=r"5 candidates and 5 targets in double precision, .* take an epsilon"):
            Sinkhorn(x, x, 0.01, keep_bytes=0)

    def test_says_when_it_does_not_converge(self) -> None:
        with pytest.raises(SinkhornError, match=r"after 4 passes .*, 1e-12 was asked for; take a larger epsilon"):
            Sinkhorn(random_unit(50, 8), random_unit(9, 8, 1), 0.01).solve(weights(50), 1e-12, 4)


class TestEvoSelect:
    def test_a_constant_in_the_potentials_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features = Features(random_unit(80, 8), random_unit(10, 8, 1))
        plain = EvoSelect()(features, 20)
        solve = Sinkhorn.solve

        def shifted(self: Sinkhorn, weight: torch.Tensor, tolerance: float) -> Potentials:
            found = solve(self, weight, tolerance)
            self.g = found.g - 0.7  # the next solution starts from there
            return replace(found, f=found.f + 0.7, g=self.g)

        monkeypatch.setattr(Sinkhorn, "solve", shifted)
        moved = EvoSelect()(features, 20)
        assert moved.score is not None and plain.score is not None
        np.testing.assert_allclose(moved.score, plain.score, rtol=1e-9)
        assert moved.row.tolist() == plain.row.tolist()

    def test_one_step_with_a_large_epsilon_ranks_like_attribution(self) -> None:
        features = Features(random_unit(200, 16), random_unit(30, 16, 1))
        chosen = EvoSelect(steps=1, eta=1e-3, diversity=0, epsilon=50.0, tolerance=1e-9)(features, 40)
        assert set(chosen.row) == set(Attribution()(features, 40).row)

    @pytest.mark.parametrize("mode", ["joint", "alternate"])
    def test_follows_its_formula(self, mode: str) -> None:
        features = Features(random_unit(80, 8), random_unit(10, 8, 1))
        eta, lam, w = 0.1, 0.3, torch.full((80,), 1 / 80, dtype=torch.float64)
        for step in range(3):
            cost = (1 - features.candidates @ features.targets.T).numpy()
            log = ot.sinkhorn(w.numpy(), np.full(10, 0.1), cost, 0.1, "sinkhorn_log", stopThr=1e-13, log=True)[1]
            f = 0.1 * torch.as_tensor(log["log_u"]) - 0.1 * w.log()  # POT's potentials hold the marginal
            energy = 2 * features.candidates @ (features.candidates.T @ w)
            parts = [scale * (g - w @ g) / (w @ (g - w @ g) ** 2).sqrt() for scale, g in ((1, f), (lam, energy))]
            gradient = parts[0] + parts[1] if mode == "joint" else parts[step % 2]
            w = w * (-eta * gradient).exp()
            w = w / w.sum()
        options = {"steps": 3, "eta": eta, "diversity": lam, "epsilon": 0.1, "tolerance": 1e-12, "mode": mode}
        chosen = EvoSelect(**options)(features, 1)  # type: ignore[arg-type]
        np.testing.assert_allclose(chosen.score, w.numpy(), rtol=1e-6)

    @pytest.mark.parametrize("mode", ["joint", "alternate"])
    def test_does_not_depend_on_the_order(self, mode: str) -> None:
        features, _ = planted(1, 300)
        features = Features(features.candidates.double(), features.targets.double())
        mixed = np.random.default_rng(0).permutation(300)
        plain = EvoSelect(mode=mode)(features, 60)  # type: ignore[arg-type]
        shuffled = EvoSelect(mode=mode)(Features(features.candidates[mixed], features.targets), 60)  # type: ignore[arg-type]
        assert set(mixed[shuffled.row]) == set(plain.row)

    def test_copies_have_the_same_weight(self) -> None:
        x = random_unit(50, 8)
        chosen = EvoSelect()(Features(torch.cat([x, x[:10]]), random_unit(9, 8, 1)), 5)
        assert chosen.score is not None
        np.testing.assert_allclose(chosen.score[:10], chosen.score[50:], rtol=1e-9)

    def test_stops_before_the_weights_rest_on_fewer_than_are_kept(self) -> None:
        features, _ = planted(0)
        for k in (100, 300):
            assert EvoSelect(steps=200)(features, k).report["effective_size"] >= k

    @pytest.mark.parametrize("k", [290, 299, 300])
    @pytest.mark.parametrize("mode", ["joint", "alternate"])
    def test_a_first_step_that_is_too_large_is_halved(self, mode: str, k: int) -> None:
        features = planted(0, 300)[0]
        chosen = EvoSelect(eta=1.0, mode=mode)(features, k)  # type: ignore[arg-type]
        assert chosen.report["steps"] >= 1 and chosen.report["eta"] < 1
        assert chosen.report["effective_size"] >= min(k, 299)
        # The direction is that of a step that fits: the least wanted go, not the last in the file.
        small = EvoSelect(steps=1, eta=1e-3, mode=mode)(features, 290)  # type: ignore[arg-type]
        assert len(set(chosen.row[:290]) & set(small.row)) > 280

    def test_doubles_epsilon_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        solve = Sinkhorn.solve
        features, _ = planted(0, 200)

        def fails_below(limit: float) -> None:
            def tried(self: Sinkhorn, *args: object) -> object:
                if self.epsilon < limit:
                    raise SinkhornError("did not converge")
                return solve(self, *args)  # type: ignore[arg-type]

            monkeypatch.setattr(Sinkhorn, "solve", tried)

        fails_below(0.1)
        assert EvoSelect(epsilon=0.05)(features, 20).report["epsilon"] == 0.1
        fails_below(0.3)
        with pytest.raises(SinkhornError):
            EvoSelect(epsilon=0.05)(features, 20)

    @pytest.mark.parametrize("seed", range(3))
    def test_matches_the_target_where_attribution_collapses(self, seed: int) -> None:
        features, label = planted(seed)
        kept = {name: shares(SELECTION.make(name)(features, 200).row, label) for name in ("evoselect", "attribution")}
        assert kept["evoselect"].get("noise", 0) < 0.02
        # Of 50 rows each of B and C, nearly all are wanted; attribution keeps the largest cluster instead.
        assert min(kept["evoselect"].get(c, 0) for c in "BC") > 0.15
        assert min(kept["attribution"].get(c, 0) for c in "BC") < 0.1


class TestOtherMethods:
    def test_attribution_is_the_best_subtask(self) -> None:
        x = torch.eye(4)
        targets = unit(torch.tensor([[1.0, 0.2, 0, 0], [1.0, 0, 0, 0], [0, 0, 1.0, 0]]))
        chosen = Attribution()(Features(x, targets, np.array([0, 0, 1])), 2)
        assert chosen.row.tolist() == [2, 0] and chosen.score is not None
        assert chosen.score.tolist() == pytest.approx([(1 / 1.04**0.5 + 1) / 2, 0.1 / 1.04**0.5, 1, 0])

    def test_small_clusters_come_first(self) -> None:
        label = np.array([0] * 5 + [1] * 2 + [2] * 3)
        rng = np.random.default_rng(0)
        assert label[visit(label, 7, "small_first", rng)].tolist() == [1, 1, 2, 2, 2, 0, 0]
        assert label[visit(label, 7, "round_robin", rng)].tolist() == [1, 2, 0, 1, 2, 0, 2]

    def test_diversity_keeps_the_rare(self) -> None:
        features, label = planted(0)
        few, turns = (
            shares(SELECTION.make({"diversity": {"order": order}})(features, 200).row, label)
            for order in ("small_first", "round_robin")
        )
        assert few["noise"] > 0.6 and turns.get("copy", 0) < 0.4

    def test_attr_div_drops_the_least_aligned(self) -> None:
        features, _ = planted(0)
        dropped = set(range(1000)) - set(Attribution()(features, 750).row)
        assert not dropped & set(AttrDiv()(features, 300).row)

    def test_tsds_by_hand(self) -> None:
        # Two targets; the first has neighbours at .1, .3, .9, the second at .2, .4, .8; one candidate is a double.
        distance = np.array([[0.1, 0.3, 0.9], [0.2, 0.4, 0.8]])
        nearest = np.array([[0, 1, 2], [3, 4, 2]])
        density = np.array([[1.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
        # Levels at which a target fills its next neighbour: 1, 1.5 | 1, 2. At s = 1 both have filled one: costs
        # .3 - .1 and .4 - .2; at 1.5 the first has two: .9 * 1.5 - (.1 + .15) = 1.1; 1.1 + .2 >= 1.2 stops it there.
        p, level, exhausted = spread(distance, nearest, density, 5, alpha=0.5, scale=2 * 1.3 / 2 / 2)
        assert level == 1.5 and exhausted == 0
        assert p.tolist() == pytest.approx([1 / 3, 1 / 6, 0, 1 / 3, 1 / 6])
        # With a larger scale, .5 * 1.3 < 1 goes on to 2, where the second has two: .8 * 2 - .6 = 1, .5 * 2.1 >= 1.
        # The first has mass left there, 1/2 - 1/4 - 1/8, for its next neighbour.
        p, level, exhausted = spread(distance, nearest, density, 5, alpha=0.5, scale=1.0)
        assert level == 2 and exhausted == 1
        assert p.tolist() == pytest.approx([1 / 4, 1 / 8, 1 / 8, 1 / 4, 1 / 4])

    def test_tsds_towards_one_takes_the_nearest(self) -> None:
        features = Features(random_unit(100, 8), random_unit(6, 8, 1))
        chosen = TSDS(alpha=1.0, sigma=1e-6)(features, 60)
        nearest = (features.candidates @ features.targets.T).argmax(dim=0)
        assert set(chosen.row) <= set(nearest.tolist())

    def test_tsds_spares_copies(self) -> None:
        features, label = planted(0)
        kept = shares(TSDS(scale=1.0)(features, 400).row, label)
        assert kept.get("copy", 0) < 0.25 and kept.get("noise", 0) < 0.1

    @pytest.mark.parametrize("q", [1, 3, 25, 200])
    def test_density_counts_the_nearest_copies(self, q: int) -> None:
        x = planted(0, 200)[0].candidates
        squared = (2 - 2 * x.double() @ x.double().T).clamp(min=0)
        expected = (1 - squared / 0.75**2).clamp(min=0).sort(dim=1, descending=True).values[:, :q].sum(dim=1)
        np.testing.assert_allclose(_density(x, 0.75, q), expected.clamp(min=1), rtol=1e-4)

    def test_distinct(self) -> None:
        x = random_unit(40, 32, dtype=torch.float32)
        doubled = torch.cat([x, x[:7], unit(x[7:9] + 1e-3)])
        for chunk in (5, 64):
            assert distinct(doubled, 0.99, chunk).tolist() == list(range(40))


class TestMeasures:
    def test_vendi_counts_directions(self) -> None:
        assert vendi(torch.eye(5).repeat(4, 1)) == pytest.approx(5)
        assert vendi(torch.eye(5)[:1].repeat(9, 1)) == pytest.approx(1)

    def test_effective_size(self) -> None:
        assert effective_size(torch.tensor([0.5, 0.5, 0.0])) == 2


class TestBadInput:
    @pytest.mark.parametrize("name", SELECTION.names())
    def test_all_alike(self, name: str) -> None:
        chosen = SELECTION.make(name)(
            Features(torch.eye(4)[:1].repeat(30, 1), random_unit(3, 4, 1, torch.float32)), 10
        )
        assert len(chosen.row) == (30 if name == "all" else 10)

    @pytest.mark.parametrize("name", [name for name in SELECTION.names() if name != "all"])
    def test_k_out_of_range(self, name: str) -> None:
        features = Features(random_unit(10, 4), random_unit(1, 4, 1))
        for k in (0, 11):
            with pytest.raises(ValueError, match=f"k={k} of 10 candidates cannot be kept"):
                SELECTION.make(name)(features, k)
        assert len(SELECTION.make(name)(features, 3).row) == 3  # one target is enough

    def test_features_that_are_none(self) -> None:
        x = random_unit(5, 4)
        with pytest.raises(ValueError, match="There are no targets"):
            Features(x, x[:0])
        with pytest.raises(ValueError, match=r"shape \(5, 4\) and targets of shape \(5, 3\) do not share one space"):
            Features(x, random_unit(5, 3))
        with pytest.raises(ValueError, match="norms of 0 to 1, not 1"):
            Features(torch.cat([x, x[:1] * 0]), x)
        with pytest.raises(ValueError, match=r"norms of .*nan"):
            Features(torch.cat([x, x[:1] * torch.nan]), x)
