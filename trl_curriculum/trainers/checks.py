"""What a curriculum trainer refuses, in one sentence and before training starts, and what was not tried."""

import logging
from itertools import pairwise
from typing import Any

from datasets import Dataset, IterableDataset
from trl import SFTConfig

from ..curricula import ArmCurriculum, Order
from ..pool import Pool
from ..probes import PROBES
from ..registry import nearest
from ..rollouts import RolloutMethod
from ..shaping import Shaper
from ..shaping.base import has


logger = logging.getLogger(__name__)


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
    if isinstance(train_dataset, IterableDataset) or not hasattr(train_dataset, "__len__"):
        raise TypeError(
            "train_dataset is a stream without a length, and a curriculum must be able to reach every row; load it "
            "without streaming."
        )
    if not isinstance(train_dataset, Dataset):
        raise TypeError(f"train_dataset is a {type(train_dataset).__name__}; pass a datasets.Dataset.")
    if len(train_dataset) == 0:
        raise ValueError("The dataset is empty: a curriculum needs at least one row to choose from.")
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


def without_empty_images(dataset: Dataset) -> Dataset:
    """
    The dataset without columns for images that hold none.

    Raises:
        `ValueError`: for images, naming the column and the first row that has one.
    """
    for name in {"image", "images"} & set(dataset.column_names):
        for row, value in enumerate(dataset.with_format(None).select_columns(name)[name]):
            if value is not None and value != []:
                raise ValueError(
                    f"The column {name!r} holds images (row {row} is the first): vision-language models are not "
                    "supported; use TRL's own trainer, or remove the column to train on the text alone."
                )
        dataset = dataset.remove_columns(name)
    return dataset


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
    """Warns, once at the start, of back ends that should work and were never run."""
    for enabled, name in ((trainer.is_deepspeed_enabled, "DeepSpeed ZeRO"), (trainer.is_fsdp_enabled, "FSDP")):
        if enabled:
            logger.warning(
                "%s was not tried with trl_curriculum: every process holds its own rows there as under DDP, so it "
                "should work; check that curriculum/probability is the same in a run under DDP.",
                name,
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
    if method.options.get("optimizer") == "reset" and trainer.is_deepspeed_enabled:
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


def warn_of_arms(conductor: Any, args: Any, batch: int | None) -> None:
    """Warns of a single arm, and of arms that are smaller than the `batch` rows that are drawn at once."""
    pool = conductor.pool
    if args.arms is not None and pool.n_arms == 1 and pool.estimated is None:
        logger.warning("arms %s has one value: a single arm leaves nothing to choose.", args.arms)
    small = [name for name, size in zip(pool.arm_names, pool.arm_size, strict=True) if batch and size < batch]
    if small and pool.n_arms > 1 and isinstance(conductor.curriculum, ArmCurriculum):
        logger.warning(
            "%d arms have fewer rows than a batch has (%d), for example %r: when such an arm is favoured a row can "
            "come twice in a batch; curriculum/repeated_rows counts it.",
            len(small),
            batch,
            small[0],
        )


def refuse_unfit(methods: tuple[RolloutMethod, ...], shapers: tuple[Shaper, ...], args: Any) -> None:
    """Refuses methods of rollouts and shapers that cannot work with the trainer's arguments, or with each other."""
    trainer = "SFT" if isinstance(args, SFTConfig) else "GRPO"
    both: tuple[tuple[str, tuple[Any, ...]], ...] = (("rollout method", methods), ("shaper", shapers))
    for family, chosen in both:
        names = [method.name for method in chosen]
        for method in chosen:
            if names.count(method.name) > 1:
                raise ValueError(f"The {family} {method.name!r} is given twice: leave one out.")
            if trainer not in method.trainers:
                raise ValueError(
                    f"The {family} {method.name!r} is for {', '.join(method.trainers)}: leave it out of {trainer}."
                )
            method.refuse(args)
    refuse_unshapable(shapers, args)


def refuse_unshapable(shapers: tuple[Shaper, ...], args: Any) -> None:
    """Refuses shapers that do not go together, or whose hooks the arguments leave without effect."""
    for before, shaper in pairwise(shapers):
        if shaper.replaces:
            raise ValueError(
                f"The advantages of {shaper.name!r} do not depend on those that it is given, so that {before.name!r} "
                "before it has no effect: name it first, and no second of its kind."
            )
    for shaper in shapers:
        adds = has(shaper.bind(Pool(1), 0), "reward")
        if adds and getattr(args, "multi_objective_aggregation", "") == "normalize_then_sum":
            raise ValueError(
                f"The shaper {shaper.name!r} adds to the sum of the rewards, which multi_objective_aggregation="
                "'normalize_then_sum' never makes: use 'sum_then_normalize'."
            )
    if shapers and getattr(args, "label_smoothing_factor", 0) > 0:
        raise ValueError(
            f"label_smoothing_factor={args.label_smoothing_factor} makes a loss in which tokens cannot be weighed: "
            "leave it out, or the shaping."
        )


def refuse_own_loss(shapers: tuple[Shaper, ...], compute_loss_func: Any) -> None:
    """Refuses shapers in SFT beside a loss function of the user's."""
    if shapers and compute_loss_func is not None:
        raise ValueError(
            "compute_loss_func makes a loss in which tokens cannot be weighed: leave it out, or the shaping."
        )


def refuse_unknown_outcome(methods: tuple[Any, ...], reward_names: list[str]) -> None:
    """Refuses a method whose option `outcome` names no reward function."""
    for method in methods:
        name = getattr(method, "outcome", None)
        if name is not None and name not in reward_names:
            raise ValueError(
                f"{method.name} decides by outcome={name!r}, which is no reward function"
                f"{nearest(name, reward_names)}: choose one of {', '.join(reward_names)}."
            )
        if name is not None and reward_names.count(name) > 1:
            raise ValueError(
                f"{method.name} decides by outcome={name!r}, and {reward_names.count(name)} reward functions have "
                "this name: give them names of their own (__name__)."
            )
