from dataclasses import dataclass

import numpy as np

from ..registry import option
from .base import SELECTION, Selector
from .features import Features, Selection


@SELECTION.add("random")
@dataclass(frozen=True)
class Random(Selector):
    """Any k candidates: the baseline of all others."""

    seed: int = option(0, "Seed of the choice.", least=0)

    def choose(self, features: Features, k: int) -> Selection:
        return Selection(np.random.default_rng(self.seed).permutation(len(features))[:k], None, {})


@SELECTION.add("all")
@dataclass(frozen=True)
class Everything(Selector):
    """All candidates, whatever k is: what selecting is compared with."""

    def choose(self, features: Features, k: int) -> Selection:
        return Selection(np.arange(len(features)), None, {})
