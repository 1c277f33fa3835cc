"""Losses and entropies per sequence, from the forward that trains on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset
from tqdm.auto import tqdm

from ..signals import IntArray


class FusedHeadTap:
    """Stands for a model and keeps the output of TRL's fused language-model head: no second forward is needed."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.output: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.model(*args, **kwargs)
        if kwargs.get("fused_lm_head"):
            self.output = output
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@contextmanager
def measuring(model: Any) -> Iterator[None]:
    """Forwards without dropout and gradients; training goes on afterwards as if there had been none."""
    training = model.training
    model.eval()
    for module in model.modules():
        if type(module).__module__.startswith("bitsandbytes"):
            # In eval mode a 4-bit layer on a CPU is repacked for good, and no gradient passes through it any more.
            module.training = True
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def per_sequence(output: Any, inputs: dict[str, Any], n: int) -> torch.Tensor:
    """
    Sums over each sequence's trained tokens: negative log-likelihood, entropy and their number, shape `(n, 3)`.

    Args:
        output:
            TRL's fused output: `log_probs`, `entropy` and `label_mask`, each of shape `(batch, tokens - 1)`.
        inputs (`dict`):
            The batch, padded or padding-free.
        n (`int`):
            Number of sequences; padding of a padding-free batch makes more, which are left out.
    """
    return sum_per_sequence(torch.stack([-output.log_probs, output.entropy, output.label_mask], dim=-1), inputs, n)


def sum_per_sequence(values: torch.Tensor, inputs: dict[str, Any], n: int) -> torch.Tensor:
    """
    Sums over each sequence's tokens, in an order that is the same on every device and in every run.

    Args:
        values (`torch.Tensor`, shape `(batch, tokens - 1, k)`):
            Of each next token.
        inputs, n:
            As in [`per_sequence`].

    Returns:
        `torch.Tensor`, shape `(n, k)`, float32, without gradient.
    """
    values = values.detach().float()
    if "seq_idx" not in inputs:
        return values.sum(dim=1)[:n]
    lengths = inputs["cu_seq_lens_q"].diff()
    lengths[0] -= 1  # of the first sequence's tokens the first is no next token
    return torch.segment_reduce(values[0], "sum", lengths=lengths)[:n]


def count_tokens(dataset: Dataset) -> tuple[IntArray, IntArray]:
    """Tokens of each row, and how many of them are trained on (the first never is); each of shape `(size,)`."""
    names = [name for name in ("input_ids", "labels") if name in dataset.column_names]
    length, trained = np.zeros(len(dataset), np.int32), np.zeros(len(dataset), np.int32)
    begin = 0
    with tqdm(total=len(dataset), desc="Counting tokens", disable=len(dataset) < 100_000) as bar:
        for table in dataset.select_columns(names).with_format("arrow").iter(batch_size=10_000):
            end = begin + len(table)
            length[begin:end] = pc.list_value_length(table["input_ids"]).to_numpy()
            labels = table[names[-1]].combine_chunks()
            is_trained = labels.flatten().to_numpy(zero_copy_only=False) != -100
            ends = np.cumsum(pc.list_value_length(labels).to_numpy(zero_copy_only=False))
            starts = np.r_[0, ends[:-1]]
            upto = np.r_[0, np.cumsum(is_trained)]
            trained[begin:end] = upto[ends] - upto[np.minimum(starts + 1, ends)]
            begin = end
            bar.update(len(table))
    return length, trained


def check_sequences_are_apart(model: Any, collator: Any, rows: list[dict[str, Any]]) -> None:
    """
    Tests that sequences which share a padding-free batch do not see each other.

    The same sequence is scored behind two different neighbours of equal length, and alone.

    Raises:
        `ValueError`: if a neighbour changes its log-probabilities, or if they differ from those it has alone.
    """
    neighbour, sequence = ({"input_ids": list(row["input_ids"][:64])} for row in rows)
    vocabulary = model.get_input_embeddings().num_embeddings
    other = {"input_ids": [(token * 7 + 1) % vocabulary for token in neighbour["input_ids"]]}
    with measuring(model):
        behind, behind_other, alone = (
            _log_probs(model, collator(batch), len(batch))
            for batch in ([neighbour, sequence], [other, sequence], [sequence])
        )
    weights = next(weight for weight in model.parameters() if weight.is_floating_point())
    exact = weights.dtype == torch.float32 and not torch.is_autocast_enabled(weights.device.type)
    seen = (behind - behind_other).abs().mean().item()
    moved = (behind - alone).abs().mean().item()
    if not seen <= (1e-4 if exact else 2e-2) or not moved <= (1e-3 if exact else 2e-1):
        raise ValueError(
            f"Sequences in one padding-free batch see each other in {type(model).__name__}: a neighbour moves a "
            f"token's log-probability by {seen:.2g} nats on average, company by {moved:.2g}; train without packing "
            "and padding_free, or with an attention implementation that keeps sequences apart."
        )


def _log_probs(model: Any, batch: dict[str, Any], n: int) -> torch.Tensor:
    """Of the tokens of a batch's `n`-th sequence."""
    device = next(model.parameters()).device
    batch = {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
    output = model(**batch, use_cache=False, fused_lm_head=True)
    start, end = batch["cu_seq_lens_q"][n - 1 : n + 1].tolist()
    return output.log_probs[0, start : end - 1]
