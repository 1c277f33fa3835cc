"""What a selection sees: a feature of unit norm per candidate and per target, and where candidates come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..signals import FloatArray, IntArray


@dataclass(frozen=True)
class Features:
    """
    Candidates and targets in one space, for example projected gradients.

    Args:
        candidates (`torch.Tensor`, shape `(n, d)`):
            Features of unit norm, of any floating type.
        targets (`torch.Tensor`, shape `(m, d)`):
            Of the trusted examples of the target task.
        task (`IntArray`, shape `(m,)`, *optional*):
            Subtask of each target.
    """

    candidates: torch.Tensor
    targets: torch.Tensor
    task: IntArray | None = None

    def __post_init__(self) -> None:
        if self.candidates.ndim != 2 or self.targets.ndim != 2 or self.candidates.shape[1] != self.targets.shape[1]:
            raise ValueError(
                f"Candidates of shape {tuple(self.candidates.shape)} and targets of shape {tuple(self.targets.shape)} "
                "do not share one space: give (n, d) and (m, d)."
            )
        for name, value in (("candidates", self.candidates), ("targets", self.targets)):
            if len(value) == 0:
                raise ValueError(f"There are no {name}: a selection matches candidates with targets.")
            norm = value[:: max(1, len(value) // 1000)].float().norm(dim=1)
            if not bool(((norm - 1).abs() < 1e-2).all()):
                raise ValueError(
                    f"The features of the {name} have norms of {float(norm.min()):.3g} to {float(norm.max()):.3g}, "
                    "not 1: scale them, and leave out those that are zero or not a number."
                )

    def __len__(self) -> int:
        return len(self.candidates)


@dataclass(frozen=True)
class Selection:
    """
    Which candidates are kept.

    Args:
        row (`IntArray`, shape `(k,)`):
            Positions of the candidates that are kept, the most wanted first; a method that samples with replacement
            may repeat one.
        score (`FloatArray`, shape `(n,)`, *optional*):
            Weight or score of every candidate, larger is more wanted.
        report (`dict[str, float]`):
            What the method found out on its way.
    """

    row: IntArray
    score: FloatArray | None
    report: dict[str, float]


def keep_top(score: FloatArray, k: int) -> IntArray:
    """Positions of the k largest scores, ties in their order."""
    return np.argsort(-score, kind="stable")[:k]


def check_k(k: int, n: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"k={k} of {n} candidates cannot be kept: k lies between 1 and their number.")


def effective_size(weight: torch.Tensor | FloatArray) -> float:
    """(Σ w)² / Σ w², the number of equal weights that are as unequal as these."""
    w = torch.as_tensor(weight).double()
    return float(w.sum() ** 2 / (w @ w))


def vendi(features: torch.Tensor, largest: int = 4000) -> float:
    """
    Vendi score, exp of the entropy of the eigenvalues of G Gᵀ / n: how many different features there are in effect.

    Of more than `largest` rows an evenly spaced part is taken.
    """
    part = features[:: -(-len(features) // largest)].double()
    small = part @ part.T if len(part) <= part.shape[1] else part.T @ part
    p = torch.linalg.eigvalsh(small / len(part)).clamp(min=0)
    p = p[p > 0] / p.sum()
    return float((-(p * p.log()).sum()).exp())


def shares(row: IntArray, label: Sequence[str] | NDArray) -> dict[str, float]:
    """Share of each label among the rows that are kept."""
    names, count = np.unique(np.asarray(label)[row], return_counts=True)
    return {str(name): float(c / len(row)) for name, c in zip(names, count, strict=True)}
