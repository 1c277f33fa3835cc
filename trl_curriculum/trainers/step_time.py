"""How long an optimizer step takes, for trainers that do not log it themselves."""

import time
from typing import Any

from transformers import TrainerCallback


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
