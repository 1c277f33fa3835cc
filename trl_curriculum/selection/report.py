"""What a selection has come to: how close to the target, how diverse, from where; the same for every method."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..signals import IntArray
from .duplicates import distinct
from .features import Features, Selection, shares, vendi
from .sinkhorn import Sinkhorn, SinkhornError


EPSILON = 0.05  # of the transport that is reported, whatever a method's own is


def transport_distance(chosen: torch.Tensor, targets: torch.Tensor) -> float:
    """Entropic transport cost, at ε = .05, between rows of equal weight and the targets; NaN without convergence."""
    try:
        solver = Sinkhorn(chosen, targets, EPSILON)
        return solver.solve(torch.full((len(chosen),), 1 / len(chosen)), 1e-3).value
    except SinkhornError:
        return float("nan")


def report(
    features: Features, selection: Selection, source: Sequence[str] | NDArray | None = None, copies: float = 0.99
) -> dict[str, Any]:
    """
    The numbers of a selection, plain values.

    Returns:
        `dict` with `kept`, `transport` (entropic transport cost to the targets), `vendi` (different directions in
        effect), `copies` (share of rows that are near-duplicates of another), `shares` (by `source`) and what the
        method itself reports.
    """
    rows: IntArray = np.unique(selection.row)
    chosen = features.candidates[torch.as_tensor(rows)].float()
    return {
        "kept": len(rows),
        "transport": transport_distance(chosen, features.targets.float()),
        "vendi": vendi(chosen),
        "copies": 1 - len(distinct(chosen, copies)) / len(rows),
        "shares": shares(rows, source) if source is not None else {},
        **selection.report,
    }
