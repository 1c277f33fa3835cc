from typing import Literal

import numpy as np
from scipy.cluster.vq import kmeans2

from ..signals import IntArray
from .features import Features, Selection, check_k


def diversity(
    features: Features,
    k: int,
    clusters: int | None = None,
    order: Literal["small_first", "round_robin"] = "small_first",
    seed: int = 0,
) -> Selection:
    """
    Clusters of gradient space, the small ones first: rare directions are kept whole, common ones as far as there is
    room.

    Args:
        features ([`Features`]):
            Candidates; targets are not used.
        k (`int`):
            How many candidates to keep.
        clusters (`int`, *optional*):
            Number of clusters of K-means; default: the square root of the candidates' number (ours).
        order (`str`, *optional*, defaults to `"small_first"`):
            `"small_first"`: whole clusters, from the smallest (EvoSelect's variant); `"round_robin"`: one candidate of
            each cluster in turn, which keeps fewer near-duplicates (ours).
        seed (`int`, *optional*, defaults to `0`):
            Seed of K-means and of the order within a cluster.

    Source: the diversity baseline of EvoSelect (arXiv 2604.26170), after Jung et al. 2025.
    """
    n = len(features)
    check_k(k, n)
    if order not in ("small_first", "round_robin"):
        raise ValueError(f"order={order!r} is neither 'small_first' nor 'round_robin'.")
    rng = np.random.default_rng(seed)
    vectors = features.candidates.float().cpu().numpy()
    label = kmeans2(vectors, clusters or max(1, round(n**0.5)), minit="++", seed=rng)[1]
    return Selection(visit(label, k, order, rng), None, {"clusters": float(len(np.unique(label)))})


def visit(label: IntArray, k: int, order: str, rng: np.random.Generator) -> IntArray:
    """The first k rows, cluster after cluster from the smallest, or one of each in turn; by lot within a cluster."""
    mixed = rng.permutation(len(label))
    size = np.bincount(label)
    by_cluster = mixed[np.lexsort((label[mixed], size[label[mixed]]))]
    if order == "round_robin":
        begin = np.r_[True, label[by_cluster[1:]] != label[by_cluster[:-1]]]
        starts = np.flatnonzero(begin)
        turn = np.arange(len(label)) - np.repeat(starts, np.diff(np.r_[starts, len(label)]))
        by_cluster = by_cluster[np.argsort(turn, kind="stable")]
    return by_cluster[:k]
