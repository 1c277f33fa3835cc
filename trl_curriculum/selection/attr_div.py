from dataclasses import dataclass

import numpy as np

from ..registry import option
from .attribution import Attribution
from .base import SELECTION, Selector
from .diversity import Diversity
from .features import Features, Selection


@SELECTION.add("attr_div", paper="arXiv 2604.26170")
@dataclass(frozen=True)
class AttrDiv(Selector):
    """
    Attribution, then diversity: the least aligned candidates go, small clusters of the rest come first.

    Source: a baseline of EvoSelect, arXiv 2604.26170.
    """

    drop: float = option(
        0.25, "Share of the candidates with the lowest attribution that goes.", "EvoSelect's", least=0, below=1
    )
    clusters: int | None = option(
        None, "Number of clusters of K-means; default: the square root of the candidates' number.", least=1
    )
    seed: int = option(0, "Seed of K-means and of the order within a cluster.", least=0)

    def refuse(self, n: int) -> None:
        left = n - int(self.drop * n)
        if self.clusters is not None and self.clusters > left:
            raise ValueError(
                f"clusters={self.clusters} of attr_div is more than the {left} of {n} candidates that are left after "
                "the drop: take fewer."
            )

    def choose(self, features: Features, k: int) -> Selection:
        n = len(features)
        kept = np.sort(Attribution()(features, max(k, n - int(self.drop * n))).row)
        rest = Features(features.candidates[kept], features.targets, features.task)
        chosen = Diversity(self.clusters, seed=self.seed)(rest, k)
        return Selection(kept[chosen.row], None, chosen.report)
