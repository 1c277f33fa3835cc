"""How long a run has trained, over all its resumes."""

import time
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState


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
