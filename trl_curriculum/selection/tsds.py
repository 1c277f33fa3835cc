import heapq
from dataclasses import dataclass

import numpy as np
import torch

from ..registry import option
from ..signals import FloatArray, IntArray
from .base import SELECTION, Selector
from .features import Features, Selection


CHUNK = 1 << 24  # inner products that are computed at once


@SELECTION.add("tsds", paper="NeurIPS 2024")
@dataclass(frozen=True)
class TSDS(Selector):
    r"""
    TSDS: a distribution over the candidates that is close to the targets' by optimal transport, and no denser where
    the candidates repeat themselves; k draws from it.

    Each target spreads its mass 1/M over its nearest candidates, a near-duplicate counting for as much less as it has
    copies: candidate i has the density $\rho_i = \sum_l \max(0, 1 - \lVert x_i - x_l \rVert^2 / \sigma^2)$ over its
    neighbours, itself included. How far the targets reach, one level s for all, follows from

    $$ \min_\gamma\; \tfrac{\alpha}{C} \sum \gamma_{ij} d_{ij} + (1 - \alpha)\, M\, \max_{ij} |\gamma_{ij} -
    \text{uniform}|, $$

    which the sweep over s solves exactly as long as each target has neighbours left. One that has used its own up is
    retired as in the code: it keeps its last cost and the sweep goes on with the others; the report counts such
    targets as `exhausted`. As in the code, densities are taken among the neighbours of all targets, not among all
    candidates, and draws are with replacement: rows can repeat.

    Source: Liu et al. 2024, and its code; the neighbours here are exact, its are approximate.
    """

    alpha: float = option(
        0.5,
        "Towards 1: only the nearest of each target; towards 0: all alike.",
        "the code's",
        least=0,
        most=1,
    )
    scale: float = option(
        5.0, "C, the size of a distance; on features of unit norm about 1 fits.", "the code's", above=0
    )
    sigma: float = option(
        0.75, "Distance within which candidates are near-duplicates; 0: none are.", "the code's", least=0
    )
    neighbours: int | None = option(
        None,
        "Nearest candidates that are looked at per target, at most all; default: a tenth of them, 2 to 5,000.",
        "the code's (2: ours)",
        least=1,
    )
    density_neighbours: int | None = option(
        None,
        "Nearest of a candidate, itself included, for its density; default: a tenth of the candidates, 2 to 1,000.",
        "the code's (2: ours)",
        least=1,
    )
    seed: int = option(0, "Seed of the draws.", least=0)

    def choose(self, features: Features, k: int) -> Selection:
        n = len(features)
        distance, nearest = _nearest(features.targets, features.candidates, _up_to(self.neighbours, n, 5000))
        union, at = np.unique(nearest, return_inverse=True)
        among = features.candidates[torch.as_tensor(union)]
        density = _density(among, self.sigma, _up_to(self.density_neighbours, n, 1000))
        p, level, exhausted = spread(distance, nearest, density[at].reshape(nearest.shape), n, self.alpha, self.scale)
        row = np.random.default_rng(self.seed).choice(n, k, p=p)
        report = {"level": level, "exhausted": float(exhausted), "distinct": float(len(np.unique(row)))}
        return Selection(row, p, report)


def _up_to(given: int | None, n: int, most: int) -> int:
    """How many nearest of n candidates are looked at: what is given, or a tenth, 2 at least."""
    return min(given if given is not None else min(most, max(2, n // 10)), n)


def spread(
    distance: FloatArray, nearest: IntArray, density: FloatArray, n: int, alpha: float, scale: float
) -> tuple[FloatArray, float, int]:
    """
    The candidates' probabilities, shape `(n,)`, the level s, by a sweep over all targets at once, and how many targets
    ran out of neighbours on the way.

    Args:
        distance, nearest, density (shape `(m, q)`):
            Of each target's q nearest candidates, in ascending order: how far, which, and how dense there.
    """
    m, q = distance.shape
    filled = np.zeros(m, np.int64)  # neighbours of each target that have all that they can take
    mass = np.cumsum(1 / density, axis=1)
    worth = np.cumsum(distance / density, axis=1)
    heap = [(mass[j, 0], j) for j in range(m)] if q > 1 else []
    heapq.heapify(heap)
    cost, total = np.zeros(m), 0.0
    level, exhausted = 1.0, 0 if heap else m
    while heap:
        level, j = heapq.heappop(heap)
        k = filled[j] = filled[j] + 1
        total -= cost[j]
        cost[j] = distance[j, k] * level - worth[j, k - 1]
        total += cost[j]
        if alpha / scale * total >= (1 - alpha) * m:
            break
        if k < q - 1:
            heapq.heappush(heap, (mass[j, k], j))
        else:
            exhausted += 1  # what more it could spread stays with its last neighbour
    p = np.zeros(n)
    for j in range(m):
        share = 1 / (m * level * density[j, : filled[j]])
        np.add.at(p, nearest[j, : filled[j]], share)
        p[nearest[j, filled[j]]] += max(1 / m - share.sum(), 0)
    return p / p.sum(), float(level), exhausted


def _nearest(points: torch.Tensor, among: torch.Tensor, q: int) -> tuple[FloatArray, IntArray]:
    """Euclidean distances and positions of the q nearest, each of shape `(len(points), q)`, ascending."""
    every = among.float()
    best = [torch.topk(part.float() @ every.T, q, dim=1) for part in points.split(max(1, CHUNK // len(among)))]
    inner = torch.cat([one.values for one in best]).double().cpu().numpy()
    return np.sqrt(np.clip(2 - 2 * inner, 0, None)), torch.cat([one.indices for one in best]).cpu().numpy()


def _density(candidates: torch.Tensor, sigma: float, q: int) -> FloatArray:
    """How many candidates each stands for: near copies of it, and itself, shape `(n,)`."""
    if sigma == 0:
        return np.ones(len(candidates))
    density = np.empty(len(candidates))
    rows = max(1, CHUNK // len(candidates))
    every = candidates.float()
    for begin in range(0, len(candidates), rows):
        near = every[begin : begin + rows] @ every.T
        near.mul_(-2).add_(2).clamp_(min=0).mul_(-1 / sigma**2).add_(1).clamp_(min=0)
        total = near.sum(dim=1, dtype=torch.float64)
        crowded = (near > 0).sum(dim=1) > q  # elsewhere the q nearest are all that count
        if crowded.any():
            total[crowded] = torch.topk(near[crowded], q, dim=1).values.sum(dim=1, dtype=torch.float64)
        density[begin : begin + rows] = total.cpu().numpy()
    return np.maximum(density, 1)
