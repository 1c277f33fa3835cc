from .config import CurriculumConfig, CurriculumGRPOConfig
from .grpo import CurriculumGRPOTrainer


__all__ = ["CurriculumConfig", "CurriculumGRPOConfig", "CurriculumGRPOTrainer"]
