"""Curricula for TRL: the model's own training dynamics decide what it learns next."""

from typing import TYPE_CHECKING, Any

from .curricula import CURRICULA
from .pool import Pool
from .report.history import read_history
from .signals import Feedback
from .version import __version__ as __version__


if TYPE_CHECKING:
    from .trainers import CurriculumGRPOConfig, CurriculumGRPOTrainer, CurriculumSFTConfig, CurriculumSFTTrainer

__all__ = [
    "CURRICULA",
    "CurriculumGRPOConfig",
    "CurriculumGRPOTrainer",
    "CurriculumSFTConfig",
    "CurriculumSFTTrainer",
    "Feedback",
    "Pool",
    "read_history",
]


def __getattr__(name: str) -> Any:
    # The trainers import TRL and torch, which takes seconds: only when they are asked for.
    if name in __all__:
        from . import trainers

        return getattr(trainers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
