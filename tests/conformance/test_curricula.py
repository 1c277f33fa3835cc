"""What every curriculum must do."""

from cases import VARIANTS

from trl_curriculum import CURRICULA
from trl_curriculum.testing import table


test_every_curriculum = table(VARIANTS)


def test_every_curriculum_has_a_row() -> None:
    assert {row.method.name for row in VARIANTS.values()} == set(CURRICULA.built_in)
