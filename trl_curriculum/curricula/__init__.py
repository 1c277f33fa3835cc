"""What to train on next. One method, one file, which registers itself."""

from typing import Any

from .arms import ArmCurriculum, ArmMethod
from .base import CURRICULA, Curriculum, CurriculumMethod
from .difficulty import DifficultyCurriculum, DifficultyMethod
from .draw import Draw, RoundBegan
from .parts.buckets import SuccessRate
from .rows import RowCurriculum, RowMethod
from .successes import SuccessCurriculum, SuccessMethod


_METHODS = CURRICULA.load(__name__, __path__)

__all__ = [
    "CURRICULA",
    "ArmCurriculum",
    "ArmMethod",
    "Curriculum",
    "CurriculumMethod",
    "DifficultyCurriculum",
    "DifficultyMethod",
    "Draw",
    "RoundBegan",
    "RowCurriculum",
    "RowMethod",
    "SuccessCurriculum",
    "SuccessMethod",
    "SuccessRate",
    *_METHODS,
]


def __getattr__(name: str) -> Any:
    if name in _METHODS:
        return _METHODS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
