"""Reward functions by name, and how answers are read off completions."""

from .functions import (
    REWARDS,
    BoxedBonus,
    RewardFunction,
    Rewards,
    exact_match,
    math_accuracy,
    multiple_choice_accuracy,
    reasoning_gym_accuracy,
    reasoning_gym_score,
    reward,
)


__all__ = [
    "REWARDS",
    "BoxedBonus",
    "RewardFunction",
    "Rewards",
    "exact_match",
    "math_accuracy",
    "multiple_choice_accuracy",
    "reasoning_gym_accuracy",
    "reasoning_gym_score",
    "reward",
]
