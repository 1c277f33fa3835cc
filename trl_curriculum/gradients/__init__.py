"""Per-sample gradients as features: captured, projected, stored."""

from .capture import GradientFeatures
from .project import CountSketch, Projection, Rademacher
from .store import Stored, read_features, write_features


__all__ = [
    "CountSketch",
    "GradientFeatures",
    "Projection",
    "Rademacher",
    "Stored",
    "read_features",
    "write_features",
]
