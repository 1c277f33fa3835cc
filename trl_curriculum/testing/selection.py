"""What every selection method does: it names k candidates, by their features alone."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from ..selection import Features, Selection
from .case import Case


@dataclass(frozen=True)
class SelectorCase(Case):
    """
    A selection method, and what its invariants have to know of it.

    Args:
        repeats (`bool`, *optional*, defaults to `False`):
            Whether a candidate may be kept several times.
        keeps_all (`bool`, *optional*, defaults to `False`):
            Whether it keeps all candidates, whatever k is.
    """

    repeats: bool = False
    keeps_all: bool = False

    def try_out(self) -> None:
        self.choose(features(), 7)

    def choose(self, features: Features, k: int) -> Selection:
        """Selects, and checks the form of what comes back."""
        n = len(features)
        chosen: Selection = self.method(features, k)
        assert len(chosen.row) == (n if self.keeps_all else k)
        assert ((chosen.row >= 0) & (chosen.row < n)).all()
        assert self.repeats or len(set(chosen.row.tolist())) == len(chosen.row), "a candidate is kept twice"
        assert chosen.score is None or (chosen.score.shape == (n,) and np.isfinite(chosen.score).all())
        assert all(np.isfinite(value) for value in chosen.report.values())
        return chosen


def features(n: int = 60, width: int = 8) -> Features:
    """Candidates at random, and five targets of two subtasks."""
    made = torch.randn(n + 5, width, generator=torch.Generator().manual_seed(0))
    made /= made.norm(dim=1, keepdim=True)
    return Features(made[:n], made[n:], np.array([0, 0, 0, 1, 1]))


def it_keeps_k_candidates(case: SelectorCase) -> None:
    for k in (1, 7, 60):
        case.choose(features(), k)
    case.choose(features(1), 1)
    for k in (0, 61):
        with pytest.raises(ValueError):
            case.method(features(), k)


def it_chooses_the_same_again_and_changes_nothing(case: SelectorCase) -> None:
    given, untouched = features(), features()
    state = torch.get_rng_state()
    first = case.choose(given, 7)
    assert torch.equal(torch.get_rng_state(), state), "it draws from the global generator"
    assert first.row.tolist() == case.choose(given, 7).row.tolist()
    assert torch.equal(given.candidates, untouched.candidates) and torch.equal(given.targets, untouched.targets)


def the_order_of_candidates_does_not_matter(case: SelectorCase) -> None:
    if "seed" in case.method.options:
        pytest.skip("it chooses at random")
    given, order = features(), np.random.default_rng(0).permutation(60)
    moved = Features(given.candidates[order], given.targets, given.task)
    assert set(order[case.choose(moved, 7).row].tolist()) == set(case.choose(given, 7).row.tolist())


def candidates_that_are_alike_are_no_trouble(case: SelectorCase) -> None:
    given = features()
    case.choose(Features(given.candidates[:1].expand(60, -1).contiguous(), given.targets, given.task), 7)
    case.choose(Features(given.candidates[np.arange(60) % 3], given.targets), 7)


SELECTORS = [
    it_keeps_k_candidates,
    it_chooses_the_same_again_and_changes_nothing,
    the_order_of_candidates_does_not_matter,
    candidates_that_are_alike_are_no_trouble,
]
