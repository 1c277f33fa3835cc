"""What is measured on purpose, before training and while it goes on."""

from .base import PROBES, Probe, RowLoss
from .prefix_entropy import PrefixEntropy


__all__ = ["PROBES", "PrefixEntropy", "Probe", "RowLoss"]
