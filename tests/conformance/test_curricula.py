"""What every curriculum must do."""

from cases import VARIANTS

from trl_curriculum.testing import table


test_every_curriculum = table(VARIANTS)
