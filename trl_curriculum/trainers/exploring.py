"""Asks some prompts of a batch once more at another temperature, and trains on what came of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather

from ..rollouts import RolloutMethod
from ..signals import IntArray, Rollouts
from .joining import wide
from .late_entropy import DRAW, ROW, label
from .shaping import OLD_LOGPS


class Exploring:
    """
    Puts rollouts from another temperature in place of some of a batch.

    Args:
        method ([`RolloutMethod`]):
            Says at which, how many, and which of them are trained on.
        trainer:
            A curriculum trainer.
        seed (`int`):
            Of all random choices.
    """

    def __init__(self, method: RolloutMethod, trainer: Any, seed: int) -> None:
        self.method, self.trainer, self.seed = method, trainer, seed

    def explore(
        self, output: dict[str, Any], rollouts: Rollouts, generate: Callable[..., dict[str, Any]]
    ) -> tuple[dict[str, Any], float, float, int]:
        """
        What is trained on of this process's rollouts, the mean entropy of all tokens, the share that was replaced, and
        how many tokens were generated.

        Args:
            output (`dict`):
                Of TRL's `_generate_and_score_completions`, shaped.
            rollouts ([`Rollouts`]):
                Of all processes.
            generate (`Callable`):
                TRL's `_generate_and_score_completions`.
        """
        entropy = self._entropy(output)
        wanted = self.method.explore(entropy)
        rng = np.random.default_rng((self.seed, self.trainer.curriculum.drawn))
        starts = rollouts.starts
        size = len(rollouts) // len(starts)
        n = self.trainer.refilling.divisible(max(1, int(wanted.groups * len(starts))), size)
        again = np.sort(rng.permutation(starts)[:n])
        more_output, more = self._make(rollouts, again, size, wanted.temperature, generate)
        if ROW in output:
            label(more_output, more, self._own(len(more)))
            more_output[DRAW][:] = -1  # the curriculum does not see them
        advantage = gather(output["advantages"]).cpu().numpy()
        right = np.flatnonzero(more.advantage > wanted.least)
        n = int(wanted.taken * min(len(right), max(1, round(wanted.most * len(rollouts)))))
        replaced = np.argsort(np.abs(advantage), kind="stable")[:n]
        if n == 0:
            return output, entropy, 0.0, int(more.length.sum())
        rows, advantage = np.arange(len(rollouts)), advantage.copy()
        rows[replaced], advantage[replaced] = len(rollouts) + rng.permutation(right)[:n], 1.0
        outputs, none = [output, more_output], np.zeros(0, np.int64)
        if (OLD_LOGPS in output) != (OLD_LOGPS in more_output):
            outputs = [wide(one) for one in outputs]
        joined = self.trainer.refilling.join(outputs, None, rollouts + more, rows, none, advantage)
        return joined, entropy, n / len(rollouts), int(more.length.sum())

    def _entropy(self, output: dict[str, Any]) -> float:
        """Mean entropy of the tokens that all processes train on, in nats; at the trainer's temperature."""
        tokens = self.trainer.shaping.tokens_at_scoring(output)
        mine = torch.stack([(tokens.entropy * tokens.mask).sum().double(), tokens.mask.sum().double()])
        total, count = gather(mine).reshape(-1, 2).sum(0).tolist()
        return total / max(count, 1.0)

    def _make(
        self, rollouts: Rollouts, starts: IntArray, size: int, temperature: float, generate: Callable[..., Any]
    ) -> tuple[dict[str, Any], Rollouts]:
        """Rollouts of the prompts of some groups, which begin at `starts`: this process's output, and all of them."""
        trainer = self.trainer
        rows = np.repeat(rollouts.row[starts], size)
        parts = np.split(rows, trainer.accelerator.num_processes)
        mine = parts[trainer.accelerator.process_index].tolist()
        trainer._scored = trainer.prompts.rows.position[mine]
        with trainer.sampling_at(temperature):
            output = generate(trainer.rewritten(trainer._read.__getitems__(mine), mine))
        trainer._scored = None
        made = torch.tensor(trainer._made, device=output["advantages"].device)
        advantage, length, truncated = trainer.conductor.gather_checked(parts, output["advantages"], *made)
        rewards, reward = trainer._rewards()
        more = Rollouts(
            row=rows,
            draw=np.repeat(rollouts.draw[starts], size),
            step=rollouts.step,
            progress=rollouts.progress,
            reward=reward,
            advantage=advantage,
            length=length.astype(np.int64),
            rewards=rewards,
            scale=rollouts.scale,
            truncated=truncated > 0,
        )
        return output, more

    def _own(self, n: int) -> slice:
        """This process's share of n rollouts."""
        accelerator = self.trainer.accelerator
        share = n // accelerator.num_processes
        return slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)
