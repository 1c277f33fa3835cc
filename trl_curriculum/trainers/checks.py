"""What a curriculum trainer refuses, in one sentence and before training starts, and what was not tried."""

import logging
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import SFTConfig

from ..curricula import ArmCurriculum, Order
from ..data.names import alike, listed, shown
from ..data.streams import streams_of
from ..probes import PROBES
from .evaluation import MEANS
from .steppers import check_optimizer


logger = logging.getLogger(__name__)

TIMES = ("runtime", "samples_per_second", "steps_per_second")


def refuse_unsupported(args: Any, train_dataset: Any) -> None:
    """
    Raises on what cannot work and on options that would silently have no effect.

    Raises:
        `ValueError` or `TypeError`, with one sentence that names the option and what to do.
    """
    if train_dataset is None:
        raise ValueError(
            "A curriculum chooses among the rows of a dataset, but train_dataset is None; pass a datasets.Dataset "
            "(an environment that owns its data needs TRL's own trainer)."
        )
    streams = streams_of(train_dataset)
    if streams is None and not isinstance(train_dataset, Dataset):
        raise TypeError(
            f"train_dataset is a {type(train_dataset).__name__}; pass a datasets.Dataset, or a "
            "datasets.IterableDataset, or a mapping of several by their names."
        )
    if streams is None and len(train_dataset) == 0:
        raise ValueError("The dataset is empty: a curriculum needs at least one row to choose from.")
    check_optimizer(args)
    refuse_shrinking_batches(args)
    for name, instead in (
        ("split_batches", "per_device_train_batch_size counts the rows of each process"),
        ("dispatch_batches", "no process waits for another's rows"),
    ):
        if getattr(args.accelerator_config, name, None):
            raise ValueError(
                f"accelerator_config.{name}=True has no effect, because every process picks its own rows ({instead}); "
                "leave it out."
            )


def refuse_unknown_format(columns: list[str], text: str) -> None:
    """Refuses an SFT dataset in none of TRL's formats, of which TRL would say only which key it missed."""
    formats = ({"messages"}, {"conversations"}, {"prompt", "completion"}, {text}, {"input_ids"})
    if not any(needed <= set(columns) for needed in formats):
        raise ValueError(
            f"The dataset has the columns {', '.join(columns)}, which is none of TRL's formats: it takes messages, "
            f"prompt and completion, {text} (dataset_text_field), or input_ids; rename yours."
        )


def refuse_other_orders(args: Any, method: Any) -> None:
    """
    Refuses arguments that order or batch rows otherwise than the curriculum does.

    An order that is asked for (`shuffle_dataset=False` of GRPO, `train_sampling_strategy="sequential"`) is what
    `order` gives, and rows that shall be shuffled (`shuffle_dataset=True` of SFT) are no other to all but `order`.
    """
    is_order, is_sft = isinstance(method, Order), isinstance(args, SFTConfig)
    strategy = getattr(args, "train_sampling_strategy", "random")
    shuffles = args.shuffle_dataset
    asked = [] if is_sft or shuffles else ["shuffle_dataset=False"]
    asked += ["train_sampling_strategy='sequential'"] if strategy == "sequential" else []
    if asked and not is_order:
        raise ValueError(
            f"{asked[0]} asks for the order of the dataset, and the curriculum {method.name!r} picks the rows: leave "
            "it out, or set curriculum='order' and difficulty_column to a column that counts the rows."
        )
    if is_sft and shuffles and is_order:
        raise ValueError(
            "shuffle_dataset=True asks for shuffled rows, and the curriculum 'order' keeps an order: leave one out."
        )
    if strategy not in ("random", "sequential"):
        raise ValueError(
            f"train_sampling_strategy={getattr(strategy, 'value', strategy)!r} makes batches by length, and the "
            f"curriculum {method.name!r} picks the rows: leave it out"
            + (" (packing=True saves the padding)." if is_sft else ".")
        )


