"""SFT whose rows are chosen at the moment they are trained on."""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trl import SFTTrainer

from ..data.rendered import window_of
from ..data.reserved import without_images
from ..lm.tap import FusedHeadTap, check_sequences_are_apart, per_sequence
from ..pool import Pool
from ..signals import Feedback, IntArray
from .agreement import check_arguments
from .arguments import own_config
from .checks import (
    refuse_other_orders,
    refuse_parallelism,
    refuse_unevaluated,
    refuse_unknown_format,
    refuse_unsupported,
    refuse_vision,
    say_what_was_not_tried,
)
from .clock import ClockDataset
from .config import CurriculumSFTConfig
from .content import columns_of_sft
from .fit import refuse_own_loss
from .mixin import CurriculumMixin
from .outlook import refuse_one_arm
from .packing import draw_packed
from .row_checks import FORMATS, TRAINING, SFTChecks, with_roles_in, without_images_in
from .sft_host import SFTHost
from .sft_rows import SFTRows, look_for_nan, with_positions
from .sft_streams import StreamedSFTRows
from .shaped_head import ShapedHead
from .sizes import Run, sft_run
from .token_budget import TokenBudget


class CurriculumSFTTrainer(CurriculumMixin, SFTTrainer):
    """
    [`~trl.SFTTrainer`] in which a curriculum picks the rows of every optimizer step, right before it.

    The dataloader only keeps time. Losses and entropies of the rows come from the forward that trains on them, and
    the curriculum has seen all earlier ones when it draws.

    With `packing=True` rows are drawn first and packed then: a device's batch is one padding-free sequence of at most
    `per_device_train_batch_size * max_length` tokens, filled best-fit over all batches of the optimizer step. What
    does not fit waits for the next step, where it comes first. A packed epoch has as many optimizer steps as the
    tokens of the dataset fill.

    `train_dataset` may be streams: a `datasets.IterableDataset`, or several by their names, each of which is an arm
    (see [`~.streamed.StreamedRows`]).

    Args:
        model, args, train_dataset, ...:
            As in [`~trl.SFTTrainer`]; `args` is a [`CurriculumSFTConfig`], or TRL's or transformers' own, whose
            curriculum is `uniform` unless one is given here.
        curriculum (`str`, `dict` or [`~trl_curriculum.curricula.CurriculumMethod`], *optional*):
            Overrides `args.curriculum`.
        shaping (`list`, *optional*):
            Overrides `args.shaping`: names, `dict`s and [`~trl_curriculum.shaping.Shaper`]s.

    Example:

    ```python
    from trl_curriculum import CurriculumSFTConfig, CurriculumSFTTrainer

    trainer = CurriculumSFTTrainer(
        model="Qwen/Qwen3-1.7B-Base",
        args=CurriculumSFTConfig(curriculum="evo_curate"),
        train_dataset=dataset,
    )
    trainer.train()
    ```
    """

    _tag_names = ["trl", "sft", "trl-curriculum"]

    def __init__(
        self,
        model: Any,
        args: CurriculumSFTConfig | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        *positional: Any,
        curriculum: Any = None,
        shaping: Any = None,
        **kwargs: Any,
    ) -> None:
        args = own_config(args, model, CurriculumSFTConfig, "CurriculumSFTTrainer", "SFT")
        refuse_unsupported(args, train_dataset)
        self.streams = StreamedSFTRows.of(args, train_dataset)
        train_dataset = train_dataset if self.streams is None else self.streams.head  # which stands for all their rows
        train_dataset, eval_dataset = without_images(train_dataset, TRAINING), without_images_in(eval_dataset)
        whole_rows = kwargs.get("formatting_func") is None and not positional
        if whole_rows:
            train_dataset, eval_dataset = (with_roles_in(rows, *FORMATS) for rows in (train_dataset, eval_dataset))
            refuse_unknown_format(train_dataset.column_names, args.dataset_text_field)
        refuse_unevaluated(args, eval_dataset, bool(kwargs.get("compute_metrics")))
        check_arguments(args, train_dataset, eval_dataset)
        self.host = SFTHost(self)
        method, made = self._method(curriculum, args), self._rollouts_and_shapers(None, shaping, args)
        refuse_other_orders(args, method)
        refuse_own_loss(made[1], kwargs.get("compute_loss_func"))
        # Mistakes in columns are found before everything is tokenized.
        streamed = None if self.streams is None else self.streams.make_pool(args, made)
        pool = streamed or Pool.from_dataset(train_dataset, args.arms, args.difficulty_column, hash_rows=False)
        refuse_one_arm(method.bind(pool), args)
        self._checks = SFTChecks(with_positions(train_dataset), args, whole_rows)
        given = self._checks.given.dataset
        super().__init__(model, args, data_collator, given, eval_dataset, *positional, **kwargs)
        refuse_parallelism(self.accelerator.parallelism_config)
        refuse_vision(self._is_vision_dataset)
        say_what_was_not_tried(self)
        window = window_of(self.model.config)
        self.rows = SFTRows(train_dataset, self.train_dataset, args, self._checks.given, window)
        self.train_dataset = self.rows.dataset
        self._set_signature_columns_if_needed()
        columns: list[str] | None = (self._signature_columns or []) if args.remove_unused_columns else None
        self.rows.read_only(columns)
        if self.streams is not None:
            self.streams.read_for(self, self._checks, columns, window)
        all_columns = "formatting_func" in kwargs or positional or not args.remove_unused_columns
        content = None if all_columns else columns_of_sft(args)
        self._set_up(method, made, args, self.rows.without_tokens(), self.rows.position, train_dataset, content)
        self.budget = TokenBudget(args.max_tokens, self.lr_scheduler)
        rows_per_step = args.per_device_train_batch_size * self._batches_per_step
        packed = args.packing and self._capacity * self._batches_per_step // 2
        self.budget.limit_steps(args, packed or int(self.rows.length.min()) * rows_per_step)
        self.add_callback(self.budget)
        self._set_up_probe(None if args.packing else rows_per_step)
        self._start_from(None, {})
        self._checked_apart = False

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        prepare = super()._prepare_dataset
        if self.streams is not None and dataset is self._checks.given.dataset:
            prepare = self.streams.preparing(prepare)
        return self._checks.prepare(prepare, self.chat_template, dataset, *args, **kwargs)

    @property
    def _batches_per_step(self) -> int:
        """Device batches of one optimizer step, over all processes."""
        return self.args.gradient_accumulation_steps * self.accelerator.num_processes

    @property
    def _capacity(self) -> int:
        """Tokens of a packed device batch."""
        return self.args.per_device_train_batch_size * self.args.max_length

    def _run(self) -> Run:
        if self.streams is not None:
            return sft_run(self.args, 0, self.accelerator.num_processes)
        length = self.rows.length
        return sft_run(self.args, len(length), self.accelerator.num_processes, int(length.sum(dtype=np.int64)))

    @property
    def left_out(self) -> int | None:
        return None if self.streams is not None else len(self.rows.source) - len(self.rows.length)

    @property
    def found(self) -> dict[str, str]:
        lines = self.rows.found(self.processing_class, self.args.max_length)
        if self.streams is not None:  # of which these are the first rows alone
            lines.pop("longest")
        return lines

    # The dataloader gives ticks, the curriculum the rows.

    def get_train_dataloader(self) -> Any:
        per_batch = self.args.per_device_train_batch_size
        if self.streams is not None:
            steps = self.args.max_steps
        elif self.args.packing:
            steps = math.ceil(self.rows.length.sum(dtype=np.int64) / (self._capacity * self._batches_per_step))
        else:
            round_to = math.floor if self.args.dataloader_drop_last else math.ceil
            steps = max(1, round_to(len(self.train_dataset) / (per_batch * self._batches_per_step)))
        rows, collator = self.train_dataset, self.data_collator
        self.train_dataset = ClockDataset(steps * self._batches_per_step * per_batch)
        self.data_collator = _no_batch
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset, self.data_collator = rows, collator

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        ticks = 0 if self._has_ended() else sum(1 for _ in islice(epoch_iterator, num_batches))
        if ticks == 0:
            return super().get_batch_samples(iter(()), 0, device)
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        if self.args.packing:
            draw, batches = draw_packed(self.conductor, self.rows.length, self._capacity, ticks * world)
        else:
            draw = self.conductor.draw(ticks * world * self.args.per_device_train_batch_size)
            batches = np.split(draw.row, ticks * world)
        self.conductor.will_train_on(draw)
        if self.streams is not None:
            self.streams.drawn(draw.row)
        # Each process takes neighbouring batches: with as many in all, any number of processes trains on the same.
        self._drawn, self._batches = draw, batches[rank * ticks : (rank + 1) * ticks]
        self._parts = [np.concatenate(batches[k * ticks : (k + 1) * ticks]) for k in range(world)]
        self._shown: list[torch.Tensor] = []
        samples = super().get_batch_samples((self.collate(rows) for rows in self._batches), ticks, device)
        if self.streams is None:  # whose rows are counted by TRL alone
            self.budget.spend(int(self.rows.length[draw.row].sum()), self.lr_scheduler)
        return samples

    def collate(self, rows: IntArray) -> Any:
        """A device batch of rows of the pool."""
        given = self.rows[rows] if self.streams is None else self.streams.__getitems__(rows.tolist())
        return self.data_collator(given)

    # Feedback: from the forward that trains on the rows.

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        tap = FusedHeadTap(model)
        micro_step = self.state.global_step * self.args.gradient_accumulation_steps + len(self._shown)
        shaped = ShapedHead(tap, self.shaping, micro_step) if self.shaping.shapes_tokens else tap
        loss = super().compute_loss(shaped, inputs, return_outputs, num_items_in_batch)
        self._shown.append(per_sequence(tap.output, inputs, len(self._batches[len(self._shown)])))
        if len(self._shown) == len(self._batches):
            self._observe_step()
        return loss

    def _observe_step(self) -> None:
        nll, entropy, count = self.conductor.gather_checked(self._parts, *torch.cat(self._shown).T)
        trained = count > 0
        loss, entropy = (
            np.divide(sums, count, out=np.full(len(sums), np.nan), where=trained) for sums in (nll, entropy)
        )
        draw = self._drawn
        position = self.rows.position[draw.row] if self.streams is None else draw.row
        look_for_nan(position, trained & ~np.isfinite(loss), trained, self.state.global_step)
        loss[~np.isfinite(loss)] = np.nan
        self.conductor.observe(
            draw,
            Feedback(
                row=draw.row,
                draw=draw.id,
                step=self.state.global_step,
                length=count.astype(np.int64),
                loss=loss,
                entropy=entropy,
            ),
        )

    # Tokens

    def _has_ended(self) -> bool:
        return super()._has_ended() or self.budget.progress == 1

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.args.max_tokens is None:
            return super().create_scheduler(num_training_steps, optimizer)
        scheduler = super().create_scheduler(self.args.max_tokens, optimizer)
        return self.budget.check_scheduler(scheduler, self.args.lr_scheduler_type)

    # State

    def train(self, *args: Any, **kwargs: Any) -> Any:
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled  # no forward before the model is wrapped
        if self.padding_free and not self._checked_apart and not sharded:
            longest = np.argsort(-self.rows.length, kind="stable")[:2]
            with self.accelerator.autocast():
                check_sequences_are_apart(self.model, self.data_collator, self.rows[longest[[0, -1]]])
            self._checked_apart = True
        return super().train(*args, **kwargs)

    def _trainer_state(self) -> dict[str, Any]:
        state = super()._trainer_state()
        if self.streams is None:
            return state | {"tokens": self.budget.tokens}
        return state | {"tokens": self._total_train_tokens, "streams": self.streams.state_dict()}

    def _start_from(self, checkpoint: Path | None, state: dict[str, Any]) -> None:
        self.budget.tokens = self._total_train_tokens = state.get("tokens", 0)  # TRL's own count starts at 0 otherwise
        super()._start_from(checkpoint, state)
        if self.streams is not None and checkpoint is not None:
            self.streams.load_state_dict(state.get("streams"))


def _no_batch(features: list[Any]) -> dict[str, Any]:
    return {}
