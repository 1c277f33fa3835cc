"""Benchmarks by lm-eval: of checkpoints, of a model that trains, and of tasks that recipes are made of."""

from .callback import LiveTasks, LMEvalCallback
from .measure import Score
from .settings import EvaluationSettings, LiveSettings


__all__ = ["EvaluationSettings", "LMEvalCallback", "LiveSettings", "LiveTasks", "Score"]
