"""SFT whose rows are chosen at the moment they are trained on."""

import logging
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import IntervalStrategy, SchedulerType, TrainerCallback
from transformers.trainer_utils import SaveStrategy
from trl import SFTTrainer

from ..curricula import Curriculum, Draw
from ..curricula.base import NOTHING
from ..lm.losses import row_losses
from ..lm.tap import FusedHeadTap, check_sequences_are_apart, count_tokens, per_sequence
from ..probes.prompts import prompt_of
from ..signals import SHOWS, Feedback, FloatArray, IntArray
from .checks import (
    refuse_parallelism,
    refuse_unknown_format,
    refuse_unsupported,
    refuse_vision,
    refuse_void,
    say_what_was_not_tried,
)
from .config import CurriculumSFTConfig, own_config, prefix_entropy_of
from .mixin import CurriculumMixin, Ticks
from .packing import best_fit


logger = logging.getLogger(__name__)

FILL = 0.97  # share of a step's token budget from which on no more rows are drawn for it
POSITION = "curriculum_row"  # column that carries a row's place in the user's dataset through TRL's preparation


class CurriculumSFTTrainer(CurriculumMixin, SFTTrainer):
    """
    [`~trl.SFTTrainer`] in which a curriculum picks the rows of every optimizer step, right before it.

    The dataloader only keeps time. Losses and entropies of the rows come from the forward that trains on them, and
    the curriculum has seen all earlier ones when it draws.

    With `packing=True` rows are drawn first and packed then: a device's batch is one padding-free sequence of at most
    `per_device_train_batch_size * max_length` tokens, filled best-fit over all batches of the optimizer step. What
    does not fit waits for the next step, where it comes first. A packed epoch has as many optimizer steps as the
    tokens of the dataset fill.

    Args:
        model, args, train_dataset, ...:
            As in [`~trl.SFTTrainer`]; `args` is a [`CurriculumSFTConfig`].
        curriculum (`str`, `type[Curriculum]` or [`Curriculum`], *optional*):
            Overrides `args.curriculum`: a name, a class, or an instance made over the same rows.

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
    _name = "Curriculum SFT"
    shows = SHOWS["SFT"]
    _positions: IntArray

    def __init__(
        self,
        model: Any,
        args: CurriculumSFTConfig | None = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        *positional: Any,
        curriculum: str | type[Curriculum] | Curriculum | None = None,
        **kwargs: Any,
    ) -> None:
        args = own_config(args, model, CurriculumSFTConfig, "CurriculumSFTTrainer", "SFT")
        refuse_unsupported(args, train_dataset)
        refuse_void(args, shuffle_dataset=False, auto_find_batch_size=False)
        if "formatting_func" not in kwargs and not positional:
            refuse_unknown_format(train_dataset.column_names, args.dataset_text_field)
        self._try_curriculum(curriculum, args, train_dataset)  # mistakes are told before everything is tokenized
        if POSITION in train_dataset.column_names:
            raise ValueError(f"The dataset has a column {POSITION!r}, a name that the trainer needs; rename yours.")
        given = train_dataset.add_column(POSITION, np.arange(len(train_dataset)))
        self._given, self._n_given = given, len(given)
        super().__init__(model, args, data_collator, given, *positional, **kwargs)
        del self._given
        refuse_parallelism(self.accelerator.parallelism_config)
        refuse_vision(self._is_vision_dataset)
        say_what_was_not_tried(self)
        self._set_up_rows()
        made = [name for name in ("input_ids", "labels") if name not in train_dataset.column_names]
        self._set_up_curriculum(curriculum, args, self.train_dataset.remove_columns(made))
        self._source = train_dataset
        self._set_up_probe()
        self._set_up_tokens()
        if not args.packing:
            self._warn_of_small_arms(args.per_device_train_batch_size * self._batches_per_step)
        self._start_from(None, {})
        self._checked_apart = False

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        # Rows of the training set are packed when they are drawn; TRL only tokenizes and truncates them.
        if dataset is getattr(self, "_given", None):
            names = ("processing_class", "args", "packing", "formatting_func", "dataset_name")
            kwargs |= dict(zip(names, args, strict=False)) | {"packing": False}
            args = ()
        return super()._prepare_dataset(dataset, *args, **kwargs)

    def _set_up_rows(self) -> None:
        """Finds each row's place in the user's dataset, and leaves out rows without a token to train on."""
        rows = self.train_dataset
        if POSITION not in rows.column_names:
            raise RuntimeError(f"TRL has dropped the column {POSITION!r} while it prepared the dataset.")
        if "input_ids" not in rows.column_names:
            raise ValueError("The dataset has no column 'input_ids', which skip_prepare_dataset=True asks for.")
        position = rows.select_columns(POSITION).with_format("numpy")[:][POSITION]
        length, trained = count_tokens(rows)
        kept = np.flatnonzero(trained > 0)
        rows = rows.remove_columns(POSITION)
        if len(kept) < self._n_given:
            if len(kept) == 0:
                raise ValueError(
                    f"None of the {self._n_given} rows has a token to train on: all are masked, for example because "
                    f"prompts are longer than max_length={self.args.max_length}."
                )
            logger.warning(
                "%d of %d rows have no token to train on and are left out (max_length=%s).",
                self._n_given - len(kept),
                self._n_given,
                self.args.max_length,
            )
            rows = rows.select(kept) if len(kept) < len(rows) else rows
        self.train_dataset = rows
        self._set_signature_columns_if_needed()
        read = self._signature_columns or [] if self.args.remove_unused_columns else rows.column_names
        self._rows = rows.select_columns([name for name in rows.column_names if name in read])
        self._positions, self._length = position[kept], length[kept]
        if self.args.packing and self._length.max() > self.args.max_length:
            longest = int(self._length.argmax())
            raise ValueError(
                f"Row {self._positions[longest]} has {self._length[longest]} tokens and max_length is "
                f"{self.args.max_length}: rows that are given tokenized must be truncated before."
            )

    def _set_up_tokens(self) -> None:
        self._tokens = 0
        budget = self.args.max_tokens
        if budget is None:
            return
        if self.lr_scheduler is not None:
            raise ValueError(
                "max_tokens schedules the learning rate over tokens, but a scheduler was given; leave it out and set "
                "lr_scheduler_type."
            )
        if self.args.max_steps < 1:  # more steps than the shortest rows need
            if self.args.packing:
                least = self._capacity * self._batches_per_step // 2
            else:
                least = int(self._length.min()) * self.args.per_device_train_batch_size * self._batches_per_step
            self.args.max_steps = budget // least + 1
        self.add_callback(_StopAtBudget(self))

    @property
    def _batches_per_step(self) -> int:
        """Device batches of one optimizer step, over all processes."""
        return self.args.gradient_accumulation_steps * self.accelerator.num_processes

    @property
    def _capacity(self) -> int:
        """Tokens of a packed device batch."""
        return self.args.per_device_train_batch_size * self.args.max_length

    # Binding: the dataloader gives ticks, the curriculum the rows.

    def get_train_dataloader(self) -> Any:
        per_batch = self.args.per_device_train_batch_size
        if self.args.packing:
            steps = math.ceil(self._length.sum(dtype=np.int64) / (self._capacity * self._batches_per_step))
        else:
            round_to = math.floor if self.args.dataloader_drop_last else math.ceil
            steps = max(1, round_to(len(self.train_dataset) / (per_batch * self._batches_per_step)))
        rows, collator = self.train_dataset, self.data_collator
        self.train_dataset, self.data_collator = Ticks(steps * self._batches_per_step * per_batch), _no_batch
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
        self._drawn, batches = self._draw_batches(ticks * world)
        self._will_train_on(self._drawn)
        # Each process takes neighbouring batches: with as many in all, any number of processes trains on the same.
        self._parts = [np.concatenate(batches[k * ticks : (k + 1) * ticks]) for k in range(world)]
        self._batches = batches[rank * ticks : (rank + 1) * ticks]
        self._shown: list[torch.Tensor] = []
        collated = (self._collate(rows) for rows in self._batches)
        samples = super().get_batch_samples(collated, ticks, device)
        self._tokens += int(self._length[self._drawn.row].sum())
        if self.args.max_tokens is not None:  # the scheduler steps by one after the optimizer, and shall stand there
            assert self.lr_scheduler is not None
            self.lr_scheduler.last_epoch = self._tokens - 1
        return samples

    def _collate(self, rows: IntArray) -> Any:
        return self.data_collator(self._rows.__getitems__(rows.tolist()))

    def _draw_batches(self, n: int) -> tuple[Draw, list[IntArray]]:
        """Draws for the `n` device batches of a step, and the rows of each; draws are in the order of the batches."""
        if not self.args.packing:
            draw = self._draw(n * self.args.per_device_train_batch_size)
            return draw, np.split(draw.row, n)
        budget, waited = n * self._capacity, len(self.curriculum.waiting)
        draw, mean, filled, drawn = NOTHING, 4 * self._length.mean(), 0, 0  # it may prefer rows longer than most
        # More is drawn than fits, so that gaps which long rows leave are filled; but not without end.
        while filled < FILL * budget and drawn < 1.5 * budget:
            draw = draw + self._draw(math.ceil((budget - filled) / mean))
            length = self._length[draw.row]
            place = best_fit(length, self._capacity, n, waited)
            mean, filled, drawn = length.mean(), int(length[place >= 0].sum()), int(length.sum())
        self.curriculum.put_back(draw[place < 0])
        order = np.argsort(place, kind="stable")[(place < 0).sum() :]
        draw, place = draw[order], place[order]
        return draw, np.split(draw.row, np.searchsorted(place, np.arange(1, n)))

    # Feedback: from the forward that trains on the rows.

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        tap = FusedHeadTap(model)
        loss = super().compute_loss(tap, inputs, return_outputs, num_items_in_batch)
        self._shown.append(per_sequence(tap.output, inputs, len(self._batches[len(self._shown)])))
        if len(self._shown) == len(self._batches):
            self._observe_step()
        return loss

    def _observe_step(self) -> None:
        nll, entropy, count = self._gather_checked(self._parts, *torch.cat(self._shown).T)
        trained = count > 0
        loss, entropy = (
            np.divide(sums, count, out=np.full(len(sums), np.nan), where=trained) for sums in (nll, entropy)
        )
        self._look_for_nan(trained & ~np.isfinite(loss), trained)
        draw = self._drawn
        loss[~np.isfinite(loss)] = np.nan
        self._observe(
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

    def _look_for_nan(self, broken: np.ndarray, trained: np.ndarray) -> None:
        if not broken.any():
            return
        rows = sorted(set(self._positions[self._drawn.row[broken]].tolist()))
        text = f"{', '.join(map(str, rows[:5]))}{', ...' if len(rows) > 5 else ''}"
        if (broken == trained).all():
            raise FloatingPointError(
                f"All losses of step {self.state.global_step} are nan or infinite (rows {text}): the model has "
                "diverged, or these rows are broken; resume from a checkpoint before with a smaller learning rate."
            )
        logger.warning(
            "The loss of rows %s is nan or infinite at step %d: the curriculum learns nothing from them, but their "
            "gradient is not a number either; take them out of the dataset.",
            text,
            self.state.global_step,
        )

    def _loss_of(self, rows: IntArray) -> tuple[FloatArray, int]:
        length = self._length[rows]
        loss = row_losses(
            self.model,
            self._rows.select(rows),
            self.args.probe_batch_tokens,
            length=length,
            collator=self.data_collator,
            fused=True,
            accelerator=self.accelerator,
            folder=self._probe.folder,
            key=rows,
            disable_tqdm=self.args.disable_tqdm,
        )
        return loss, int(length.sum())

    def _prompts(self, rows: Any) -> list[Any]:
        given = self._source.__getitems__(self._positions[np.asarray(rows)].tolist())
        prompts = [prompt_of(row) for row in given]
        missing = [int(self._positions[k]) for k, prompt in zip(rows, prompts, strict=True) if prompt is None]
        if not missing:
            return prompts
        if len(missing) < len(prompts):
            raise ValueError(f"Row {missing[0]} has neither a prompt nor messages, as others have; give it one.")
        if prefix_entropy_of(self.args).text_before():
            raise ValueError(
                "quick_answer asks for a short answer to a question, but the rows have neither a prompt nor messages; "
                "set quick_answer: null in probe_kwargs to take the tokens before the first one that is trained on."
            )
        return [self._tokens_before(row) for row in self._rows.__getitems__(np.asarray(rows).tolist())]

    def _tokens_before(self, row: dict[str, Any]) -> list[int]:
        labels = row.get("labels")
        if labels is None or labels[0] != -100:
            raise ValueError(
                "A prefix entropy is that of an answer to a prompt, but these rows are trained on from their first "
                "token; give them as prompt and completion, or as messages."
            )
        return row["input_ids"][: next(k for k, label in enumerate(labels) if label != -100)]

    # Tokens

    def _progress(self) -> float:
        if self.args.max_tokens is None:
            return super()._progress()
        return min(self._tokens / self.args.max_tokens, 1.0)

    def _has_ended(self) -> bool:
        return super()._has_ended() or self._progress() >= 1

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.args.max_tokens is None:
            return super().create_scheduler(num_training_steps, optimizer)
        scheduler = super().create_scheduler(self.args.max_tokens, optimizer)
        if not isinstance(scheduler, LambdaLR):
            raise ValueError(
                f"lr_scheduler_type={SchedulerType(self.args.lr_scheduler_type).value!r} cannot follow tokens, which "
                "max_tokens asks for; choose one that depends on the step alone, such as 'linear' or 'cosine'."
            )
        return scheduler

    # State

    def train(self, *args: Any, **kwargs: Any) -> Any:
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled  # no forward before the model is wrapped
        if self.padding_free and not self._checked_apart and not sharded:
            longest = np.argsort(-self._length, kind="stable")[:2].tolist()
            rows = self._rows.__getitems__([longest[0], longest[-1]])
            with self.accelerator.autocast():
                check_sequences_are_apart(self.model, self.data_collator, rows)
            self._checked_apart = True
        return super().train(*args, **kwargs)

    def _trainer_state(self) -> dict[str, Any]:
        return super()._trainer_state() | {"tokens": self._tokens}

    def _start_from(self, checkpoint: Path | None, state: dict[str, Any]) -> None:
        self._tokens = self._total_train_tokens = state.get("tokens", 0)  # TRL's own count starts at 0 otherwise
        super()._start_from(checkpoint, state)


def _no_batch(features: list[Any]) -> dict[str, Any]:
    return {}


class _StopAtBudget(TrainerCallback):
    """Ends training with the optimizer step that reaches `max_tokens`."""

    def __init__(self, trainer: CurriculumSFTTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self.trainer._tokens >= args.max_tokens:
            control.should_training_stop = True
            control.should_save = control.should_save or args.save_strategy == SaveStrategy.STEPS
            evaluates = args.eval_strategy == IntervalStrategy.STEPS
            control.should_evaluate = control.should_evaluate or evaluates
        return control
