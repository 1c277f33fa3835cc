"""What generating takes: end tokens, settings, random numbers, and how what was generated is read."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig

from ..signals import FloatArray
from .engines import Completion


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Ids of the tokens that end an answer: the model's and the tokenizer's."""
    given = (model.generation_config.eos_token_id, tokenizer.eos_token_id)
    return sorted({k for one in given if one is not None for k in (one if isinstance(one, list) else [one])})


def padding_token(tokenizer: Any, ends: list[int]) -> int:
    """
    Id of the token that pads.

    Raises:
        `ValueError`: where there is neither one that pads nor one that ends.
    """
    if tokenizer.pad_token_id is not None:
        return tokenizer.pad_token_id
    if not ends:
        raise ValueError("Neither the model nor its tokenizer says which token ends or pads: set eos_token.")
    return ends[0]


def sampling_config(
    temperature: float, top_p: float, max_new_tokens: int, ends: list[int], pad: int
) -> GenerationConfig:
    """Samples at a temperature above 0, and takes the most probable token at 0."""
    sampling = {"temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {}
    return GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=temperature > 0, pad_token_id=pad, eos_token_id=ends, **sampling
    )


@contextmanager
def own_random(device: torch.device, seed: int) -> Iterator[None]:
    """Samples from a stream of its own: training goes on with the global generators as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def generates_as(model: Any, config: GenerationConfig) -> Iterator[None]:
    """Without what the model's own generation config would add, such as a repetition penalty."""
    base = (
        model.get_base_model() if hasattr(model, "get_base_model") else model
    )  # PEFT writes it through and leaves it
    own = [(one, one.generation_config) for one in (model, base)]
    model.generation_config = config
    try:
        yield
    finally:
        for one, before in own:
            one.generation_config = before


def length_with_end(ids: list[int], ends: Collection[int]) -> int:
    """Tokens up to the first that ends an answer, with it; all where there is none."""
    return next((k + 1 for k, token in enumerate(ids) if token in ends), len(ids))


def read(
    tokenizer: Any, ids: list[int], ends: Collection[int], stop: Sequence[str], entropies: FloatArray | None = None
) -> Completion:
    """A completion from its tokens, behind whose end there may be others."""
    tokens = length_with_end(ids, ends)
    ended = tokens > 0 and ids[tokens - 1] in ends
    text = tokenizer.decode(ids[: tokens - 1] if ended else ids, skip_special_tokens=True)
    cut = min((text.index(one) for one in stop if one in text), default=None)
    return Completion(text[:cut], tokens, cut is not None or ended, entropies)
