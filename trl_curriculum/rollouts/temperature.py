from dataclasses import dataclass
from typing import Any

from ..registry import option
from ..schedules import Shape, scheduled
from .base import ROLLOUTS, RolloutMethod, refuse_weighing_away


@ROLLOUTS.add("temperature")
@dataclass(frozen=True)
class Temperature(RolloutMethod):
    """
    Samples rollouts at a temperature that changes while the model trains.

    From `start` to `end` over a share of the training, in a line or along half a cosine; without `end` it stays at
    `start`. Hot first explores, cold at the end trains on what the model will answer. Evaluation and probes keep their
    own temperatures.

    Log-probabilities and entropies, those of the loss, of shapers and of the log, stay at the trainer's `temperature`:
    TRL's head is made with it. So rollouts are a little off-policy where the two differ, and nothing corrects that;
    keep the schedule near `temperature`. TRL's importance sampling for vLLM would undo the schedule, and is refused
    beside it. Not beside a `rollout_func`, which samples itself.

    Example:

    ```python
    >>> from trl_curriculum.rollouts import Temperature
    >>> [Temperature(start=1.2, end=1.0, over=0.5).temperature(done) for done in (0.0, 0.25, 0.5, 1.0)]
    [1.2, 1.1, 1.0, 1.0]

    ```
    """

    start: float = option(help="At the start of the training.", least=0.01, most=10)
    end: float | None = option(None, "At its end; unless given, as at the start.", least=0.01, most=10)
    over: float = option(1.0, "Share of the training after which `end` is reached.", above=0, most=1)
    shape: Shape = option("linear", "How it gets there.")

    def refuse(self, args: Any) -> None:
        if {self.start, self.end or self.start} != {args.temperature}:
            refuse_weighing_away(args, "temperature")

    def temperature(self, progress: float) -> float:
        return scheduled(progress, self.start, self.start if self.end is None else self.end, self.over, self.shape)
