"""Shares a batch out among fewer rows than it has groups, so that some get several groups."""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np

from ..records import Stateful
from ..signals import FloatArray, IntArray, Rollouts


class Sharing(Stateful, ABC):
    """How many groups each row gets. What is learnt of rows is declared, as a curriculum's state is."""

    @abstractmethod
    def rows(self, n: int) -> int:
        """How many rows to draw for a batch of `n` groups, at least one and at most `n`."""

    @abstractmethod
    def times(self, row: IntArray, n: int) -> IntArray:
        """How many of `n` groups each of the rows gets that were drawn: one at least, and `n` together."""

    def observe(self, rollouts: Rollouts) -> None:
        """Learns from what a batch showed, one group a draw."""


def merged(rollouts: Rollouts) -> tuple[Rollouts, FloatArray]:
    """
    Makes one group of all rollouts of a row, whichever draw they answer.

    Args:
        rollouts ([`Rollouts`]):
            Of a whole batch.

    Returns:
        The same with advantages over each row's rollouts, and a factor of each rollout's advantage, mean(n) / n_i with
        n_i the number of its row's rollouts: so rows count alike, however many rollouts they have.
    """
    _, first, row = np.unique(rollouts.row, return_index=True, return_inverse=True)
    groups = replace(rollouts, draw=rollouts.draw[first][row])
    count = np.bincount(row)
    return replace(groups, advantage=groups.advantages_of(groups.reward)), (count.mean() / count)[row]
