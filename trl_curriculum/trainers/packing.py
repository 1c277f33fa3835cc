"""Best-fit packing of the rows of one optimizer step."""

import math
from bisect import bisect_left, insort
from typing import Any

import numpy as np

from ..curricula import Draw
from ..curricula.draw import NOTHING
from ..signals import IntArray


FILL = 0.97  # share of a step's token budget from which on no more rows are drawn for it


def best_fit(length: IntArray, capacity: int, n_bins: int, first: int = 0) -> IntArray:
    """
    Puts each item into the fullest bin that still holds it.

    The longest items are placed first (best-fit decreasing), except that the leading `first` items, which had to wait
    before, are placed before all others and in their order, so that none waits for long.

    Args:
        length (`IntArray`, shape `(n,)`):
            Length of each item, at most `capacity`.
        capacity (`int`):
            What a bin holds.
        n_bins (`int`):
            Number of bins.
        first (`int`, *optional*, defaults to `0`):
            How many of the items are placed before the others.

    Returns:
        `IntArray`, shape `(n,)`: the bin of each item, -1 where it fits into none.
    """
    bins = np.full(len(length), -1)
    free = [(capacity, k) for k in range(n_bins)]  # sorted: the fullest bin first
    waited = np.arange(len(length)) < first
    for item in np.lexsort((np.where(waited, np.arange(len(length)), -length), ~waited)).tolist():
        size = int(length[item])
        place = bisect_left(free, (size, -1))
        if place < n_bins:
            space, k = free.pop(place)
            bins[item] = k
            insort(free, (space - size, k))
    return bins


def draw_packed(conductor: Any, length: IntArray, capacity: int, n_bins: int) -> tuple[Draw, list[IntArray]]:
    """
    Draws the rows of one optimizer step, and packs them; what does not fit waits for the next.

    Args:
        conductor ([`~.conductor.Conductor`]):
            Draws.
        length (`IntArray`, shape `(size,)`):
            Tokens of each row of the pool.
        capacity, n_bins (`int`):
            Tokens of a device batch, and how many of these the step has.

    Returns:
        The draws in the order of their batches, and the rows of each batch.
    """
    curriculum = conductor.curriculum
    budget, waited = n_bins * capacity, len(curriculum.waiting)
    draw, mean, filled, drawn = NOTHING, 4 * length.mean(), 0, 0  # it may prefer rows longer than most
    # More is drawn than fits, so that gaps which long rows leave are filled; but not without end.
    while filled < FILL * budget and drawn < 1.5 * budget:
        draw = draw + conductor.draw(math.ceil((budget - filled) / mean))
        of_draw = length[draw.row]
        place = best_fit(of_draw, capacity, n_bins, waited)
        mean, filled, drawn = of_draw.mean(), int(of_draw[place >= 0].sum()), int(of_draw.sum())
    curriculum.put_back(draw[place < 0])
    order = np.argsort(place, kind="stable")[(place < 0).sum() :]
    draw, place = draw[order], place[order]
    return draw, np.split(draw.row, np.searchsorted(place, np.arange(1, n_bins)))
