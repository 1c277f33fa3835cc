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

    which the sweep over s solves exactly. Draws are with replacement, as in the code: rows can repeat. At most a tenth
    of all candidates are looked at as neighbours.

    Source: Liu et al. 2024, and its code; the neighbours here are exact, its are approximate.
    """

    alpha: float = option(
        0.5,
        "Towards 1: only the nearest of each target; towards 0: all alike.",
        "the code's",
        above=0,
        most=1,
    )
    scale: float = option(
        5.0, "C, the size of a distance; on features of unit norm about 1 fits.", "the code's", above=0
    )
    sigma: float = option(0.75, "Distance within which candidates are near-duplicates.", "the code's", above=0)
    neighbours: int = option(5000, "Nearest candidates that are looked at per target.", "the code's", least=1)
    density_neighbours: int = option(1000, "Nearest of a candidate, for its density.", "the code's", least=1)
    seed: int = option(0, "Seed of the draws.", least=0)

    def choose(self, features: Features, k: int) -> Selection:
        n = len(features)
        most = n // 10 if n >= 10 else n
        reach = max(1, min(self.neighbours, most))
        distance, nearest = _nearest(features.targets, features.candidates, min(reach + 1, n))
        density = _density(features.candidates, self.sigma, max(1, min(self.density_neighbours, most)))
        p, level = spread(distance, nearest, density[nearest], n, self.alpha, self.scale)
        row = np.random.default_rng(self.seed).choice(n, k, p=p)
        return Selection(row, p, {"level": level, "distinct": float(len(np.unique(row)))})


def spread(
    distance: FloatArray, nearest: IntArray, density: FloatArray, n: int, alpha: float, scale: float
) -> tuple[FloatArray, float]:
    """
    The candidates' probabilities, shape `(n,)`, and the level s, by a sweep over all targets at once.

    Args:
        distance, nearest, density (shape `(m, q)`):
            Of each target's q nearest candidates, in ascending order: how far, which, and how dense there.
    """
    m, q = distance.shape
    filled = np.zeros(m, np.int64)  # neighbours of each target that have all that they can take
    mass = np.cumsum(1 / density, axis=1)
    worth = np.cumsum(distance / density, axis=1)
    heap = [(mass[j, 0], j) for j in range(m)]
    heapq.heapify(heap)
    cost = np.zeros(m)
    level = 1.0
    while heap:
        level, j = heapq.heappop(heap)
        filled[j] += 1
        if filled[j] >= q:
            break  # a target has run out of neighbours
        cost[j] = distance[j, filled[j]] * level - worth[j, filled[j] - 1]
        heapq.heappush(heap, (mass[j, filled[j]], j))
        if alpha / scale * cost.sum() >= (1 - alpha) * m:
            break
    p = np.zeros(n)
    for j in range(m):
        share = 1 / (m * level * density[j, : filled[j]])
        np.add.at(p, nearest[j, : filled[j]], share)
        rest = 1 / m - share.sum()
        p[nearest[j, min(filled[j], q - 1)]] += max(rest, 0)
    return p / p.sum(), float(level)


def _nearest(points: torch.Tensor, among: torch.Tensor, q: int) -> tuple[FloatArray, IntArray]:
    """Euclidean distances and positions of the q nearest, each of shape `(len(points), q)`, ascending."""
    every = among.float()
    best = [torch.topk(part.float() @ every.T, q, dim=1) for part in points.split(max(1, CHUNK // len(among)))]
    inner = torch.cat([one.values for one in best]).double().cpu().numpy()
    return np.sqrt(np.clip(2 - 2 * inner, 0, None)), torch.cat([one.indices for one in best]).cpu().numpy()


def _density(candidates: torch.Tensor, sigma: float, q: int) -> FloatArray:
    """How many candidates each stands for: near copies of it, and itself, shape `(n,)`."""
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