def refuse_shrinking_batches(args: Any) -> None:
    """Refuses to train again with smaller batches when one did not fit: the curriculum has seen half a run by then."""
    if args.auto_find_batch_size:
        raise ValueError(
            "auto_find_batch_size=True starts training over when a batch does not fit in memory, after the curriculum "
            "has drawn and observed rows: set per_device_train_batch_size to what fits, and "
            "gradient_accumulation_steps to make up for it."
        )


def refuse_vision(is_vision: bool) -> None:
    """Refuses vision-language models."""
    if is_vision:
        raise ValueError(
            "The model is a vision-language model (its processing class is a processor): these are not supported; use "
            "TRL's own trainer, or give a tokenizer as processing_class to train its text model."
        )


def refuse_parallelism(parallelism: Any) -> None:
    """Refuses layouts in which several processes share one process's data."""
    for name, size in (("tensor", "tp_size"), ("context", "cp_size"), ("sequence", "sp_size")):
        if parallelism is not None and getattr(parallelism, size, 1) > 1:
            raise ValueError(
                f"{size}={getattr(parallelism, size)}: with {name} parallelism several processes share rows, which "
                "is not supported; use data parallelism (DDP)."
            )


def say_what_was_not_tried(trainer: Any) -> None:
    """Warns, once at the start, of a back end that should work and was never run, and of one that saves no model."""
    state = trainer.accelerator.state
    if trainer.is_fsdp_enabled and state.fsdp_plugin.fsdp_version == 1:
        logger.warning("Version 1 of FSDP was not tried with trl_curriculum, and version 2 was: set fsdp_version: 2.")
    if trainer.is_deepspeed_enabled and state.deepspeed_plugin.zero_stage == 3:
        sharding = state.deepspeed_plugin.deepspeed_config.get("zero_optimization", {})
        if not sharding.get("stage3_gather_16bit_weights_on_model_save"):
            logger.warning(
                "ZeRO-3 leaves shards in place of a model where stage3_gather_16bit_weights_on_model_save is not set "
                "(zero3_save_16bit_model of accelerate): set it to true, or make the model by DeepSpeed's "
                "zero_to_fp32.py."
            )


def refuse_unseen(method: Any, shows: tuple[str, ...], trainer: str) -> None:
    """Refuses a curriculum that follows what a trainer does not show."""
    lacking = sorted(set(method.follows) - set(shows))
    if lacking:
        raise ValueError(
            f"Curriculum {method.name!r} as it is set up follows the {lacking[0]}, but {trainer} shows only "
            f"{', '.join(shows)}; choose another with `trl-curriculum methods`."
        )


def refuse_unmeasured(method: Any, args: Any) -> None:
    """Refuses a curriculum that asks for a loss which the trainer has no answers for."""
    if method.probe == "loss" and getattr(args, "answer_column", "") is None:
        raise ValueError(
            f"Curriculum {method.name!r} as it is set up asks for the loss of rows, and GRPO's rows have no answers "
            "to measure it on; set answer_column to the column with reference answers."
        )


def refuse_fresh_optimizer(method: Any, trainer: Any) -> None:
    """Refuses to start rounds with a fresh optimizer where another engine holds its state."""
    if getattr(method, "optimizer", None) == "reset" and trainer.is_deepspeed_enabled:
        raise ValueError(
            f"Curriculum {method.name!r} starts every round with a fresh optimizer, whose state DeepSpeed holds; set "
            "optimizer: keep in its options."
        )


def warn_of_probe(method: Any, args: Any) -> None:
    """Warns of a probe that is set up and that the curriculum does not ask for."""
    probe = args.probe_method
    if probe is not None and not (method.probe and isinstance(probe, PROBES.get(method.probe))):
        measures = f"asks for {method.probe!r}" if method.probe else "measures nothing"
        logger.warning("probe %r has no effect: curriculum %r %s.", probe.name, method.name, measures)


