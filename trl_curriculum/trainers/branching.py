"""Makes some completions of a group by branching them off the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from trl.models.utils import disable_gradient_checkpointing

from ..rollouts import RolloutMethod
from ..signals import BoolArray, FloatArray


Ids = list[list[int]]


class Branching:
    """
    Generates the first completions of each group as ever, and the others as continuations of their beginnings.

    Args:
        method ([`RolloutMethod`]):
            Says where others branch off, and by `first` how many do not.
        trainer ([`~trl.GRPOTrainer`]):
            A curriculum trainer, whose model continues.
        seed (`int`):
            Of all random choices.
    """

    def __init__(self, method: RolloutMethod, trainer: Any, seed: int) -> None:
        self.method, self.trainer, self.seed = method, trainer, seed
        self.first: int = method.first  # type: ignore[attr-defined]

    def generate(self, single_turn: Callable[..., Any], forward: Callable[..., Any], prompts: Ids, group: int) -> Ids:
        """
        Completions of this process's prompts, group by group: the first ones, then those that branch off each.

        Args:
            single_turn, forward (`Callable`):
                TRL's `_generate_single_turn` and `_get_per_token_logps_and_entropies`.
            prompts (`list[list[int]]`):
                Token ids, as often as there shall be completions.
            group (`int`):
                Completions of a prompt.
        """
        if len(prompts) % group:
            raise RuntimeError(
                f"{self.method.name} needs whole groups on each process, and {len(prompts)} rollouts are no multiple "
                f"of num_generations={group}: train on one process, or without methods that draw rows anew."
            )
        stems = [prompts[k] for k in range(len(prompts)) if k % group < self.first]
        whole = single_turn(stems, None, {}, self.first)[0]
        shared = self._shared(forward, stems, whole)
        each = group // self.first - 1
        begun = [prefix for prefix in shared for _ in range(each)]
        asked = [stems[k // each] + prefix for k, prefix in enumerate(begun)]
        branches = self._continue(single_turn, asked, begun)
        size, made = self.first, list[list[int]]()
        for k in range(0, len(stems), size):
            made += whole[k : k + size] + branches[k * each : (k + size) * each]
        return made

    def _continue(self, single_turn: Callable[..., Any], asked: Ids, begun: Ids) -> Ids:
        most, config = self.trainer.max_completion_length, self.trainer.generation_config
        try:
            config.max_new_tokens = most - min(map(len, begun))
            tails = single_turn(asked, None, {}, 1)[0]
        finally:
            config.max_new_tokens = most
        return [(prefix + tail)[:most] for prefix, tail in zip(begun, tails, strict=True)]

    def _shared(self, forward: Callable[..., Any], prompts: Ids, completions: Ids) -> Ids:
        """What others share of each completion."""
        trainer = self.trainer
        special = [*trainer._tokenizer.all_special_ids, *trainer.eos_token_ids]
        rng = np.random.default_rng((self.seed, trainer.curriculum.drawn, trainer.accelerator.process_index))
        shared = []
        for ids, entropy in zip(completions, self._entropies(forward, prompts, completions), strict=True):
            usable: BoolArray = ~np.isin(ids, special)
            shared.append(ids[: self.method.branch(entropy[: len(ids)], usable, rng)])
        return shared

    def _entropies(self, forward: Callable[..., Any], prompts: Ids, completions: Ids) -> FloatArray:
        """Of the distributions that the tokens of completions were drawn from, shape `(completions, tokens)`."""
        trainer = self.trainer
        left, left_mask = self._padded(prompts, "left")
        right, right_mask = self._padded(completions, "right")
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(trainer.model, trainer.args.gradient_checkpointing_kwargs),
        ):
            _, entropy, _ = forward(
                trainer.model,
                torch.cat([left, right], dim=1),
                torch.cat([left_mask, right_mask], dim=1),
                right.shape[1],
                batch_size=trainer.args.per_device_train_batch_size,
                compute_entropy=True,
            )
        values: FloatArray = entropy.double().cpu().numpy()
        return values

    def _padded(self, ids: Ids, side: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids at one width, and which of them there are."""
        device, fill = self.trainer.accelerator.device, float(self.trainer._tokenizer.pad_token_id)
        tokens = pad_sequence([torch.tensor(one) for one in ids], True, fill, side)
        mask = pad_sequence([torch.ones(len(one), dtype=torch.long) for one in ids], True, 0.0, side)
        return tokens.to(device), mask.to(device)
