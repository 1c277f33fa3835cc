"""Options beside the methods', and what a plug-in gives back: refused in one sentence."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trl_curriculum import Pool
from trl_curriculum.curricula import Curriculum, CurriculumMethod
from trl_curriculum.generators.agreement import Agreement
from trl_curriculum.gradients import read_features
from trl_curriculum.lm.dtypes import check_dtype
from trl_curriculum.lm.engines import Sampling
from trl_curriculum.registry import make_options
from trl_curriculum.rounds.proxy import Proxy
from trl_curriculum.rounds.selection import FeatureSettings, SelectionSettings


@pytest.mark.parametrize("kind", [Sampling, Agreement, FeatureSettings, Proxy])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 10**400, "x", True, [1]])
def test_numbers_of_settings(kind: Any, value: Any) -> None:
    number = {Sampling: "temperature", Agreement: "answers", FeatureSettings: "dimension", Proxy: "learning_rate"}[
        kind
    ]
    for make in (lambda: kind(**{number: value}), lambda: make_options(kind, {number: value}, "it")):
        with pytest.raises((TypeError, ValueError), match=rf"^{number}=[^\n]*\.$"):
            make()


@pytest.mark.parametrize("keep", [0, -1, math.nan, math.inf, 1.0, 2.5, True, "all"])
def test_how_many_are_kept(keep: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^keep=[^\n]*\.$"):
        SelectionSettings(keep=keep)


def test_settings_that_are_no_mapping() -> None:
    with pytest.raises(TypeError, match=r"^proxy=\[1\] must be a mapping of options, of model, steps"):
        make_options(Proxy, [1], "proxy")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["floaty", "int8", "nn", 16, "", "float32 "])
def test_types_that_are_none(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^dtype=.* is no floating type: choose one of auto, bfloat16"):
        check_dtype(value)


def test_types_of_weights() -> None:
    for value in (None, "auto", "bfloat16", "torch.float16", "float64"):
        check_dtype(value)


@dataclass(frozen=True)
class Mine(CurriculumMethod):
    """A curriculum of one's own."""


class MineCurriculum(Curriculum, of=Mine):
    def _pick(self, n: int) -> Any:
        return PICKED(n)


PICKED: Any = None


@pytest.mark.parametrize(
    ("picked", "said"),
    [
        (lambda n: (np.arange(n), np.zeros(n, int)), "returned 2 values: return rows, their arms and their prob"),
        (lambda n: np.arange(n), "returned a ndarray: return rows"),
        (lambda n: None, "returned a NoneType: return rows"),
        (lambda n: (np.arange(n + 1), np.zeros(n, int), np.ones(n)), r"returned rows of shape \(4,\): return shape"),
        (lambda n: (np.arange(n), np.zeros(n, int), 1.0), r"returned probabilities of shape \(\)"),
        (lambda n: (np.arange(n) + 0.5, np.zeros(n, int), np.ones(n)), "returned rows of type float64"),
        (lambda n: (np.arange(n) + 9, np.zeros(n, int), np.ones(n)), "returned the row 10, of 10: count them from 0"),
        (lambda n: (np.arange(n) - 1, np.zeros(n, int), np.ones(n)), "returned the row -1, of 10"),
        (lambda n: (np.arange(n), np.ones(n, int), np.ones(n)), "returned the arm 1, of 1"),
    ],
)
def test_what_a_curriculum_of_ones_own_picks(picked: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PICKED", picked)
    with pytest.raises((TypeError, ValueError), match=rf"^_pick\(3\) of curriculum 'mine' {said}"):
        Mine().bind(Pool(10)).select(3)


@pytest.mark.parametrize("spoiled", [math.nan, math.inf, 0.0, 3.0])
def test_features_that_are_no_numbers(spoiled: float, tmp_path: Path) -> None:
    features = np.eye(8, dtype=np.float16)
    np.save(tmp_path / "norm.npy", np.ones(8, np.float32))
    np.save(tmp_path / "features.npy", features)
    assert len(read_features(tmp_path).usable) == 8
    features[5, 5] = spoiled
    np.save(tmp_path / "features.npy", features)
    with pytest.raises(ValueError, match=r"are damaged: that of row 6 has the length .*, not 1; compute them again"):
        read_features(tmp_path)
