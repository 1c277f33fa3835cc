"""The table is complete, and says what it does not take."""

import pytest
from cases import ROLLOUT_METHODS, SHAPERS, STATELESS, VARIANTS

from trl_curriculum.curricula import SEC
from trl_curriculum.families import FAMILIES
from trl_curriculum.testing import case, conformance
from trl_curriculum.testing.case import family_of


def test_every_built_in_method_has_a_row() -> None:
    rows = [*VARIANTS.values(), *SHAPERS.values(), *ROLLOUT_METHODS.values(), *STATELESS.values()]
    tested = {(family_of(row.method), row.method.name) for row in rows}
    missing = {(family, name) for family, registry in FAMILIES.items() for name in registry.built_in} - tested
    assert not missing


def test_facts_and_methods_that_there_are_not_are_refused() -> None:
    with pytest.raises(TypeError, match=r"conformance\('sec'\) is no method: give an object of a subclass of one of"):
        conformance("sec")
    with pytest.raises(ValueError, match=r"The test of curricula has no option 'floors' \(did you mean 'floor'\?\)"):
        case(SEC(), floors=0.1)
    with pytest.raises(TypeError, match="in_turn='row' in The test of curricula must be"):
        conformance(SEC(), in_turn="row")
