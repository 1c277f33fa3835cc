"""The figure of a model card, and what its frame counts."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trl_curriculum.report import vegalite
from trl_curriculum.report.figures import draws_png, lines
from trl_curriculum.report.history import FOLDER, read_history
from trl_curriculum.report.over_time import arms_over_time, label_arms, stretch_of


def written(folder: Path, arms: list[str], **changes: Any) -> pd.DataFrame:
    n = len(arms)
    columns = {"step": np.arange(n), "draw": np.arange(n), "row": np.arange(n), "arm": arms}
    columns |= {"probability": 0.1, "length": 2.0, "reward": 0.5, "scored": 4, "zero_variance": False} | changes
    frame = pd.DataFrame(columns)
    (folder / FOLDER).mkdir(parents=True)
    frame.to_parquet(folder / FOLDER / "draws-000000000000.parquet", index=False)
    return frame


def test_a_frame_counts_draws_and_means_what_was_observed(tmp_path: Path) -> None:
    history = written(tmp_path, [*"aabcab"], step=[0, 0, 0, 1, 1, 1], reward=[0, 1, np.nan, 1, 0.25, 0.5])
    labels, rest = label_arms([history], most=1)
    assert labels == {"a": "a"} and rest == "2 other arms"
    frame = arms_over_time(history, labels, rest, generations=3)
    assert frame["step"].tolist() == [1, 1, 2, 2] and frame["begin"].tolist() == [0, 0, 1, 1]
    assert frame["arm"].tolist() == ["a", rest] * 2 and frame["draws"].tolist() == [2, 1, 1, 2]
    assert frame["share"].tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3, 2 / 3])
    assert frame["reward"].tolist() == pytest.approx([0.5, np.nan, 0.25, 0.75], nan_ok=True)
    assert frame["tokens"].tolist() == [18, 18, 36, 36]  # 3 draws of 3 completions of 2 tokens a step


def test_stretches_are_of_equal_numbers_of_steps() -> None:
    stretch, ends = stretch_of(pd.DataFrame({"step": np.arange(7)}), most=3)
    assert ends.tolist() == [3, 5, 7] and stretch.tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_a_label_that_is_taken_by_the_others_stays_apart() -> None:
    labels, rest = label_arms([pd.DataFrame({"arm": ["2 other arms"] * 3 + ["x\n"] * 2 + ["y", "z"]})], most=2)
    assert rest == "2 other arms" and labels == {"2 other arms": "2 other arms-2", "x\n": "x"}


@pytest.mark.parametrize(
    "arms", [["<script>", "it's", 'say "x"', "\x1b[31m"], ["one"], [f"arm {k}" for k in range(99)]]
)
def test_the_figure_of_a_card_is_a_png(tmp_path: Path, arms: list[str]) -> None:
    assert draws_png(written(tmp_path, arms), tmp_path / "figures/draws.png")
    assert (tmp_path / "figures/draws.png").read_bytes().startswith(b"\x89PNG")
    assert "vl_convert" not in sys.modules  # whose engine would hang in a fork of this process


@pytest.mark.parametrize(
    ("values", "scale"), [([0.25, 0.25], {"zero": True}), ([0.25, 0.75], {"domain": [0.25, 0.75], "nice": True})]
)
def test_an_axis_of_one_value_begins_at_zero_so_that_the_value_is_labelled(
    values: list[float], scale: dict[str, Any]
) -> None:
    frame = pd.DataFrame({"step": [1, 2], "probability": values})
    chart = lines(frame, "probability", "probability", {"": "#4c78a8"}).to_dict()
    assert chart["encoding"]["y"]["scale"] == scale


def test_without_draws_or_altair_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not draws_png(read_history(tmp_path), tmp_path / "draws.png")
    history = written(tmp_path, ["a"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not draws_png(history, tmp_path / "draws.png") and not (tmp_path / "draws.png").exists()


def test_what_vl_convert_cannot_draw_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(vegalite.FigureError, match=r"vl-convert could not draw a figure \(.*\)\.$"):
        vegalite._convert("vegalite_to_png", vl_spec={"mark": 3})
    monkeypatch.setattr(vegalite, "LONGEST", 0.01)
    with pytest.raises(vegalite.FigureError, match=r"did not draw a figure in 0.01 seconds"):
        vegalite.library.__wrapped__()
