"""Cuts completions that were made and scored, and scores what is left of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather
from trl.chat_template_utils import parse_response

from ..rollouts import RolloutMethod
from ..signals import BoolArray, IntArray, Rollouts


class Cutting:
    """
    Cuts what methods of rollouts cut, as a mask: what stands before keeps its log-probabilities.

    Args:
        methods (`tuple` of [`RolloutMethod`]):
            Those that override `truncate`.
        trainer:
            A curriculum trainer, which scores.
    """

    def __init__(self, methods: tuple[RolloutMethod, ...], trainer: Any) -> None:
        self.methods, self.trainer = methods, trainer

    def cut(self, output: dict[str, Any], rollouts: Rollouts) -> tuple[Rollouts, BoolArray]:
        """
        Cuts the completions in `output`, those of this process, and sets their advantages.

        Args:
            output (`dict`):
                Of TRL's `_generate_and_score_completions`.
            rollouts ([`Rollouts`]):
                Of all processes, so that all of them cut and score again, or none.

        Returns:
            `tuple[Rollouts, BoolArray]`: what is left of all processes' rollouts, and which of them were cut. Groups
            in which nothing was cut keep their rewards.
        """
        kept = rollouts.length
        for method in self.methods:
            kept = np.minimum(kept, np.maximum(1, method.truncate(rollouts)))
        cut = kept < rollouts.length
        if not cut.any():
            return rollouts, cut
        accelerator = self.trainer.accelerator
        n = len(output["advantages"])
        own = slice(accelerator.process_index * n, (accelerator.process_index + 1) * n)
        output["completion_mask"] = self._mask(output["completion_mask"], kept[own])
        mask = output["completion_mask"] * output.get("tool_mask", 1)
        output["num_items_in_batch"] = gather(mask.sum()).sum()
        self._score(output, kept[own])
        left = self._left(rollouts, kept, cut)
        output["advantages"] = torch.as_tensor(left.advantage[own]).to(output["advantages"])
        output.update(self.trainer.shaping.read_off)
        return left, cut

    def _mask(self, mask: torch.Tensor, kept: IntArray) -> torch.Tensor:
        position = torch.arange(mask.shape[1], device=mask.device)
        return mask * (position < torch.as_tensor(kept, device=mask.device)[:, None])

    def _score(self, output: dict[str, Any], kept: IntArray) -> None:
        """Has TRL score this process's completions with what is left of their tokens."""
        trainer = self.trainer
        inputs, prompts, completions, ids = trainer._given
        left = [one[:most] for one, most in zip(ids, kept, strict=True)]
        texts = list(completions)
        for k, one in enumerate(left):
            if len(one) < len(ids[k]):
                prefix = output["prompt_ids"][k][output["prompt_mask"][k].bool()].tolist()
                texts[k] = self._decode(one, prefix, isinstance(completions[k], str))
        trainer._calculate_rewards(inputs, prompts, texts, left)
        trainer._pending_extra_logs.clear()  # TRL would log them with the next generation
        trainer._pending_metrics.clear()

    def _decode(self, ids: list[int], prefix: list[int], is_text: bool) -> Any:
        """A completion as TRL reads it off its tokens."""
        tokenizer = self.trainer._tokenizer
        if is_text:
            return tokenizer.decode(ids, skip_special_tokens=True)
        if any(getattr(tokenizer, name, None) is not None for name in ("response_template", "response_schema")):
            return [parse_response(tokenizer, ids, prefix=prefix)]
        return [{"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}]

    def _left(self, rollouts: Rollouts, kept: IntArray, cut: BoolArray) -> Rollouts:
        """The rollouts with what the second scoring gave to the groups in which something was cut."""
        again = np.isin(rollouts.draw, rollouts.draw[cut])
        rewards, reward = self.trainer._rewards()
        reward = np.where(again, reward, rollouts.reward)
        before = rollouts.rewards or {}
        advantage = rollouts.advantages_of(reward)
        if rollouts.scale != "batch":  # whose spread is that of all rewards
            advantage = np.where(again, advantage, rollouts.advantage)
        return replace(
            rollouts,
            reward=reward,
            rewards={name: np.where(again, rewards[name], value) for name, value in before.items()},
            advantage=advantage,
            length=kept,
            truncated=None if rollouts.truncated is None else rollouts.truncated | cut,
        )
