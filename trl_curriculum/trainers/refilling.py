"""Fills a generation batch in several tries, and moves its rows between processes."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather

from ..rollouts import RolloutMethod
from ..signals import BoolArray, IntArray, Rollouts
from .shaping import ENTROPY, refuse_changed


DISCARDED = "discarded_tokens"  # of completions that were generated and not trained on
Output = dict[str, Any]  # what TRL's _generate_and_score_completions returns, of this process

# What fills rows that are shorter than others, as TRL pads: prompts at the left, all else at the right.
PROMPT = {"prompt_ids", "prompt_mask"}
COMPLETION = {
    "completion_ids": 0,
    "completion_mask": 0,
    "tool_mask": 1,
    "old_per_token_logps": 0.0,
    "ref_per_token_logps": 0.0,
    "sampling_per_token_logps": 0.0,
    "importance_sampling_ratio": 1.0,
    ENTROPY: 0.0,
}


class Refilling:
    """
    Generates until a batch has as many groups as it needs that all rollout methods keep.

    Args:
        methods (`tuple` of [`RolloutMethod`]):
            Those that say which groups are kept, and how many tries there are.
        trainer ([`~trl.GRPOTrainer`]):
            Its `accelerator`, `args` and `processing_class`.
    """

    def __init__(self, methods: tuple[RolloutMethod, ...], trainer: Any) -> None:
        self.methods, self.trainer = methods, trainer
        self.tries = max((getattr(method, "tries", 1) for method in methods), default=1)
        self._since_log: dict[str, list[float]] = defaultdict(list)

    def generate(self, attempt: Callable[[int], tuple[Output, Rollouts]], n: int) -> tuple[Output, Rollouts]:
        """
        Returns a batch of `n` groups.

        Args:
            attempt:
                Draws so many rows, generates, scores, and shows the curriculum what came of them; returns the outputs
                of this process and the rollouts of all.
            n (`int`):
                Groups that the batch needs.
        """
        output, rollouts = attempt(n)
        if not self.methods:
            return output, rollouts
        outputs, kept, tries = [output], self._kept(rollouts), 1
        size = len(rollouts) // n  # of a group
        while kept.sum() < n and tries < self.tries:
            output, more = attempt(self._divisible(n - int(kept.sum()), size))
            outputs.append(output)
            rollouts, kept, tries = rollouts + more, np.r_[kept, self._kept(more)], tries + 1
        self._since_log["tries"].append(tries)
        self._since_log["generated_per_kept"].append(len(kept) / max(1, min(kept.sum(), n)))
        self._since_log["frac_filled_up"].append(max(0, n - kept.sum()) / n)
        if tries == 1:
            self._since_log[DISCARDED].append(0.0)
            return outputs[0], rollouts
        chosen = np.sort(np.argsort(~kept, kind="stable")[:n])  # kept groups, then others, as they were drawn
        rows = (chosen[:, None] * size + np.arange(size)).ravel()
        self._since_log[DISCARDED].append(float(rollouts.length.sum() - rollouts.length[rows].sum()))
        return self._join(outputs, rollouts, rows), rollouts[rows]

    def _kept(self, rollouts: Rollouts) -> BoolArray:
        kept = [method.keep(rollouts) for method in self.methods]
        return np.logical_and.reduce(kept)

    def _divisible(self, missing: int, size: int) -> int:
        """Groups that are at least those missing and whose rollouts the processes share equally."""
        world = self.trainer.accelerator.num_processes
        unit = world // math.gcd(world, size)
        return -(-missing // unit) * unit

    def _join(self, outputs: list[Output], rollouts: Rollouts, rows: IntArray) -> Output:
        """Of the rollouts of all tries and processes, this process's share of those at `rows`."""
        accelerator, device = self.trainer.accelerator, outputs[0]["advantages"].device
        mine = np.split(rows, accelerator.num_processes)[accelerator.process_index]
        index = torch.as_tensor(mine, device=device)
        joined: Output = {}
        for name, value in outputs[0].items():
            known = name in PROMPT or name in COMPLETION
            if not isinstance(value, torch.Tensor) or (value.ndim > 1 and not known):
                raise RuntimeError(
                    f"TRL's rollouts have {name!r}, which trl_curriculum cannot move between batches: train without "
                    "refill."
                )
            if value.ndim > 0:
                joined[name] = self._gathered(name, [output[name] for output in outputs])[index]
        self._trim(joined, int(joined["prompt_mask"].sum(1).max()), int(rollouts.length[mine].max()))
        if self.trainer.args.scale_rewards == "batch":  # its standard deviation is that of the whole batch
            part = rollouts[rows]
            advantage = part.advantages_of(part.reward)
            local = np.split(advantage, accelerator.num_processes)[accelerator.process_index]
            joined["advantages"] = torch.as_tensor(local).to(joined["advantages"])
        mask = joined["completion_mask"] * joined.get("tool_mask", 1)
        joined["num_items_in_batch"] = gather(mask.sum()).sum()
        return joined

    def _gathered(self, name: str, parts: list[torch.Tensor]) -> torch.Tensor:
        """A tensor of all tries, each gathered from all processes, at one width."""
        accelerator = self.trainer.accelerator
        fill = COMPLETION.get(name, 0)
        if name in ("prompt_ids", "completion_ids"):
            tokenizer = self.trainer.processing_class
            fill = getattr(tokenizer, "tokenizer", tokenizer).pad_token_id
        left = name in PROMPT
        whole = []
        for part in parts:
            if part.ndim > 1:
                part = accelerator.pad_across_processes(part, dim=1, pad_index=fill, pad_first=left)
            whole.append(gather(part.contiguous()))
        if parts[0].ndim > 1:
            width = max(part.shape[1] for part in whole)
            pads = [(width - part.shape[1], 0) if left else (0, width - part.shape[1]) for part in whole]
            whole = [torch.nn.functional.pad(part, pad, value=fill) for part, pad in zip(whole, pads, strict=True)]
        return torch.cat(whole)

    def _trim(self, joined: Output, prompt: int, completion: int) -> None:
        """Takes away columns that none of this process's rollouts needs."""
        unit = self.trainer.args.pad_to_multiple_of or 1
        prompt, completion = (-(-width // unit) * unit for width in (prompt, completion))
        for name, value in joined.items():
            if name in PROMPT:
                joined[name] = value[:, -prompt:]
            elif name in COMPLETION and value.shape[1:] != (1,):
                joined[name] = value[:, :completion]

    def metrics(self) -> dict[str, float]:
        """What was seen since the last call, by the key under which it is logged: means, and a sum of tokens."""
        values = {
            f"rollouts/{name}": float(np.sum(seen) if name == DISCARDED else np.mean(seen))
            for name, seen in self._since_log.items()
        }
        self._since_log.clear()
        return values

    def state_dict(self) -> dict[str, Any]:
        """Which methods there are: they learn nothing."""
        return {method.name: method.options for method in self.methods}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Makes sure that the run goes on as it began.

        Raises:
            `StateError`: if the methods or their options are others now.
        """
        refuse_changed("rollouts", state, self.state_dict())
