"""Stores rollouts, and puts them in the place of those that teach nothing."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..disk.tensors import write_tensors
from ..rollouts.memory import Memory
from ..signals import IntArray, Rollouts
from .joining import COMPLETION, PROMPT, Output, at_one_width, fill_of, refuse_unknown, wide
from .late_entropy import DRAW
from .policy_pass import policy_pass
from .shaping import OLD_LOGPS


logger = logging.getLogger(__name__)

MADE = ("reward", "advantage", "step")


@dataclass(frozen=True)
class Stored:
    """
    One rollout of an earlier batch.

    Args:
        tensors (`dict`):
            Its own tensors without padding, on the CPU, with log-probabilities under the model that made it.
        reward, advantage (`float`):
            What it earned, and its advantage then.
        step (`int`):
            Optimizer step at which it was made.
    """

    tensors: dict[str, torch.Tensor]
    reward: float
    advantage: float
    step: int


class Replaying:
    """
    The rollouts that this process has stored.

    Args:
        memory ([`~trl_curriculum.rollouts.memory.Memory`]):
            Says which are stored, and what they count.
        trainer ([`~trl.GRPOTrainer`]):
            Its `accelerator`, `args`, `model`, `processing_class` and `state`.
    """

    def __init__(self, memory: Memory, trainer: Any) -> None:
        self.memory, self.trainer = memory, trainer
        self.stored: list[Stored] = []
        self._batch = (-1, 0)  # optimizer step, and which batch of those that are made at it

    def replay(self, output: Output, rollouts: Rollouts, made: IntArray, has_logps: bool) -> tuple[float, int]:
        """
        Replaces rollouts without an advantage in `output`, and stores those of it that are worth it.

        Args:
            output (`dict`):
                This process's share of a batch, as it would be trained on; it is changed.
            rollouts ([`Rollouts`]):
                The batch of all processes.
            made (`IntArray`, shape `(rollouts,)`):
                Optimizer step at which each was made: those that were carried over are older.
            has_logps (`bool`):
                Whether TRL has made a pass over fresh rollouts, the same on every process.

        Returns:
            Which share of the batch was replaced, and how many rollouts are stored, over all processes.
        """
        refuse_unknown(output)
        step, accelerator = self.trainer.state.global_step, self.trainer.accelerator
        self.memory.observe(rollouts)
        fresh = self._worth_storing(output, rollouts, made, has_logps)
        self.stored = [one for one in self.stored if 0 <= step - one.step <= self.memory.max_age]
        replaced = self._replace(output, step)
        self.stored = [*self.stored, *fresh][-max(1, self.memory.size // accelerator.num_processes) :]
        tokens = (output["completion_mask"] * output.get("tool_mask", 1)).sum()
        mine = torch.stack([tokens, tokens.new_tensor(replaced), tokens.new_tensor(len(self.stored))])
        total = gather(mine[None]).sum(dim=0)
        output["num_items_in_batch"] = total[0]
        return total[1].item() / len(rollouts), int(total[2])

    def _worth_storing(self, output: Output, rollouts: Rollouts, made: IntArray, has_logps: bool) -> list[Stored]:
        known = output if has_logps else output | {OLD_LOGPS: policy_pass(self.trainer, output)[0]}
        if OLD_LOGPS in output and not has_logps:  # some were carried over, with those of the model that made them
            old = output[OLD_LOGPS]
            known[OLD_LOGPS] = torch.where(old[:, :1].isnan(), known[OLD_LOGPS], old)
        world, rank = self.trainer.accelerator.num_processes, self.trainer.accelerator.process_index
        every = self.memory.worth(rollouts), rollouts.reward, made
        worth, reward, made = (np.split(value, world)[rank] for value in every)
        advantage = output["advantages"].double().cpu().numpy()
        worth = worth & (advantage != 0) & (output["completion_mask"].sum(1) > 0).cpu().numpy()
        return [
            Stored(_unpadded(known, int(k)), float(reward[k]), float(advantage[k]), int(made[k]))
            for k in np.flatnonzero(worth)
        ]

    def _replace(self, output: Output, step: int) -> int:
        whole = wide(output)
        if self.stored and {*self.stored[0].tensors} != {*whole}:
            self.forget("TRL's hold other tensors now")
        reward, advantage = (np.array([getattr(one, name) for one in self.stored]) for name in MADE[:2])
        advantage = self.memory.advantage(reward, advantage, step)
        usable = np.flatnonzero(advantage != 0)
        dead = torch.nonzero(output["advantages"] == 0)[:, 0]
        chosen = self._generator(step).permutation(usable)[: len(dead)]
        if not len(chosen):
            return 0
        places = dead[: len(chosen)]
        index = torch.arange(len(output["advantages"]), device=places.device)
        index[places] = len(index) + torch.arange(len(chosen), device=places.device)
        unit = self.trainer.args.pad_to_multiple_of or 1
        for name, value in whole.items():
            parts = [value, *(self.stored[k].tensors[name][None].to(value.device) for k in chosen)]
            if value.ndim > 1:
                multiple = 1 if value.shape[1:] == (1,) and name not in PROMPT else unit  # one value a rollout
                parts = at_one_width(parts, fill_of(name, self.trainer.processing_class), name in PROMPT, multiple)
            output[name] = torch.cat(parts)[index]
        output["advantages"][places] = torch.as_tensor(advantage[chosen]).to(output["advantages"])
        if DRAW in output:
            output[DRAW][places] = -1  # the curriculum has heard of them
        return len(chosen)

    def forget(self, reason: str) -> None:
        """Throws away what is stored, and says why."""
        if self.stored:
            logger.warning("Stored rollouts are thrown away: %s.", reason)
        self.stored = []

    def _generator(self, step: int) -> np.random.Generator:
        """Of the choices of one batch of this process: there is nothing to save."""
        self._batch = (step, self._batch[1] + 1 if self._batch[0] == step else 0)
        args = self.trainer.args
        seed = args.data_seed if args.data_seed is not None else args.seed
        return np.random.default_rng([seed, *self._batch, self.trainer.accelerator.process_index])

    # State: what this process has stored lies beside its other rollouts.

    def save(self, folder: Path) -> None:
        """Saves what this process has stored."""
        tensors = {f"{k}/{name}": value for k, one in enumerate(self.stored) for name, value in one.tensors.items()}
        made = {name: torch.tensor([getattr(one, name) for one in self.stored], dtype=torch.float64) for name in MADE}
        write_tensors(self._file(folder), tensors | made)

    def load(self, folder: Path | None) -> None:
        """Continues with what this process had stored; with nothing, and a warning, where that cannot be read."""
        self.stored = []
        if folder is None:
            return
        try:
            tensors = load_file(self._file(folder))
            made = [tensors.pop(name).tolist() for name in MADE]
            rows: list[dict[str, torch.Tensor]] = [{} for _ in made[0]]
            for key, value in tensors.items():
                k, name = key.split("/", 1)
                rows[int(k)][name] = value
            self.stored = [
                Stored(row, reward, advantage, int(step))
                for row, reward, advantage, step in zip(rows, *made, strict=True)
            ]
        except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
            logger.warning("Stored rollouts are lost, because %s cannot be read: %s", self._file(folder), error)

    def _file(self, folder: Path) -> Path:
        return folder / f"generation_buffer_replay_{self.trainer.args.process_index}.safetensors"


def _unpadded(output: Output, k: int) -> dict[str, torch.Tensor]:
    """The tensors of one rollout without what pads them."""
    prompt, completion = int(output["prompt_mask"][k].sum()), int(output["completion_mask"][k].sum())
    row: dict[str, torch.Tensor] = {}
    for name, value in output.items():
        if name in PROMPT:
            row[name] = value[k, -prompt:].cpu().clone()
        elif name in COMPLETION and value.shape[1:] != (1,):
            row[name] = value[k, :completion].cpu().clone()
        elif value.ndim > 0:
            row[name] = value[k].cpu().clone()
    return row
