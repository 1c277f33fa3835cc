"""Losses of many rows at once, by a forward without training."""

from pathlib import Path
from typing import Any

import numpy as np

from ..disk.partial import by_length, fingerprint, measure_in_batches
from ..signals import FloatArray, IntArray
from .tap import measuring, per_sequence


def pool_loss(trainer: Any, rows: IntArray, length: IntArray, batch_tokens: int, folder: Path) -> FloatArray:
    """
    Measures the loss of rows of a trainer's dataset with its current weights.

    Rows are batched by length and shared out among the processes. What is measured is kept in `folder` until all is
    done: a run that is killed in between goes on from there, if rows and weights are the same.

    Args:
        trainer ([`CurriculumSFTTrainer`]):
            Whose model, dataset and collator are used.
        rows (`IntArray`, shape `(n,)`):
            Positions in the dataset.
        length (`IntArray`, shape `(n,)`):
            Tokens of each.
        batch_tokens (`int`):
            Tokens of one forward, padding included; at least one row is taken.
        folder (`Path`):
            Where partial results are kept.

    Returns:
        `FloatArray`, shape `(n,)`: nats per trained token, the same on every process.
    """
    with measuring(trainer.model):
        loss = measure_in_batches(
            by_length(length, batch_tokens),
            lambda batch: _losses(trainer, rows[batch])[:, None],
            n=len(rows),
            columns=1,
            folder=folder,
            name="pool_loss",
            key=fingerprint((batch_tokens, trainer.accelerator.num_processes, rows, length), trainer.model),
            desc="Measuring losses",
            accelerator=trainer.accelerator,
            disable_tqdm=trainer.args.disable_tqdm,
        )
    return loss[:, 0]


def _losses(trainer: Any, rows: IntArray) -> FloatArray:
    batch = trainer._prepare_inputs(trainer.collate(rows))
    with trainer.compute_loss_context_manager():
        output = trainer.model(**batch, use_cache=False, fused_lm_head=True)
    nll, _, count = per_sequence(output, batch, len(rows)).double().cpu().numpy().T
    return np.divide(nll, count, out=np.full(len(rows), np.nan), where=count > 0)
