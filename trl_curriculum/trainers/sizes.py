"""The sizes of a run before it begins: its steps, and the rows that are drawn at once, as TRL counts them."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """
    Sizes of a run.

    Args:
        steps (`int`, *optional*):
            Optimizer steps.
        rows (`int`, *optional*):
            Rows that are drawn at once (GRPO: prompts).
        per_batch (`float`):
            Optimizer steps that are made of rows drawn at once.
        exact (`bool`):
            Whether steps and rows are counted, and not estimated from lengths.
        trial (`bool`):
            Whether `max_steps` sets its length. It may be a trial of a longer run: a curriculum that acts later on
            is warned of and not refused.
        largest (`float`, *optional*):
            Largest mean |advantage| of an arm, where there is a bound.
        of_prompts (`bool`):
            Whether rows are prompts, drawn for a generation, which may serve several steps.
    """

    steps: int | None
    rows: int | None
    per_batch: float = 1.0
    exact: bool = True
    trial: bool = False
    largest: float | None = None
    of_prompts: bool = False

    @property
    def batches(self) -> int | None:
        """How often rows are drawn."""
        return None if self.steps is None else math.ceil(self.steps / self.per_batch - 1e-9)

    def step(self, batch: int) -> int:
        """The optimizer step, counted from 1, before which a batch, counted from 1, is drawn."""
        return math.floor((batch - 1) * self.per_batch + 1e-9) + 1


def grpo_run(args: Any, size: int, processes: int) -> Run:
    """The sizes of a GRPO run over `size` rows, as TRL counts them."""
    rollouts = args.per_device_train_batch_size * processes * args.steps_per_generation
    prompts = max(1, rollouts // args.num_generations)
    per_generation = args.steps_per_generation * args.num_iterations / args.gradient_accumulation_steps
    steps = args.max_steps
    if steps <= 0:
        per_epoch = max(1, int(max(1, size // prompts) * per_generation))
        steps = math.ceil(args.num_train_epochs * per_epoch)
    by_group = args.scale_rewards in ("group", True)  # divided by the standard deviation of the group
    group = args.num_generations
    largest = math.sqrt((group - 1) / group) if by_group and group > 1 else None
    return Run(steps, prompts, per_generation, trial=args.max_steps > 0, largest=largest, of_prompts=True)


def sft_run(args: Any, size: int, processes: int, tokens: int | None = None) -> Run:
    """The sizes of an SFT run over `size` rows of so many `tokens` in all, where these are counted."""
    batches, trial = args.gradient_accumulation_steps * processes, args.max_steps > 0
    rows, by_rows = args.per_device_train_batch_size * batches, not args.packing and args.max_tokens is None
    if tokens is None and not by_rows:
        return Run(args.max_steps if trial else None, None if args.packing else rows, exact=False, trial=trial)
    if args.packing:
        rows = max(1, round(args.per_device_train_batch_size * args.max_length * batches * size / tokens))
    if args.max_tokens is not None:
        steps = math.ceil(args.max_tokens / (rows * tokens / size))
        steps = min(steps, args.max_steps) if trial else steps
    elif trial:
        steps = args.max_steps
    else:
        round_to = math.floor if args.dataloader_drop_last and not args.packing else math.ceil
        steps = math.ceil(args.num_train_epochs * max(1, round_to(size / rows)))
    return Run(steps, rows, exact=by_rows, trial=trial)
