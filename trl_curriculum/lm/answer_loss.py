"""Loss of reference answers given their prompts, for trainers that do not train on answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from trl.trainer.utils import add_fused_lm_head

from ..disk.partial import by_length, fingerprint, measure_in_batches
from ..signals import FloatArray
from .tap import measuring, per_sequence


def answer_loss(
    trainer: Any, prompts: list[list[int]], answers: list[list[int]], batch_tokens: int, folder: Any
) -> FloatArray:
    """
    Measures the loss of reference answers with a trainer's current weights.

    Args:
        trainer ([`CurriculumGRPOTrainer`]):
            Whose model is used.
        prompts, answers (`list[list[int]]`):
            Token ids, without padding.
        batch_tokens (`int`):
            Tokens of one forward, padding included; at least one row is taken.
        folder (`Path`):
            Where partial results are kept.

    Returns:
        `FloatArray`, shape `(n,)`: nats per token of the answer, the same on every process; NaN for an empty one.
    """
    length = np.array([len(p) + len(a) for p, a in zip(prompts, answers, strict=True)], np.int64)

    def measure(batch: Any) -> FloatArray:
        ids = torch.zeros(len(batch), int(length[batch].max()), dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for i, k in enumerate(batch):
            begin, end = len(prompts[k]), int(length[k])
            ids[i, :end] = torch.tensor(prompts[k] + answers[k])
            mask[i, :end] = 1
            labels[i, begin:end] = ids[i, begin:end]
        inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        inputs = {name: value.to(trainer.accelerator.device) for name, value in inputs.items()}
        with trainer.accelerator.autocast():
            output = trainer.model(**inputs, use_cache=False, fused_lm_head=True)
        nll, _, count = per_sequence(output, inputs, len(batch)).double().cpu().numpy().T
        return np.divide(nll, count, out=np.full(len(batch), np.nan), where=count > 0)[:, None]

    with measuring(trainer.model), _at_temperature_1(trainer):
        loss = measure_in_batches(
            by_length(length, batch_tokens),
            measure,
            n=len(prompts),
            columns=1,
            folder=folder,
            name="answer_loss",
            key=fingerprint((batch_tokens, trainer.accelerator.num_processes, prompts, answers), trainer.model),
            desc="Measuring losses",
            accelerator=trainer.accelerator,
            disable_tqdm=trainer.args.disable_tqdm,
        )
    return loss[:, 0]


@contextmanager
def _at_temperature_1(trainer: Any) -> Iterator[None]:
    """GRPO's fused head divides logits by the rollouts' temperature; a loss is the model's own."""
    if trainer.temperature == 1:
        yield
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    forward = model.forward
    add_fused_lm_head(model, cast_lm_head_to_fp32=trainer.args.cast_lm_head_to_fp32, outputs=("log_probs", "entropy"))
    try:
        yield
    finally:
        model.forward = forward
