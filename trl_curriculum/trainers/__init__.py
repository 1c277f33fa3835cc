"""Trainers whose curriculum picks the rows, and the conductor, which needs none of TRL's."""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .config import CurriculumConfig, CurriculumGRPOConfig, CurriculumSFTConfig
    from .grpo import CurriculumGRPOTrainer
    from .sft import CurriculumSFTTrainer

__all__ = [
    "CurriculumConfig",
    "CurriculumGRPOConfig",
    "CurriculumGRPOTrainer",
    "CurriculumSFTConfig",
    "CurriculumSFTTrainer",
]


def __getattr__(name: str) -> Any:
    # Importing TRL's trainers takes seconds: a simulated learner, which has a conductor too, does without.
    if name in __all__:
        from . import config, grpo, sft

        return next(vars(module)[name] for module in (config, grpo, sft) if name in vars(module))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
