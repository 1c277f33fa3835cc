"""What is measured on purpose, before training and while it goes on."""

from .angle_concentration import AngleConcentration
from .base import PROBES, Probe, RowLoss
from .prefix_entropy import PrefixEntropy
from .prompt_entropy import PromptEntropy


__all__ = ["PROBES", "AngleConcentration", "PrefixEntropy", "Probe", "PromptEntropy", "RowLoss"]
