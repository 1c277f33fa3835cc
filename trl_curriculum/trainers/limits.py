"""Limits of the numbers among TRL's own arguments, which are checked before anything is worked out from them."""

import numbers
from collections.abc import Mapping
from typing import Any

from ..options import check_number, shorten


COUNT: dict[str, float] = {"least": 1}
SIZE: dict[str, float] = {"least": 0}
POSITIVE: dict[str, float] = {"above": 0}
SHARE: dict[str, float] = {"above": 0, "most": 1}
SHARE_OR_NONE: dict[str, float] = {"least": 0, "most": 1}
SEED: dict[str, float] = {"least": 0, "most": 2**32 - 1}
BETA: dict[str, float] = {"least": 0, "below": 1}

WHOLE: dict[str, Mapping[str, float]] = {
    "per_device_train_batch_size": COUNT,
    "per_device_eval_batch_size": COUNT,
    "gradient_accumulation_steps": COUNT,
    "eval_accumulation_steps": COUNT,
    "save_total_limit": COUNT,
    "seed": SEED,
    "data_seed": SEED,
    "dataloader_num_workers": SIZE,
    "ddp_timeout": COUNT,
    # GRPO
    "num_generations": {"least": 2},
    "num_generations_eval": COUNT,
    "num_iterations": COUNT,
    "steps_per_generation": COUNT,
    "generation_batch_size": COUNT,
    "max_completion_length": COUNT,
    "top_k": SIZE,
    "vllm_tensor_parallel_size": COUNT,
    "vllm_max_model_length": COUNT,
    # SFT
    "max_length": COUNT,
    "pad_to_multiple_of": COUNT,
    "dataset_num_proc": COUNT,
    "max_tokens": COUNT,
}
ANY: dict[str, Mapping[str, float]] = {
    "num_train_epochs": POSITIVE,
    "learning_rate": SIZE,
    "weight_decay": SIZE,
    "adam_beta1": BETA,
    "adam_beta2": BETA,
    "adam_epsilon": SIZE,
    "max_grad_norm": SIZE,
    "warmup_steps": SIZE,
    "warmup_ratio": SHARE_OR_NONE,
    "label_smoothing_factor": SHARE_OR_NONE,
    "logging_steps": POSITIVE,
    "eval_steps": POSITIVE,
    "save_steps": POSITIVE,
    "eval_delay": SIZE,
    # GRPO
    "temperature": POSITIVE,
    "top_p": SHARE,
    "min_p": SHARE_OR_NONE,
    "repetition_penalty": POSITIVE,
    "beta": SIZE,
    "epsilon": SIZE,
    "epsilon_high": SIZE,
    "delta": POSITIVE,
    "off_policy_mask_threshold": SIZE,
    "top_entropy_quantile": SHARE_OR_NONE,
    "vllm_gpu_memory_utilization": SHARE,
    "vllm_importance_sampling_cap": POSITIVE,
}


def refuse_out_of_range(args: Any) -> None:
    """
    Refuses arguments of training that are no numbers, or out of range.

    Args:
        args ([`~transformers.TrainingArguments`]):
            Of which those that it has are checked; `None` is a default of TRL's.

    Raises:
        `ValueError`: with one sentence that names the argument, its value and what is allowed; `TypeError` on a wrong
        type.
    """
    for table, kind, word in ((WHOLE, numbers.Integral, "a whole number"), (ANY, numbers.Real, "a number")):
        for name, limits in table.items():
            value = getattr(args, name, None)
            if name == "pad_to_multiple_of" and isinstance(value, str):
                value = _number_or_word(value)
            if value is None:
                continue
            where = f"{name}={shorten(value)}"
            if isinstance(value, bool) or not isinstance(value, kind):
                raise TypeError(f"{where} must be {word}.")
            check_number(value, limits, where)
    steps = getattr(args, "max_steps", -1)
    if isinstance(steps, bool) or not isinstance(steps, numbers.Integral):
        raise TypeError(f"max_steps={shorten(steps)} must be a whole number.")
    if steps < 1 and steps != -1:
        raise ValueError(f"max_steps={steps} must be at least 1, or -1 for as many as num_train_epochs has.")


def _number_or_word(text: str) -> int | str | None:
    """`pad_to_multiple_of` as TRL reads a text; `auto` leaves it to TRL."""
    if text.isascii() and text.isdecimal():
        return int(text)
    return None if text.lower() in ("auto", "none", "null") else text
