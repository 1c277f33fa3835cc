"""The conformance table: what each family's methods must keep, and tests that run it over some of them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ..registry import make_options
from . import curriculum_draws as draws
from . import curriculum_signals as signals
from . import curriculum_states as states
from .arms import ARMS, ArmCase
from .bundles import BUNDLES
from .case import EVERY_METHOD, Case, family_of
from .curricula import CurriculumCase, a_state_names_all_options
from .generators import GENERATORS, TEMPLATES, GeneratorCase, TemplateCase
from .rewards import REWARDS, RewardCase
from .rollouts import ROLLOUT_METHODS
from .rounds import it_says_what_a_run_does
from .selection import SELECTORS, SelectorCase
from .shaping import SHAPERS, ShaperCase


Invariant = Callable[[Any], None]

INVARIANTS: dict[str, tuple[type[Case], list[Invariant]]] = {
    "curricula": (
        CurriculumCase,
        [*EVERY_METHOD, a_state_names_all_options, *draws.DRAWS, *states.STATES, *signals.SIGNALS],
    ),
    "shaping": (ShaperCase, [*EVERY_METHOD, *SHAPERS]),
    "rollouts": (Case, [*EVERY_METHOD, *ROLLOUT_METHODS]),
    "arms": (ArmCase, [*EVERY_METHOD, *ARMS]),
    "probes": (Case, EVERY_METHOD),
    "rewards": (RewardCase, [*EVERY_METHOD, *REWARDS]),
    "selection": (SelectorCase, [*EVERY_METHOD, *SELECTORS]),
    "generators": (GeneratorCase, [*EVERY_METHOD, *GENERATORS]),
    "templates": (TemplateCase, [*EVERY_METHOD, *TEMPLATES]),
    "rounds": (Case, [*EVERY_METHOD, it_says_what_a_run_does]),
    "bundles": (Case, [*EVERY_METHOD, *BUNDLES]),
}


def case(method: Any, **facts: Any) -> Case:
    """
    A row of the table.

    Args:
        method ([`~trl_curriculum.registry.Method`]):
            A method of any family.
        facts:
            What its family's invariants have to know of it, such as [`CurriculumCase`]'s.

    Raises:
        `TypeError`: where it is no method, or a fact is of the wrong type; `ValueError` on an unknown fact.
    """
    family = family_of(method)
    made: Case = make_options(INVARIANTS[family][0], {"method": method, **facts}, f"The test of {family}")
    return made


def table(rows: Mapping[str, Case]) -> Callable[..., None]:
    """A pytest test of some methods, by names: every invariant of its family over each of them."""
    tests = [
        pytest.param(invariant, row, id="-".join(filter(None, (name, invariant.__name__))))
        for name, row in rows.items()
        for invariant in INVARIANTS[family_of(row.method)][1]
    ]

    @pytest.mark.parametrize(("invariant", "row"), tests)
    def test(invariant: Invariant, row: Case) -> None:
        invariant(row)

    return test


def conformance(method: Any, **facts: Any) -> Callable[..., None]:
    """
    A pytest test of one method: what every method of its family must keep, an invariant a case.

    Args:
        method ([`~trl_curriculum.registry.Method`]):
            A method of any family, registered or not.
        facts:
            What its family's invariants have to know of it: those of [`CurriculumCase`], [`ShaperCase`], …

    Example:

    ```python
    >>> from trl_curriculum.curricula import SEC
    >>> from trl_curriculum.testing import conformance
    >>> test_sec = conformance(SEC(tau=0.2), probabilities=True, in_turn="arm")

    ```
    """
    return table({"": case(method, **facts)})
