"""Numbers among TRL's own arguments that cannot be: one sentence, before anything is worked out from them."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig, SFTConfig

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig
from trl_curriculum.trainers.limits import ANY, WHOLE


GRPO = {field.name for field in fields(GRPOConfig) if field.init}
SFT = {field.name for field in fields(CurriculumSFTConfig) if field.init}


def make(folder: Path, name: str, value: Any) -> Any:
    config = CurriculumGRPOConfig if name in GRPO else CurriculumSFTConfig
    return config(str(folder), use_cpu=True, bf16=False, **{name: value})


@pytest.mark.parametrize("name", [*WHOLE, *ANY])
def test_what_is_no_number_of_its_range_is_refused(name: str, tmp_path: Path) -> None:
    if name not in GRPO | SFT:
        pytest.skip("this TRL has no such argument")
    for value in (math.nan, math.inf, -1.0, -2, True, 10**30, "many", [1]):
        with pytest.raises((TypeError, ValueError), match=rf"^{name}=[^\n]*\.$"):
            make(tmp_path, name, value)
    limits = {**WHOLE, **ANY}[name]
    if limits.get("least", 0) > 0 or "above" in limits:
        with pytest.raises(ValueError, match=rf"^{name}=0 must be (at least|above) \d"):
            make(tmp_path, name, 0)


@pytest.mark.parametrize("value", [0, -2, 1.5, True, math.nan])
def test_no_steps(value: Any, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^max_steps=.* must be (at least 1, or -1|a whole number)"):
        make(tmp_path, "max_steps", value)


def test_defaults_are_within_their_limits(tmp_path: Path) -> None:
    CurriculumGRPOConfig(str(tmp_path), use_cpu=True, bf16=False)
    CurriculumSFTConfig(str(tmp_path), use_cpu=True, bf16=False)
    for config in (GRPOConfig, SFTConfig):
        names = {field.name for field in fields(config) if field.init}
        assert len(names & {*WHOLE, *ANY}) > 20, "the arguments have other names now"
