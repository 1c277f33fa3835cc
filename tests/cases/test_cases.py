"""Cases that hold without a room of their own."""

from pathlib import Path

from kit import case


def test_a_flag_turns_a_curriculum_into_its_baseline(inputs: Path) -> None:
    done = case("N01", inputs)
    assert done.code == 0
    assert "--curriculum uniform replaces sec" in done.err


def test_a_methods_options_are_shown(inputs: Path) -> None:
    done = case("N06", inputs)
    assert done.code == 0
    assert "tau" in done.out
