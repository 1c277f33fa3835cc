"""Numbers that change while a model trains."""

import math
from typing import Literal


Shape = Literal["linear", "cosine"]


def scheduled(progress: float, start: float, end: float, over: float = 1.0, shape: Shape = "linear") -> float:
    """
    The value of a schedule.

    With s = min(progress / over, 1):

        linear:  start + (end - start) s
        cosine:  end + (start - end) (1 + cos(pi s)) / 2

    Args:
        progress (`float`):
            Share of the training that is done.
        start, end (`float`):
            First and last value.
        over (`float`, *optional*, defaults to `1.0`):
            Share of the training after which the last value is reached; it stays there.
        shape (`str`, *optional*, defaults to `"linear"`):
            How it gets there.

    Example:

    ```python
    >>> from trl_curriculum.schedules import scheduled
    >>> [scheduled(done, 1.5, 0.5, over=0.5) for done in (0.0, 0.25, 0.5, 1.0)]
    [1.5, 1.0, 0.5, 0.5]
    >>> round(scheduled(0.25, 1.0, 0.0, shape="cosine"), 4)
    0.8536

    ```
    """
    done = min(progress / over, 1.0)
    if shape == "cosine":
        return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
    return start + (end - start) * done
