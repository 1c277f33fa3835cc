"""What a conductor needs of whoever trains: a trainer, or a simulated learner."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from ..signals import FloatArray, IntArray


class Host(Protocol):
    """Whoever trains on the rows that a conductor draws."""

    @property
    def processes(self) -> int:
        """How many processes there are."""

    @property
    def process(self) -> int:
        """Which of them this is."""

    def progress(self) -> float:
        """Share of the training that is done."""

    def gather(self, columns: Sequence[Any], length: int) -> FloatArray:
        """
        Columns of all processes, each filled up to `length`, one process after the other: shape
        `(processes * length, len(columns))`.
        """

    def prompts(self, rows: IntArray) -> list[Any]:
        """Prompts of rows: texts, messages, or token ids."""

    def row_loss(self, rows: IntArray) -> tuple[FloatArray, int]:
        """Losses of rows under the current weights in nats per trained token, and how many tokens were read."""

    def forget_optimizer(self) -> None:
        """Lets the optimizer start afresh."""


class TrainerHost:
    """A `transformers` trainer as a [`Host`]; a trainer adds its prompts and losses."""

    shows: ClassVar[tuple[str, ...]]  # columns of Feedback that a batch shows

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    @property
    def processes(self) -> int:
        return self.trainer.accelerator.num_processes

    @property
    def process(self) -> int:
        return self.trainer.accelerator.process_index

    def progress(self) -> float:
        return min(self.trainer.state.global_step / self.trainer.state.max_steps, 1.0)

    def gather(self, columns: Sequence[Any], length: int) -> FloatArray:
        import torch  # which a simulated learner does without
        from accelerate.utils import gather

        local = torch.zeros(length, len(columns), device=self.trainer.accelerator.device)
        tensors = [torch.as_tensor(column, device=local.device) for column in columns]
        local[: len(tensors[0])] = torch.stack(tensors, dim=1).to(local)
        return gather(local).cpu().numpy().astype(np.float64)

    def prompts(self, rows: IntArray) -> list[Any]:
        raise NotImplementedError

    def template_options(self, rows: IntArray) -> list[dict[str, Any]] | None:
        """What each row hands to the chat template itself; `None` where the trainer reads nothing of the kind."""
        return None

    def row_loss(self, rows: IntArray) -> tuple[FloatArray, int]:
        raise NotImplementedError

    def forget_optimizer(self) -> None:
        self.trainer.optimizer.state.clear()
