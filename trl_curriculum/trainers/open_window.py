"""An open generation window of GRPO: rollouts that are still to be trained on belong to a checkpoint."""

import logging
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..disk.tensors import write_tensors


logger = logging.getLogger(__name__)

IN_COMMON = ("world_size", "steps_per_generation", "num_iterations", "num_generations", "generation_batch_size")


class OpenWindow:
    """
    Saves and continues a window: TRL's micro step and the rollouts that this process has buffered.

    Args:
        args ([`CurriculumGRPOConfig`]):
            How large a window is.
        device (`torch.device`):
            Where rollouts go.
    """

    def __init__(self, args: Any, device: torch.device) -> None:
        self.args, self.device = args, device

    @property
    def steps(self) -> int:
        """Micro steps of a window."""
        return self.args.steps_per_generation * self.args.num_iterations

    def is_first_pass(self, micro_step: int) -> bool:
        """Whether rollouts are trained on for the first time."""
        return micro_step % self.steps < self.args.steps_per_generation

    def state_dict(self, micro_step: int) -> dict[str, Any]:
        """What a run that continues the window must have in common with this one, and where it is."""
        return {"micro_step": micro_step, "window": {name: getattr(self.args, name) for name in IN_COMMON}}

    def save(self, folder: Path, micro_step: int, batches: list[dict[str, Any]] | None) -> None:
        """Saves the buffered rollouts of this process, unless a new window is about to begin."""
        if micro_step % self.steps == 0 or batches is None:
            return
        tensors = {
            f"{i}/{name}": torch.as_tensor(value).contiguous().clone()
            for i, batch in enumerate(batches)
            for name, value in batch.items()
            if value is not None
        }
        write_tensors(self._file(folder), tensors)

    def load(self, folder: Path | None, state: dict[str, Any]) -> tuple[int, list[dict[str, Any]] | None]:
        """TRL's micro step and the rollouts to continue with; 0 and none where a window begins anew."""
        if folder is None:
            return 0, None
        saved, now = state["window"], self.state_dict(0)["window"]
        if state["micro_step"] % (saved["steps_per_generation"] * saved["num_iterations"]) == 0:
            return 0, None  # between two windows there is nothing to continue
        changed = [f"{name} was {saved[name]} and is {now[name]}" for name in IN_COMMON if saved[name] != now[name]]
        batches = self._read(folder) if not changed else None
        if not changed and not all(gather_object([batches is not None])):
            changed = ["the rollouts of a process are missing"]
        if changed:
            logger.warning("The open generation window is generated anew: %s.", "; ".join(changed))
            return 0, None
        return state["micro_step"], batches

    def _read(self, folder: Path) -> list[dict[str, Any]] | None:
        file = self._file(folder)
        try:
            tensors = load_file(file)
        except (OSError, SafetensorError) as error:
            logger.warning("Cannot read %s: %s", file, error)
            return None
        batches: list[dict[str, Any]] = [{} for _ in range(self.args.steps_per_generation)]
        for key, value in tensors.items():
            index, name = key.split("/", 1)
            batches[int(index)][name] = value.to(self.device)
        return batches

    def _file(self, folder: Path) -> Path:
        return folder / f"generation_buffer_{self.args.process_index}.safetensors"
