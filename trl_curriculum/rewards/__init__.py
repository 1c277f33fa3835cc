"""Reward functions by name, and how answers are read off completions."""

from .base import REWARDS, Accuracy, Reward, RewardFunction, Rewards
from .functions import (
    exact_match,
    math_accuracy,
    multiple_choice_accuracy,
    reasoning_gym_accuracy,
    reasoning_gym_score,
    reward,
)
from .template_format import TemplateFormat


__all__ = [
    "REWARDS",
    "Accuracy",
    "Reward",
    "RewardFunction",
    "Rewards",
    "TemplateFormat",
    "exact_match",
    "math_accuracy",
    "multiple_choice_accuracy",
    "reasoning_gym_accuracy",
    "reasoning_gym_score",
    "reward",
]
