from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.cluster.vq import kmeans2

from ..registry import option
from ..signals import IntArray
from .base import SELECTION, Selector
from .features import Features, Selection


@SELECTION.add("diversity", paper="arXiv 2604.26170")
@dataclass(frozen=True)
class Diversity(Selector):
    """
    Clusters of gradient space, the small ones first: rare directions are kept whole, common ones as far as there is
    room.

    Targets are not used.

    Source: the diversity baseline of EvoSelect (arXiv 2604.26170), after Jung et al. 2025.
    """

    clusters: int | None = option(
        None, "Number of clusters of K-means; default: the square root of the candidates' number.", least=1
    )
    order: Literal["small_first", "round_robin"] = option(
        "small_first",
        "Whole clusters, from the smallest, or one candidate of each in turn, which keeps fewer near-duplicates.",
        "EvoSelect's variant",
    )
    seed: int = option(0, "Seed of K-means and of the order within a cluster.", least=0)

    def refuse(self, n: int) -> None:
        if self.clusters is not None and self.clusters > n:
            raise ValueError(f"clusters={self.clusters} of {self.name} is more than the {n} candidates: take fewer.")

    def choose(self, features: Features, k: int) -> Selection:
        rng = np.random.default_rng(self.seed)
        vectors = features.candidates.float().cpu().numpy()
        label = kmeans2(vectors, self.clusters or max(1, round(len(features) ** 0.5)), minit="++", seed=rng)[1]
        return Selection(visit(label, k, self.order, rng), None, {"clusters": float(len(np.unique(label)))})


def visit(label: IntArray, k: int, order: str, rng: np.random.Generator) -> IntArray:
    """The first k rows, cluster after cluster from the smallest, or one of each in turn; mixed within a cluster."""
    mixed = rng.permutation(len(label))
    size = np.bincount(label)
    by_cluster = mixed[np.lexsort((label[mixed], size[label[mixed]]))]
    if order == "round_robin":
        begin = np.r_[True, label[by_cluster[1:]] != label[by_cluster[:-1]]]
        starts = np.flatnonzero(begin)
        turn = np.arange(len(label)) - np.repeat(starts, np.diff(np.r_[starts, len(label)]))
        by_cluster = by_cluster[np.argsort(turn, kind="stable")]
    return by_cluster[:k]