def warn_of_arms(curriculum: Any, args: Any, batch: int | None) -> None:
    """
    Warns of a single arm, of arms that hardly repeat or are smaller than the `batch` rows that are drawn at once, and
    of names that a person takes for the same.
    """
    pool = curriculum.pool
    if args.arms is None or pool.estimated is not None:
        return
    chooses, n = curriculum.outlook(None, batch).by_arm, pool.n_arms
    if n == 1:
        logger.warning("arms %s has one value: a single arm leaves nothing to choose.", args.arms)
    small = int((pool.arm_size < batch).sum()) if batch else 0
    if n > 1 and chooses and 2 * n > pool.size:
        logger.warning(
            "arms %s makes %d arms of %d rows: an arm is a category of many rows, and curriculum %r learns nothing of "
            "one from the others; name a column with fewer values.",
            *(args.arms, n, pool.size, curriculum.method.name),
        )
    elif n > 1 and small and isinstance(curriculum, ArmCurriculum):
        logger.warning(
            "%d arms have fewer rows than a batch has (%d), for example %r: when such an arm is favoured a row can "
            "come twice in a batch; curriculum/repeated_rows counts it.",
            *(small, batch, shown(pool.arm_names[int((pool.arm_size < batch).argmax())])),
        )
    warn_of_names(pool.arm_names, f"arms {args.arms}")


def warn_of_names(names: Sequence[str], what: str) -> None:
    """Warns, in one sentence, of names that are blank and of names that a person takes for the same."""
    blank = sum(not name.strip() for name in names)
    pairs = alike(names)
    odd = [f"{a!r} and {b!r}" for a, b in pairs] + (["a blank name"] if blank else [])
    if odd:
        logger.warning(
            "%s: %s; these are arms of their own, so if they are meant to be the same (or to be filled), mend the "
            "column.",
            *(what, listed(odd, 3)),
        )


def refuse_unevaluated(args: Any, eval_dataset: Any, computes_metrics: bool = False) -> None:
    """
    Refuses an evaluation without rows, and a best model by a metric that no evaluation reports.

    Args:
        args ([`~transformers.TrainingArguments`]):
            The run's arguments.
        eval_dataset (`Dataset` or `dict[str, Dataset]`, *optional*):
            Rows that are evaluated on.
        computes_metrics (`bool`, *optional*, defaults to `False`):
            Whether the user computes metrics, which are then not known here.
    """
    strategy = getattr(args.eval_strategy, "value", args.eval_strategy)
    sets = eval_dataset if isinstance(eval_dataset, dict) else {} if eval_dataset is None else {"": eval_dataset}
    if strategy == "no":
        return
    if not sets:
        raise ValueError(
            f"eval_strategy={strategy!r} evaluates on held-out rows, and there are none: give eval_dataset (in a "
            "recipe a test split, which dataset_test_split names, test_split_size cuts off or test_tasks makes), or "
            "set eval_strategy: no."
        )
    empty = [name for name, rows in sets.items() if hasattr(rows, "__len__") and len(rows) == 0]
    if empty:
        name = f" {shown(empty[0])}" if empty[0] else ""
        raise ValueError(f"eval_dataset{name} has no rows: give some, or set eval_strategy: no.")
    metric = args.metric_for_best_model
    values = MEANS if hasattr(args, "num_generations") else ("loss",)  # GRPO reports rewards too
    reported = [
        "_".join(filter(None, ("eval", name, what)))
        for name in dict.fromkeys(("", *sets))  # and the mean of several sets
        for what in (*values, *(TIMES if name in sets else ()))
    ]
    wanted = metric if metric is None or metric.startswith("eval_") else f"eval_{metric}"
    if wanted is not None and wanted not in reported and not computes_metrics:
        followed = [name for name in reported if name.endswith(values)]
        option = "load_best_model_at_end" if args.load_best_model_at_end else "metric_for_best_model"
        raise ValueError(
            f"{option} follows the metric {wanted!r}, which no evaluation of this run reports: set "
            f"metric_for_best_model to {listed(followed)}."
        )
