"""Warns, once, of rewards that are all alike for long: a model learns nothing from them."""

import logging
from typing import Any

import numpy as np

from ..options import shorten
from ..rewards.answers import text_of
from ..rewards.golds import GOLDS
from ..signals import FloatArray


logger = logging.getLogger(__name__)

ENOUGH = 64  # rollouts after which equal rewards are no chance
FEWEST = 8  # the same at the end of a run


class RewardWatch:
    """
    Watches the first rewards of a run.

    Args:
        speak (`bool`):
            Whether to warn: one process does it for all.
    """

    def __init__(self, speak: bool) -> None:
        self._active = speak
        self._rollouts = 0
        self._values: dict[str, set[float | None]] = {}
        self._example = ""

    def see(self, rewards: dict[str, FloatArray], completion: Any, row: dict[str, Any]) -> None:
        """
        Takes the rewards of one generation.

        Args:
            rewards (`dict[str, FloatArray]`):
                Of every function, shape `(rollouts,)`; NaN where it does not apply.
            completion (`str` or `list[dict]`), row (`dict`):
                One of the completions, and its row.
        """
        if not self._active:
            return
        if not self._example:
            gold = next((row[name] for name in GOLDS if row.get(name) is not None), None)
            self._example = f"completion {shorten(text_of(completion))}" + (f", gold {shorten(gold)}" if gold else "")
        for name, values in rewards.items():
            seen = self._values.setdefault(name, set())
            seen.update(None if np.isnan(value) else float(value) for value in np.unique(values))
        self._rollouts += len(next(iter(rewards.values())))
        if self._rollouts >= ENOUGH:
            self._judge()

    def finish(self) -> None:
        """Judges a run that ended before there was enough."""
        if self._active and self._rollouts >= FEWEST:
            self._judge()

    def _judge(self) -> None:
        self._active = False
        alike = {name: next(iter(seen)) for name, seen in self._values.items() if len(seen) == 1}
        # A constant beside a reward that varies is worth a word where it never paid.
        told = {name: value for name, value in alike.items() if not value or len(alike) == len(self._values)}
        for name, value in told.items():
            logger.warning(
                "%s %s all of the first %d rollouts, so that they teach nothing (for example %s): check that the "
                "reward can read such completions, and that the task is neither too hard nor too easy.",
                name,
                "did not apply to" if value is None else f"gave {value:g} to",
                self._rollouts,
                self._example,
            )
