import numpy as np

from .attribution import attribution
from .diversity import diversity
from .features import Features, Selection, check_k


def attr_div(features: Features, k: int, drop: float = 0.25, clusters: int | None = None, seed: int = 0) -> Selection:
    """
    Attribution, then diversity: the least aligned candidates go, small clusters of the rest come first.

    Args:
        features ([`Features`]):
            Candidates and targets.
        k (`int`):
            How many candidates to keep.
        drop (`float`, *optional*, defaults to `0.25`):
            Share of the candidates with the lowest attribution that goes (EvoSelect's).
        clusters, seed (*optional*):
            As in [`diversity`].

    Source: a baseline of EvoSelect, arXiv 2604.26170.
    """
    n = len(features)
    check_k(k, n)
    if not 0 <= drop < 1:
        raise ValueError(f"drop={drop} is not a share of the candidates in [0, 1).")
    kept = np.sort(attribution(features, max(k, n - int(drop * n))).row)
    rest = Features(features.candidates[kept], features.targets, features.task)
    chosen = diversity(rest, k, clusters, seed=seed)
    return Selection(kept[chosen.row], None, chosen.told)
