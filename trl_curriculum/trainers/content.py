"""Which columns training reads: by these a row is known again when a run goes on with changed data."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from ..rewards.golds import GOLDS, gold_column


OF_PROMPTS = ("prompt", "messages", "conversations", "tools", "chat_template_kwargs", "image", "images")
OF_TOKENS = ("completion", "text", "input_ids", "attention_mask", "position_ids", "seq_lengths", "labels")
OF_MASKS = ("completion_mask", "assistant_masks")
OF_CONVERSATIONS = ("chosen", "rejected")


def golds_of(args: Any, reward_funcs: Sequence[Any], dataset: Any) -> list[str]:
    """Columns that may hold right answers, the likeliest first: those that rewards read, and others of such names."""
    read = [gold_column(function, dataset) for function in reward_funcs]
    named = [getattr(args, "answer_column", None), *read, *GOLDS]
    return [name for name in dict.fromkeys(named) if name is not None]


def columns_of_sft(args: Any) -> list[str]:
    """Columns that SFT makes tokens of."""
    return [*OF_PROMPTS, *OF_TOKENS, *OF_MASKS, *OF_CONVERSATIONS, args.dataset_text_field]


def columns_of_grpo(args: Any, reward_funcs: Any, columns: Sequence[str]) -> list[str] | None:
    """
    Columns that GRPO makes prompts of, those that its rewards name as their arguments, and that of answers.

    Args:
        args ([`CurriculumGRPOConfig`]):
            The arguments.
        reward_funcs:
            As the trainer is given them.
        columns (`Sequence[str]`):
            Of the dataset.

    Returns:
        `None` where a reward may take any column, since it names none and takes `**kwargs`.
    """
    found = [*OF_PROMPTS, *([args.answer_column] if args.answer_column is not None else [])]
    for one in reward_funcs if isinstance(reward_funcs, list | tuple) else [reward_funcs]:
        function = getattr(one, "judge", one)  # one of ours hands its columns on
        if isinstance(one, str | torch.nn.Module) or not callable(function):  # a model reads texts alone
            continue
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return None
        named = [parameter.name for parameter in parameters if parameter.name in columns]
        takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
        if takes_any and not named:
            return None
        found += named
    return found
