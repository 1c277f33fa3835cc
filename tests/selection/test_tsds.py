"""TSDS against numbers of its public code, and against a linear program."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from trl_curriculum.selection import TSDS, Features
from trl_curriculum.selection.tsds import spread


def at(degrees: Any) -> torch.Tensor:
    angle = torch.as_tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], dim=1)


CLUSTERED = Features(at([0.0] * 20 + [60 + 3.1 * k for k in range(20)]), at([0.0, 90.0]))


def chosen(**options: Any) -> tuple[np.ndarray, dict[str, float]]:
    found = TSDS(scale=1.0, sigma=0.05, **options)(CLUSTERED, 10)
    assert found.score is not None
    return found.score, found.report


class TestClusters:
    def test_a_target_without_neighbours_left_does_not_stop_the_others(self) -> None:
        # The code's numbers: four neighbours each are looked at, all of the first target's are copies.
        p, report = chosen()
        assert sorted(np.flatnonzero(p > 1e-6) - 20)[-3:] == [9, 10, 11]
        assert p[29:32].tolist() == pytest.approx([1 / 6] * 3, abs=1e-4)
        assert p[:20].sum() == pytest.approx(0.5) and report["exhausted"] == 2

    def test_all_candidates_can_be_looked_at(self) -> None:
        for most in (40, 10**9):
            p, report = chosen(neighbours=most)
            assert p[20:][p[20:] > 1e-6].tolist() == pytest.approx([0.1] * 5, abs=1e-4)
            assert p[:20].sum() == pytest.approx(0.5) and report["exhausted"] == 0

    def test_copies_share_what_one_would_have(self) -> None:
        p, _ = chosen(neighbours=40)
        assert p[:20].tolist() == pytest.approx([0.5 / 20] * 20, abs=1e-3)

    def test_density_is_taken_among_what_the_targets_reach(self) -> None:
        # Four of the twenty copies are reached: each has the density 4, whatever lies beyond; the other target fills
        # three neighbours at s = 3.
        p, report = chosen(alpha=0.0, density_neighbours=40)
        assert report["level"] == pytest.approx(3, rel=0.01)
        copies = np.sort(p[:20])[-4:].tolist()
        assert copies == pytest.approx([1 / 24, 1 / 24, 1 / 24, 0.5 - 3 / 24], rel=0.01)

    def test_without_sigma_no_row_is_a_copy(self) -> None:
        found = TSDS(alpha=0.0, sigma=0.0, neighbours=40)(CLUSTERED, 1)
        assert found.score is not None and found.score.max() < 0.06

    @pytest.mark.parametrize("n", [1, 2, 3, 19])
    @pytest.mark.parametrize("neighbours", [None, 1, 2, 500])
    def test_pools_of_a_few_rows(self, n: int, neighbours: int | None) -> None:
        features = Features(CLUSTERED.candidates[20 : 20 + n], CLUSTERED.targets)
        found = TSDS(neighbours=neighbours, density_neighbours=neighbours)(features, n)
        assert found.score is not None and found.score.sum() == pytest.approx(1) and len(found.row) == n


@pytest.mark.parametrize("alpha", [0.75, 0.85, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_is_the_solution_of_its_linear_program(alpha: float, seed: int) -> None:
    m, n = 3, 8
    distance = np.random.default_rng(seed).random((m, n))
    nearest = np.argsort(distance, axis=1)
    p, level, exhausted = spread(np.sort(distance, axis=1), nearest, np.ones((m, n)), n, alpha, 1.0)
    assert exhausted == 0
    # Variables: gamma, row by row, and the largest distance of one from the uniform.
    cost = np.r_[alpha * distance.ravel(), (1 - alpha) * m]
    side = np.eye(m * n)
    above = np.c_[np.r_[side, -side], -np.ones(2 * m * n)]
    uniform = 1 / (m * n)
    rows = np.c_[np.kron(np.eye(m), np.ones(n)), np.zeros(m)]
    best = linprog(cost, above, np.r_[np.full(m * n, uniform), np.full(m * n, -uniform)], rows, np.full(m, 1 / m))
    cap = 1 / (m * level)
    gamma = np.zeros((m, n))
    for j in range(m):
        left = 1 / m
        for i in nearest[j]:
            gamma[j, i] = min(cap, left)
            left -= gamma[j, i]
    assert p.tolist() == pytest.approx(gamma.sum(axis=0).tolist(), abs=1e-9)
    assert cost @ np.r_[gamma.ravel(), np.abs(gamma - uniform).max()] == pytest.approx(best.fun, abs=1e-9)
