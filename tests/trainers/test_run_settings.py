"""What a resume compares: every argument is decided about, once."""

import copy
import dataclasses
from typing import Any

import pytest

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig
from trl_curriculum.disk.state import StateError
from trl_curriculum.trainers.content import columns_of_grpo
from trl_curriculum.trainers.run_settings import REFUSED, WARNED, compare, is_ignored


ARGUMENTS = {f.name for one in (CurriculumGRPOConfig, CurriculumSFTConfig) for f in dataclasses.fields(one) if f.init}
SAVED: dict[str, dict[str, Any]] = {
    "refused": {"max_length": 8, "seed": 1},
    "warned": {"max_steps": 3},
    "versions": {"numpy": "1", "torch": "2"},
    "size": {"processes": 1, "rows of a step": 4},
}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_every_argument_is_decided_about_once(name: str) -> None:
    assert (name in REFUSED) + (name in WARNED) + is_ignored(name) == 1


def changed(group: str, **values: Any) -> dict[str, dict[str, Any]]:
    made = copy.deepcopy(SAVED)
    made[group] |= values
    return made


def test_differences_are_named() -> None:
    assert compare(SAVED, SAVED) == (None, [])
    reason, _ = compare(SAVED, changed("refused", max_length=7, seed=2))
    assert "max_length=8, and this run has 7; seed=1, and this run has 2; resume with the same" in str(reason)
    assert compare(SAVED, changed("warned", max_steps=5)) == (
        None,
        ["The checkpoint was made with max_steps=3, and this run has 5."],
    )
    _, warnings = compare(SAVED, changed("versions", torch="3"))
    assert warnings == ["The checkpoint was made with other versions (torch='2', and this run has '3')."]


def test_another_number_of_processes_may_make_other_steps() -> None:
    reason, _ = compare(SAVED, changed("size", **{"rows of a step": 8}))
    assert "rows of a step=4, and this run has 8" in str(reason)
    reason, warnings = compare(SAVED, changed("size", processes=2, **{"rows of a step": 8}))
    assert reason is None and len(warnings) == 2


def test_an_argument_that_only_one_release_knows_is_no_difference() -> None:
    assert compare(SAVED, changed("refused", new=1)) == (None, [])


@pytest.mark.parametrize("saved", [{}, None, {"refused": 1}])
def test_settings_that_are_none_are_refused(saved: Any) -> None:
    with pytest.raises(StateError, match="does not say what its run was made with"):
        compare(saved, SAVED)


def any_column(completions: Any, **kwargs: Any) -> list[float]:
    return [1.0] * len(completions)


def with_gold(completions: Any, answer: Any, **kwargs: Any) -> list[float]:
    return [1.0] * len(completions)


def test_columns_that_rewards_name_belong_to_a_row() -> None:
    args, columns = CurriculumGRPOConfig("x", use_cpu=True, bf16=False), ["prompt", "answer", "id"]
    named = columns_of_grpo(args, [with_gold, "model/name"], columns)
    assert named is not None and "answer" in named and "id" not in named
    assert columns_of_grpo(args, any_column, columns) is None, "it may read any"
