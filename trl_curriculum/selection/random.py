import numpy as np

from .features import Features, Selection, check_k


def random(features: Features, k: int, seed: int = 0) -> Selection:
    """Any k candidates: the baseline of all others."""
    check_k(k, len(features))
    return Selection(np.random.default_rng(seed).permutation(len(features))[:k], None, {})


def everything(features: Features, k: int | None = None) -> Selection:
    """All candidates, whatever k is: what selecting is compared with."""
    return Selection(np.arange(len(features)), None, {})
