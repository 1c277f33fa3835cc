"""Joins rollouts of several generations and processes: the tensors that TRL makes of them, at one width."""

import math
from typing import Any

import torch
from accelerate.utils import gather

from .shaping import ENTROPY, OLD_LOGPS


Output = dict[str, Any]  # what TRL's _generate_and_score_completions returns, of this process

# What fills rows that are shorter than others, as TRL pads: prompts at the left, all else at the right.
PROMPT = {"prompt_ids", "prompt_mask"}
COMPLETION = {
    "completion_ids": 0,
    "completion_mask": 0,
    "tool_mask": 1,
    OLD_LOGPS: 0.0,
    "ref_per_token_logps": 0.0,
    "sampling_per_token_logps": 0.0,
    "importance_sampling_ratio": 1.0,
    ENTROPY: 0.0,
}


def refuse_unknown(output: Output) -> None:
    """
    Refuses rollouts with tensors whose padding is not known here.

    Raises:
        `RuntimeError`: naming one.
    """
    for name, value in output.items():
        known = name in PROMPT or name in COMPLETION
        if not isinstance(value, torch.Tensor) or (value.ndim > 1 and not known):
            raise RuntimeError(
                f"TRL's rollouts have {name!r}, which trl_curriculum cannot move between batches: train without "
                "methods of rollouts."
            )


def joined(before: list[Output], tries: list[Output], trainer: Any) -> Output:
    """
    One tensor a name, of rollouts that every process holds alike and then of those of several tries, gathered.

    Args:
        before (`list` of `dict`):
            The former, on any device.
        tries (`list` of `dict`):
            This process's part of each try.
        trainer ([`~trl.GRPOTrainer`]):
            Its `accelerator` and `processing_class`.
    """
    whole: Output = {}
    for name, value in tries[0].items():
        if value.ndim > 0:
            fill, left = fill_of(name, trainer.processing_class), name in PROMPT
            parts = [one[name].to(value.device) for one in before]
            parts += [_everyones(one[name], fill, left, trainer.accelerator) for one in tries]
            whole[name] = torch.cat(at_one_width(parts, fill, left) if value.ndim > 1 else parts)
    return whole


def trimmed(output: Output, prompt: int, completion: int, unit: int) -> Output:
    """Cuts columns that no rollout needs, as the longest has so many tokens; widths are multiples of `unit`."""
    prompt, completion = (-(-width // unit) * unit for width in (prompt, completion))
    cut = dict(output)
    for name, value in output.items():
        if name in PROMPT:
            cut[name] = value[:, -prompt:]
        elif name in COMPLETION and value.shape[1:] != (1,):
            cut[name] = value[:, :completion]
    return cut


def wide(output: Output) -> Output:
    """The tensors of an output a rollout, with log-probabilities: NaN where the current model is who has made them."""
    rollouts = {name: value for name, value in output.items() if value.ndim > 0}
    if OLD_LOGPS not in rollouts:
        ids = output["completion_ids"]
        rollouts[OLD_LOGPS] = torch.full(ids.shape, math.nan, device=ids.device)
    return rollouts


def fill_of(name: str, tokenizer: Any) -> Any:
    """What pads a tensor."""
    if name in ("prompt_ids", "completion_ids"):
        return getattr(tokenizer, "tokenizer", tokenizer).pad_token_id
    return COMPLETION.get(name, 0)


def _everyones(part: torch.Tensor, fill: Any, left: bool, accelerator: Any) -> torch.Tensor:
    if part.ndim > 1:
        part = accelerator.pad_across_processes(part, dim=1, pad_index=fill, pad_first=left)
    return gather(part.contiguous())


def at_one_width(parts: list[torch.Tensor], fill: Any, left: bool, unit: int = 1) -> list[torch.Tensor]:
    """Pads tensors of shape `(rollouts, tokens)` to the width of the widest, rounded up to a multiple of `unit`."""
    width = -(-max(part.shape[1] for part in parts) // unit) * unit
    pads = [(width - part.shape[1], 0) if left else (0, width - part.shape[1]) for part in parts]
    return [torch.nn.functional.pad(part, pad, value=fill) for part, pad in zip(parts, pads, strict=True)]
