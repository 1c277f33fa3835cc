"""Rows that are alike, in their words or their vectors: clusters, which may be arms, and neighbours."""

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import svds
from tqdm.auto import tqdm


if TYPE_CHECKING:
    from datasets import Dataset

HASHES = 1 << 14  # a word counts by its hash
CHUNK = 512  # rows that are compared with all others at once


def cluster(vectors: NDArray, n_clusters: int, seed: int = 0) -> NDArray[np.int64]:
    """
    Clusters vectors (k-means, k-means++ start).

    Args:
        vectors (`NDArray`, shape `(n, d)`):
            What to cluster, for example from [`~trl_curriculum.lm.embed.embed`] or [`word_vectors`].
        n_clusters (`int`):
            How many clusters; ones that stay empty are left out.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the start.

    Returns:
        `NDArray[np.int64]`, shape `(n,)`: the cluster of each, counted from 0.

    Raises:
        `ValueError`: if `n_clusters` is out of range.
    """
    if not 1 <= n_clusters <= len(vectors):
        raise ValueError(f"{n_clusters} clusters of {len(vectors)} rows: take between 1 and the number of rows.")
    _, label = kmeans2(vectors.astype(np.float64), n_clusters, minit="++", seed=np.random.default_rng(seed))
    return np.unique(label, return_inverse=True)[1]


def neighbours(dataset: "Dataset", k: int) -> csr_matrix | None:
    """
    How much each row is like the `k` others that are most so in the words of their prompts: see [`nearest`]. `None`
    for k = 0.
    """
    return nearest(word_vectors(dataset), k) if k else None


def nearest(vectors: NDArray, k: int) -> csr_matrix:
    """
    Cosines of each vector with the `k` others that are nearest, scaled to sum 1.

    Args:
        vectors (`NDArray`, shape `(n, d)`):
            Of length 1 each.
        k (`int`):
            How many; one that is like no other is its own neighbour.

    Returns:
        `csr_matrix`, shape `(n, n)`, each row of which sums to 1.
    """
    n = len(vectors)
    k = min(k, n - 1)
    columns, weights = np.empty((n, k + 1), np.int32), np.zeros((n, k + 1), np.float32)
    columns[:, k] = np.arange(n)
    for begin in tqdm(range(0, n, CHUNK), desc="Comparing rows", disable=n < 20_000):
        rows = np.arange(begin, min(begin + CHUNK, n))
        cosine = vectors[rows] @ vectors.T
        cosine[rows - begin, rows] = -np.inf
        columns[rows, :k] = np.argpartition(-cosine, max(k - 1, 0), axis=1)[:, :k]
        weights[rows, :k] = np.take_along_axis(cosine, columns[rows, :k], axis=1).round(4).clip(0)
    weights[:, k] = weights.sum(axis=1) == 0
    weights /= weights.sum(axis=1, keepdims=True)
    made = csr_matrix((weights.ravel(), columns.ravel(), np.arange(n + 1) * (k + 1)), shape=(n, n))
    made.eliminate_zeros()
    return made


def word_vectors(dataset: "Dataset", dimension: int = 64) -> NDArray:
    """
    What the words of each row say of it: TF-IDF over hashed words of its prompt (else of all its texts), reduced to
    `dimension` numbers by a singular value decomposition, and scaled to length 1; shape `(len(dataset), d)`.
    """
    row, column = [], []
    for k, one in enumerate(dataset):
        words = re.findall(r"\w+", json.dumps(one.get("prompt", one), ensure_ascii=False, default=str).casefold())
        column += [xxhash.xxh3_64_intdigest(word.encode()) % HASHES for word in words]
        row += [k] * len(words)
    count = csr_matrix((np.ones(len(row)), (row, column)), shape=(len(dataset), HASHES))
    rarity = np.log((1 + len(dataset)) / (1 + np.asarray((count > 0).sum(axis=0)).ravel())) + 1
    weighed = count.log1p() @ diags(rarity)
    d = min(dimension, len(dataset) - 1, HASHES - 1)
    if d < 1:
        return np.ones((len(dataset), 1))
    left, size, _ = svds(weighed, k=d, rng=np.random.default_rng(0))
    vectors = left * size
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
