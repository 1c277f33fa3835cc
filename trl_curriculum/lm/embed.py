"""Texts as a model represents them: vectors to cluster rows by."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .batches import pad_ids


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
