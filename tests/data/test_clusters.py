"""Clusters of rows: rows that are alike get the same one, and a curriculum can spread its draws over them."""

import numpy as np
import pytest
import tiny
from datasets import Dataset

from trl_curriculum import Pool
from trl_curriculum.curricula import EVOCurate
from trl_curriculum.data.clusters import add_clusters, embed


def rows() -> Dataset:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcde" if i % 2 else "56789"), 5 + i % 20)) for i in range(40)]
    return Dataset.from_dict({"text": texts})


def test_texts_of_one_alphabet_share_a_cluster_and_length_does_not_matter() -> None:
    data, model = rows(), tiny.model()
    model.train()
    vectors = embed(data["text"][:], model, tiny.tokenizer(), batch_size=7)
    assert model.training
    assert vectors.shape == (40, 32) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = embed([data["text"][3]], model, tiny.tokenizer())
    assert np.allclose(alone[0], vectors[3], atol=1e-5)  # padding changes nothing
    cluster = np.array(add_clusters(data, vectors, 2)["cluster"])
    assert len(set(cluster[::2])) == len(set(cluster[1::2])) == 1 and cluster[0] != cluster[1]


def test_draws_spread_over_clusters() -> None:
    data = add_clusters(rows(), np.repeat(np.eye(2), [36, 4], axis=0), 2)
    shares = []
    for diversity in (0.0, 100.0):
        pool = Pool.from_dataset(data, "cluster")
        evo = EVOCurate(measure="probe", kappa=0.6, diversity=diversity).bind(pool)
        asked = evo.rows_to_probe()
        assert asked is not None
        evo.observe_probe(asked, np.linspace(0, 1, 40))
        shares.append(np.bincount(pool.arm, evo.probabilities()).min())
    assert shares[0] < 0.15 and shares[1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("vectors", "n", "column", "words"),
    [
        (np.eye(3), 2, "c", "There are 3 vectors for 40 rows"),
        (np.eye(40), 41, "c", "n_clusters=41 is not between 1 and the number of rows, 40"),
        (np.eye(40), 2, "text", "already has a column 'text'"),
    ],
)
def test_bad_input(vectors: np.ndarray, n: int, column: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        add_clusters(rows(), vectors, n, column)
