"""Reward functions by name, and how answers are read off completions."""

from .base import REWARDS, Accuracy, Reward, RewardFunction, Rewards
from .format_length import FormatLength
from .functions import (
    exact_match,
    math_accuracy,
    multiple_choice_accuracy,
    reasoning_gym_accuracy,
    reasoning_gym_score,
    reward,
)
from .rl_struct import RLStruct
from .tarot import Tarot
from .template_format import TemplateFormat


__all__ = [
    "REWARDS",
    "Accuracy",
    "FormatLength",
    "RLStruct",
    "Reward",
    "RewardFunction",
    "Rewards",
    "Tarot",
    "TemplateFormat",
    "exact_match",
    "math_accuracy",
    "multiple_choice_accuracy",
    "reasoning_gym_accuracy",
    "reasoning_gym_score",
    "reward",
]
