"""Best-fit packing of the rows of one optimizer step."""

from bisect import bisect_left, insort

import numpy as np

from ..signals import IntArray


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
