"""What a belief is worth: functions from a belief to one number per arm, larger is better."""

from collections.abc import Callable

import numpy as np

from ...signals import FloatArray
from .estimators import Belief


Utility = Callable[[Belief], FloatArray]


def identity(belief: Belief) -> FloatArray:
    """The mean itself."""
    return belief.mean


def ucb(belief: Belief) -> FloatArray:
    """Upper confidence bound: mean + sqrt(2 ln(N + 1) / (n + 1)), N = sum of all counts n (DUMP)."""
    return belief.mean + np.sqrt(2 * np.log(belief.count.sum() + 1) / (belief.count + 1))
