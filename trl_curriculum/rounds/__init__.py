"""Long jobs: stages that are never done twice, and rounds of them from a better model each time."""

from .base import ROUNDS, Job, RoundMethod
from .evolve import Evolution, Evolve


__all__ = ["ROUNDS", "Evolution", "Evolve", "Job", "RoundMethod"]
