"""How alike the directions of a question's hidden states are, by one forward over its prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..disk.fingerprint import fingerprint
from ..disk.partial import by_length, measure_in_batches
from ..signals import FloatArray, IntArray
from .batches import pad_ids
from .tap import measuring


LAYER = "mlp.up_proj"


def angle_concentrations(
    model: Any,
    prompts: Sequence[Sequence[int]],
    begin: IntArray,
    end: IntArray,
    weight: float,
    *,
    batch_tokens: int = 16384,
    folder: Path | None = None,
    disable_tqdm: bool = False,
) -> FloatArray:
    r"""
    Mean cosine between the tokens of a question, plus `weight` times that between them and the tokens before it.

    With u the states that enter the last layer's `mlp.up_proj`, scaled to length 1, q the mean of the question's u
    and s that of those before it, these are q · q and q · s: the means over all pairs, a token with itself included.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            A causal language model whose layers have such a projection.
        prompts (`Sequence[Sequence[int]]`):
            Token ids, at least one prompt.
        begin, end (`IntArray`, shape `(n,)`):
            Where the question's tokens begin and end; at least one lies between.
        weight (`float`):
            Of the second mean, which is 0 where nothing stands before the question.
        batch_tokens (`int`, *optional*, defaults to `16384`):
            Tokens of one forward, padding included.
        folder (`Path`, *optional*):
            Where partial results are kept.

    Returns:
        `FloatArray`, shape `(n,)`.

    Raises:
        `ValueError`: where the model has no such layer.
    """
    layers = [module for name, module in model.named_modules() if name.endswith(LAYER)]
    if not layers:
        raise ValueError(
            f"Angles are measured where states enter {LAYER!r}, and {type(model).__name__} has no layer of that name: "
            "take a model such as Llama, Qwen or Gemma."
        )
    device = next(model.parameters()).device
    states: list[torch.Tensor] = []

    def measure(batch: IntArray) -> FloatArray:
        ids, mask = pad_ids([prompts[k] for k in batch])
        states.clear()
        model.base_model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        units = torch.nn.functional.normalize(states[-1].float(), dim=-1).double()
        found = []
        for k, unit in zip(batch.tolist(), units, strict=True):
            question = unit[begin[k] : end[k]].mean(0)
            before = unit[: begin[k]].mean(0) if begin[k] else torch.zeros_like(question)
            found.append(question @ (question + weight * before))
        return torch.stack(found).cpu().numpy()[:, None]

    hook = layers[-1].register_forward_pre_hook(lambda module, given: states.append(given[0]))
    length = np.array([len(ids) for ids in prompts], np.int64)
    try:
        with measuring(model):
            found = measure_in_batches(
                by_length(length, batch_tokens),
                measure,
                n=len(prompts),
                columns=1,
                folder=folder,
                name="angles",
                key=fingerprint((batch_tokens, weight, begin, end, [list(ids) for ids in prompts]), model)
                if folder
                else "",
                desc="Angle concentration",
                disable_tqdm=disable_tqdm,
            )
    finally:
        hook.remove()
    return found[:, 0]
