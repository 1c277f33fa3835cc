"""Prompts with their answers as tokens, and how likely a model finds the answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trl.trainer.utils import add_fused_lm_head

from ..disk.fingerprint import fingerprint
from ..disk.partial import by_length, measure_in_batches
from ..signals import FloatArray, IntArray
from .batches import Row, collate, pad_ids
from .tap import measuring, sum_per_sequence


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


def row_losses(
    model: Any,
    rows: Any,
    batch_tokens: int = 8192,
    *,
    length: IntArray | None = None,
    collator: Callable[[list[Any]], dict[str, Any]] = collate,
    fused: bool = False,
    accelerator: Any = None,
    folder: Path | None = None,
    key: Any = None,
    disable_tqdm: bool = False,
) -> FloatArray:
    """
    Loss of each row, by a forward without dropout and gradients.

    Rows are batched by length and shared out among the processes. What is measured is kept in `folder` until all is
    done: a measurement that is killed in between goes on from there, if rows and weights are the same.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            The model.
        rows (`list[Row]` or [`~datasets.Dataset`]):
            Each with `input_ids` and `labels`; a label of -100 is not trained on, and the first never is.
        batch_tokens (`int`, *optional*, defaults to `8192`):
            Tokens of one forward, padding included; at least one row is taken (ours).
        length (`IntArray`, shape `(n,)`, *optional*):
            Tokens of each row. Default: they are counted, which for a dataset reads all of it.
        collator (`Callable`, *optional*):
            Makes a batch of rows, padded or padding-free. Default: padded on the right.
        fused (`bool`, *optional*, defaults to `False`):
            Whether the model has TRL's fused language-model head, which holds no logits of a whole batch; TRL's
            trainers give it to theirs. It must be at temperature 1: see [`head_at_temperature_1`].
        accelerator ([`~accelerate.Accelerator`], *optional*):
            Of the processes that share the work; all must have the same rows.
        folder (`Path`, *optional*):
            Where partial results are kept; without it they are not.
        key (*optional*):
            Tells these rows from others of the same lengths. Default: all their tokens.

    Returns:
        `FloatArray`, shape `(n,)`: nats per trained token, the same on every process; NaN for a row without any.
    """
    if len(rows) == 0:
        return np.empty(0)
    if length is None:
        length = np.array([len(row["input_ids"]) for row in rows], np.int64)
    device = accelerator.device if accelerator is not None else next(model.parameters()).device

    def measure(batch: IntArray) -> FloatArray:
        inputs = collator(_take(rows, batch.tolist()))
        inputs = {k: value.to(device) if isinstance(value, torch.Tensor) else value for k, value in inputs.items()}
        with accelerator.autocast() if accelerator is not None else nullcontext():
            log_p, trained = _log_probs(model, inputs, fused)
        sums = sum_per_sequence(torch.stack([-log_p, trained], dim=-1), inputs, len(batch))
        nll, count = sums.double().cpu().numpy().T
        return np.divide(nll, count, out=np.full(len(batch), np.nan), where=count > 0)[:, None]

    world = accelerator.num_processes if accelerator is not None else 1
    with measuring(model):
        loss = measure_in_batches(
            by_length(length, batch_tokens),
            measure,
            n=len(rows),
            columns=1,
            folder=folder,
            name="row_loss",
            key=fingerprint((batch_tokens, world, length, rows if key is None else key), model) if folder else "",
            desc="Measuring losses",
            accelerator=accelerator,
            disable_tqdm=disable_tqdm,
        )
    return loss[:, 0]


def _take(rows: Any, which: list[int]) -> list[Any]:
    return rows.__getitems__(which) if hasattr(rows, "__getitems__") else [rows[k] for k in which]


def _log_probs(model: Any, inputs: dict[str, Any], fused: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each next token, and 1 where it is trained on, 0 elsewhere; each `(batch, tokens - 1)`."""
    if fused:
        output = model(**inputs, use_cache=False, fused_lm_head=True)
        return output.log_probs.float(), output.label_mask.float()
    given, labels = {name: value for name, value in inputs.items() if name != "labels"}, inputs["labels"][:, 1:]
    logits = model(**given, use_cache=False).logits[:, :-1].float()
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    return -loss, (labels != -100).float()


def prompt_entropies(model: Any, prompts: list[list[int]], accelerator: Any = None) -> list[FloatArray]:
    """
    Entropy of the next-token distribution at every token of prompts in nats, shape `(T,)` each, by one forward of a
    model with TRL's fused head, see [`fused_head`]: logits of a whole batch are never held.
    """
    device = accelerator.device if accelerator is not None else next(model.parameters()).device
    ids, mask = (tensor.to(device) for tensor in pad_ids(prompts))
    labels = ids.masked_fill(mask == 0, -100)  # which tokens they are does not matter: every position is scored
    with accelerator.autocast() if accelerator is not None else nullcontext():
        output = model(input_ids=ids, attention_mask=mask, shift_labels=labels, use_cache=False, fused_lm_head=True)
    entropy = output.entropy.double().cpu().numpy()
    return [row[: len(prompt)] for row, prompt in zip(entropy, prompts, strict=True)]


@contextmanager
def head_at_temperature_1(trainer: Any) -> Iterator[None]:
    """GRPO's fused head divides logits by the rollouts' temperature; a loss is the model's own."""
    if trainer.temperature == 1:
        yield
        return
    with fused_head(trainer.accelerator.unwrap_model(trainer.model), trainer.args.cast_lm_head_to_fp32):
        yield


@contextmanager
def fused_head(model: Any, cast_to_fp32: bool = False) -> Iterator[None]:
    """Gives a model TRL's fused head at temperature 1, with entropies, in place of the one that it may have."""
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = vars(model).get("forward")  # of a trainer's model; others have that of their class
    add_fused_lm_head(model, cast_lm_head_to_fp32=cast_to_fp32, outputs=("log_probs", "entropy"))
    try:
        yield
    finally:
        if before is None:
            del model.forward
        else:
            model.forward = before
