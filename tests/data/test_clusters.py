"""Clusters of rows: rows that are alike get the same one, and a curriculum can spread its draws over them."""

import numpy as np
import pytest
import tiny
from datasets import Dataset

from trl_curriculum import Pool
from trl_curriculum.curricula import EVOCurate
from trl_curriculum.data.clusters import cluster, embed, word_vectors


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
    label = cluster(vectors, 2)
    assert len(set(label[::2])) == len(set(label[1::2])) == 1 and label[0] != label[1]


def test_prompts_of_the_same_words_share_a_cluster() -> None:
    words = ["apple pie sugar oven", "engine wheel brake road"]
    rows = [{"prompt": f"{words[i % 2]} {i} word{i % 5}", "completion": "the same for all"} for i in range(40)]
    vectors = word_vectors(Dataset.from_list(rows), dimension=8)
    assert vectors.shape == (40, 8) and np.allclose(np.linalg.norm(vectors, axis=1), 1)
    label = cluster(vectors, 2)
    assert len(set(label[::2])) == len(set(label[1::2])) == 1 and label[0] != label[1]
    assert word_vectors(Dataset.from_list(rows[:1])).tolist() == [[1.0]]


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
    assert shares[0] < 0.15 and shares[1] == pytest.approx(0.95 * 0.5 + 0.05 * 0.1, abs=0.02)  # with the floor


@pytest.mark.parametrize("n", [0, 41])
def test_a_number_of_clusters_that_cannot_be(n: int) -> None:
    with pytest.raises(ValueError, match=f"{n} clusters of 40 rows: take between 1 and the number of rows"):
        cluster(np.eye(40), n)
