"""What to train on next. One method, one file."""

from .arms import ArmCurriculum
from .base import Carried, Curriculum, Draw
from .dump import DUMP
from .estimators import TD, Belief, Estimator, SlidingWindow
from .order import Order
from .sec import SEC
from .selectors import Boltzmann
from .uniform import Uniform
from .utilities import Utility, expected_advantage, identity, ucb


__all__ = [
    "DUMP",
    "SEC",
    "TD",
    "ArmCurriculum",
    "Belief",
    "Boltzmann",
    "Carried",
    "Curriculum",
    "Draw",
    "Estimator",
    "Order",
    "SlidingWindow",
    "Uniform",
    "Utility",
    "expected_advantage",
    "identity",
    "ucb",
]
