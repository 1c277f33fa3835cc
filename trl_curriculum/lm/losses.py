"""Prompts with their answers as tokens, and how likely a model finds the answers."""

from itertools import takewhile
from typing import Any

import numpy as np
import torch

from ..disk.partial import by_length
from ..signals import FloatArray
from .tap import measuring


Row = dict[str, list[int]]


def tokenize_examples(rows: Any, tokenizer: Any, max_length: int | None = None) -> list[Row]:
    """
    `input_ids` and `labels` of rows with a prompt and a completion, as TRL makes them for SFT: a plain completion ends
    with the end-of-sequence token, long rows are cut at their end, and what is trained on begins where the tokens of
    the row part from those of its prompt alone, which is earlier than the completion where tokens merge.

    A row whose completion is wholly cut off, which TRL drops, stays here, with nothing to train on.
    """
    made = []
    for row in rows:
        prompt, completion = row["prompt"], row["completion"]
        if isinstance(prompt, str):
            before = list(tokenizer(prompt)["input_ids"])
            end = "" if completion.endswith(tokenizer.eos_token) else tokenizer.eos_token
            whole = list(tokenizer(prompt + completion + end)["input_ids"])
        else:
            before = _chat(tokenizer, prompt, add_generation_prompt=True)
            whole = _chat(tokenizer, prompt + completion)
        ids = whole[:max_length]
        masked = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(before, ids, strict=False)))
        made.append({"input_ids": ids, "labels": [-100] * masked + ids[masked:]})
    return made


def _chat(tokenizer: Any, messages: list[dict[str, str]], **kwargs: Any) -> list[int]:
    return list(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **kwargs)["input_ids"])


def pad(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and labels of a right-padded batch, each of shape `(batch, tokens)`."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for k, row in enumerate(rows):
        end = len(row["input_ids"])
        ids[k, :end] = torch.tensor(row["input_ids"])
        labels[k, :end] = torch.tensor(row["labels"])
        mask[k, :end] = 1
    return ids, mask, labels


def losses(model: Any, rows: list[Row], batch_tokens: int = 8192) -> FloatArray:
    """Loss of each row in nats per trained token, shape `(n,)`; NaN where there is none."""
    found, device = np.full(len(rows), np.nan), next(model.parameters()).device
    with measuring(model):
        for batch in by_length(np.array([len(row["input_ids"]) for row in rows]), batch_tokens):
            ids, mask, labels = (value.to(device) for value in pad([rows[k] for k in batch]))
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            loss = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none"
            )
            count = (labels[:, 1:] != -100).sum(dim=1)
            mean = torch.where(count > 0, loss.sum(dim=1) / count.clamp(min=1), torch.nan)
            found[batch] = mean.double().cpu().numpy()
    return found
