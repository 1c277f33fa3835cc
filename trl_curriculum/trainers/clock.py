"""What keeps the time of a run: a dataset as long as the rows, the seconds of a step, and those over all resumes."""

import time
from typing import Any

from torch.utils.data import Dataset
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState


class ClockDataset(Dataset):
    """A dataset that only keeps time: as long as the real one, and empty. The curriculum picks the rows."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {}


class StepTime(TrainerCallback):
    """
    Logs `step_time`: seconds of an optimizer step, with drawing and probing, without logging, evaluation and saving.

    Args:
        metrics (`dict[str, list[float]]`):
            TRL's metrics of training, whose means are logged.
    """

    def __init__(self, metrics: Any) -> None:
        self.metrics = metrics
        self.since = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.metrics["step_time"].append(time.perf_counter() - self.since)
        self._begin()

    def _begin(self, *args: Any, **kwargs: Any) -> None:
        self.since = time.perf_counter()

    on_train_begin = on_log = on_evaluate = on_save = _begin


class TrainingClock(TrainerCallback, ExportableState):
    """
    Counts the seconds of `train()`. What a checkpoint's steps took is kept in its `trainer_state.json`, so that a
    resume counts on from there; steps that a kill has lost are counted once.
    """

    def __init__(self) -> None:
        self.before: float | None = 0.0  # seconds until this `train()`; None where a resumed run has not counted
        self.began: float | None = None

    @property
    def seconds(self) -> float | None:
        """Seconds so far, or `None` where an earlier part of the run is not known."""
        if self.before is None or self.began is None:
            return self.before
        return self.before + time.monotonic() - self.began

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"before": self.seconds}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        saved = state.stateful_callbacks.get(type(self).__name__, {})
        known = saved.get("attributes", {}).get("before") if isinstance(saved, dict) else None
        self.before = known if isinstance(known, int | float) else None if state.global_step else 0.0
        self.began = time.monotonic()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.before, self.began = self.seconds, None


def add_clocks(trainer: Any) -> None:
    """Makes a trainer count its seconds, and log those of a step where it does not log them itself."""
    if not hasattr(trainer, "_current_train_step_time"):  # by which TRL's GRPO measures the same
        trainer.add_callback(StepTime(trainer._metrics["train"]))
    trainer.add_callback(TrainingClock())
