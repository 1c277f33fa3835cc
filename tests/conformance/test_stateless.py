"""What every method must do that remembers nothing, from arms to bundles."""

from cases import STATELESS

from trl_curriculum.testing import table


test_every_method_without_a_state = table(STATELESS)
