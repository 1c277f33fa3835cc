"""Curves of runs at equal cost: what each would have shown at the same number of steps, tokens or seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..signals import FloatArray


Curve = tuple[FloatArray, FloatArray]  # costs, not decreasing, and values, of as many points


@dataclass(frozen=True)
class Matched:
    """
    Curves at the same costs, from the largest cost at which one begins to the smallest at which one ends.

    Args:
        cost (shape `(points,)`):
            Every cost at which one of the curves has a point, between both ends.
        value (shape `(curves, points)`):
            Values at these costs, linear between the points of a curve.
    """

    cost: FloatArray
    value: FloatArray

    @property
    def end(self) -> float:
        """The cost that all curves reach."""
        return float(self.cost[-1])

    @property
    def final(self) -> FloatArray:
        """Value of each curve at the end, of shape `(curves,)`."""
        return self.value[:, -1]

    @property
    def area(self) -> FloatArray:
        """Mean value of each curve over the costs (its area over their range), of shape `(curves,)`."""
        if len(self.cost) == 1:
            return self.final
        return np.trapezoid(self.value, self.cost, axis=1) / (self.cost[-1] - self.cost[0])


def match(curves: Mapping[str, Curve]) -> Matched:
    """
    Brings curves to the same costs.

    Args:
        curves (`Mapping[str, (cost, value)]`):
            Of each run, by its name.

    Raises:
        `ValueError`: on a curve without points, and where one ends before another begins.
    """
    for name, (cost, _) in curves.items():
        if len(cost) == 0:
            raise ValueError(f"{name} has no point to compare: log or evaluate more often.")
    first, last = max(curves, key=lambda name: curves[name][0][0]), min(curves, key=lambda name: curves[name][0][-1])
    begin, end = curves[first][0][0], curves[last][0][-1]
    if end < begin:
        raise ValueError(
            f"{last} ends at a cost of {end:,.6g}, before {first} has its first point, at {begin:,.6g}: log or "
            "evaluate more often, or train longer."
        )
    cost = np.unique(np.concatenate([[begin, end], *(cost for cost, _ in curves.values())]))
    cost = cost[(cost >= begin) & (cost <= end)]
    return Matched(cost, np.stack([np.interp(cost, *curve) for curve in curves.values()]))
