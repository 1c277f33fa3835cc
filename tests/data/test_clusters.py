"""Clusters of rows: rows that are alike get the same one, and a curriculum can spread its draws over them."""

import numpy as np
import pytest
import tiny
from datasets import Dataset

from trl_curriculum import Pool
from trl_curriculum.arms import Clusters
from trl_curriculum.curricula import EVOCurate
from trl_curriculum.data.clusters import cluster
from trl_curriculum.lm.embed import embed


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
    arm, names = Clusters(k=2, column="vector").label(data.add_column("vector", vectors.tolist()))
    assert len(set(arm[::2])) == len(set(arm[1::2])) == 1 and arm[0] != arm[1] and names == ["cluster 0", "cluster 1"]


def test_prompts_of_one_vocabulary_share_a_cluster() -> None:
    words = ("add the numbers", "name the capital")
    data = Dataset.from_dict({"prompt": [f"{words[i % 2]} {'again ' * (i % 3)}" for i in range(40)]})
    arm, _ = Clusters(k=2).label(data)
    assert len(set(arm[::2])) == len(set(arm[1::2])) == 1 and arm[0] != arm[1]
    assert (Clusters(k=2).label(data)[0] == arm).all(), "the start is not seeded"


def test_draws_spread_over_clusters() -> None:
    data = rows().add_column("vector", np.repeat(np.eye(2), [36, 4], axis=0).tolist())
    shares = []
    for diversity in (0.0, 100.0):
        pool = Pool.from_dataset(data, {"clusters": {"k": 2, "column": "vector"}})
        evo = EVOCurate(measure="probe", kappa=0.6, diversity=diversity).bind(pool)
        asked = evo.rows_to_probe()
        assert asked is not None
        evo.observe_probe(asked, np.linspace(0, 1, 40))
        shares.append(np.bincount(pool.arm, evo.probabilities()).min())
    assert shares[0] < 0.15 and shares[1] == pytest.approx(0.95 * 0.5 + 0.05 * 0.1, abs=0.02)  # a twentieth is uniform


@pytest.mark.parametrize(("vectors", "n"), [(np.eye(3), 4), (np.eye(3), 0)])
def test_as_many_clusters_as_rows_at_most(vectors: np.ndarray, n: int) -> None:
    with pytest.raises(ValueError, match=f"{n} clusters of 3 rows: take between 1 and the number of rows"):
        cluster(vectors, n)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"k": 41}, ValueError, "41 clusters of 40 rows"),
        ({"k": 1}, ValueError, "k=1 of clusters must be at least 2"),
        ({"k": 2, "column": "vec"}, ValueError, "'vec'"),
        (
            {"k": 2, "column": "text"},
            ValueError,
            "column='text' of clusters does not hold finite vectors of one length",
        ),
        ({}, ValueError, "Arm source 'clusters' needs the option 'k'"),
    ],
)
def test_bad_input(options: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Pool.from_dataset(rows(), {"clusters": options})
