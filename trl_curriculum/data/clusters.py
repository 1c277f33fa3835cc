"""Clusters of rows that a model represents alike, as a column: the arms of a curriculum that keeps draws diverse."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from tqdm.auto import tqdm

from ..lm.batches import pad_ids


if TYPE_CHECKING:
    from datasets import Dataset


def embed(texts: list[str], model: Any, tokenizer: Any, batch_size: int = 16, max_length: int = 512) -> NDArray:
    """
    Embeds texts: the mean of a model's last hidden states over their tokens, scaled to length 1.

    Args:
        texts (`list[str]`):
            What to embed.
        model, tokenizer:
            A causal language model, for example the one that is going to be trained, and its tokenizer.
        batch_size (`int`, *optional*, defaults to `16`):
            Texts of one forward.
        max_length (`int`, *optional*, defaults to `512`):
            Tokens of a text that are read.

    Returns:
        `NDArray`, shape `(len(texts), hidden size)`, float32.
    """
    device = next(model.parameters()).device
    encoded = [tokenizer(text, truncation=True, max_length=max_length).input_ids for text in texts]
    # Texts of similar length together; one without a token stays at 0.
    order = sorted((i for i in range(len(texts)) if encoded[i]), key=lambda i: -len(encoded[i]))
    vectors = np.zeros((len(texts), model.get_input_embeddings().embedding_dim), np.float32)
    training = model.training
    model.eval()
    for begin in tqdm(range(0, len(order), batch_size), desc="Embedding rows", disable=len(texts) < 1000):
        which = order[begin : begin + batch_size]
        ids, mask = pad_ids([encoded[i] for i in which])
        with torch.no_grad():
            output = model(ids.to(device), attention_mask=mask.to(device), output_hidden_states=True, use_cache=False)
        hidden = output.hidden_states[-1].float().cpu() * mask[..., None]
        vectors[which] = torch.nn.functional.normalize(hidden.sum(1), dim=1).numpy()
    model.train(training)
    return vectors


def add_clusters(
    dataset: "Dataset",
    vectors: NDArray,
    n_clusters: int,
    column: str = "cluster",
    seed: int = 0,
) -> "Dataset":
    """
    Adds the cluster of each row as a column (k-means, k-means++ start), to be used as `arm_column`.

    Args:
        dataset (`datasets.Dataset`):
            Rows.
        vectors (`NDArray`, shape `(len(dataset), d)`):
            What to cluster them by, for example from [`embed`].
        n_clusters (`int`):
            How many clusters; ones that stay empty are left out.
        column (`str`, *optional*, defaults to `"cluster"`):
            Name of the new column.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the start.

    Returns:
        `datasets.Dataset`, with one column more, of integers from 0.

    Raises:
        `ValueError`: if vectors and rows differ in number, or `n_clusters` or `column` is out of range.
    """
    if len(vectors) != len(dataset):
        raise ValueError(f"There are {len(vectors)} vectors for {len(dataset)} rows: each row needs one.")
    if not 1 <= n_clusters <= len(dataset):
        raise ValueError(f"n_clusters={n_clusters} is not between 1 and the number of rows, {len(dataset)}.")
    if column in dataset.column_names:
        raise ValueError(f"The dataset already has a column {column!r}; choose another name.")
    _, label = kmeans2(vectors.astype(np.float64), n_clusters, minit="++", seed=np.random.default_rng(seed))
    return dataset.add_column(column, np.unique(label, return_inverse=True)[1])
