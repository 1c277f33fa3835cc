"""What a selection writes: rows with score, place, and the user's own columns of any kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from trl_curriculum.data.load import load_splits
from trl_curriculum.generators import Candidate, load
from trl_curriculum.rounds.candidates import FILE, Clean
from trl_curriculum.rounds.joined import PLACES, save_joined
from trl_curriculum.rounds.selection import SelectionSettings


KEPT = [Candidate(f"{k}?", "yes", str(k), "web") for k in (2, 0)]


def written(folder: Path, own: list[dict[str, Any]] | None, score: Any = (0.5, 0.25)) -> Any:
    file = folder / "selected.parquet"
    save_joined(KEPT, None if score is None else np.array(score), np.array([2, 0]), own, file)
    assert [(one.prompt, one.answer) for one in load(file)] == [("2?", "2"), ("0?", "0")]
    return load_splits(str(file))["train"]


def test_without_columns_of_ones_own(tmp_path: Path) -> None:
    assert written(tmp_path, None).column_names == ["prompt", "completion", "answer", "source", "score", "row"]
    assert "score" not in written(tmp_path, None, None).column_names
    assert written(tmp_path, None)["row"][:] == [2, 0]


def test_columns_of_any_kind_are_as_they_were(tmp_path: Path) -> None:
    own = [
        {"id": 0, "tags": ["a"], "meta": {"a": 1}, "mixed": 1},
        {"id": 1},
        {"id": 2, "tags": [], "meta": {"b": "x"}, "mixed": "two", "late": None},
    ]
    rows = list(written(tmp_path, own))
    assert [row["id"] for row in rows] == [2, 0] and [row["tags"] for row in rows] == [[], ["a"]]
    assert [row["meta"] for row in rows] == [{"b": "x"}, {"a": 1}]
    assert [row["mixed"] for row in rows] == ["two", "1"] and rows[0]["late"] is None


def test_no_column_is_lost_to_one_of_ours(tmp_path: Path) -> None:
    own = [{"score": k, "row": f"r{k}", "answer": k, "source": "web", "prompt": "x", "text": "y"} for k in range(3)]
    made = written(tmp_path, own)
    assert made["pool_score"][:] == [2, 0] and made["pool_row"][:] == ["r2", "r0"] and made["score"][:] == [0.5, 0.25]
    assert {"text", "pool_answer", "pool_source", "pool_prompt"}.isdisjoint(made.column_names)
    made = written(tmp_path, [{"score": k} for k in range(3)], score=None)
    assert made["pool_score"][:] == [2, 0] and "score" not in made.column_names, "a score would be a method's"
    made = written(tmp_path, [{"answer": "other"} for _ in range(3)])
    assert made["pool_answer"][:] == ["other"] * 2


@pytest.mark.parametrize(("place", "kept"), [(None, [0, 2, 3, 4]), ([7, 8, 9, 5, 6], [7, 9, 5, 6])])
def test_candidates_know_their_places_in_the_users_pool(
    place: list[int] | None, kept: list[int], tmp_path: Path
) -> None:
    """The second repeats a target's question; the last two are equal, and each has its own place."""
    candidates = [Candidate(f"q{k}", "a") for k in range(3)] + [Candidate("twice", "a"), Candidate("twice", "a")]
    targets = [Candidate(" Q1", "b")]
    settings = SelectionSettings("random", keep=2)
    report = Clean(candidates, targets, None, settings, place).run(tmp_path)
    assert np.load(tmp_path / PLACES).tolist() == kept and report["accepted"] == 4
    assert [one.prompt for one in load(tmp_path / FILE)] == ["q0", "q2", "twice", "twice"]


def test_is_a_plain_parquet_file(tmp_path: Path) -> None:
    written(tmp_path, [{"id": k} for k in range(3)])
    again = load_dataset("parquet", data_files=str(tmp_path / "selected.parquet"), cache_dir=str(tmp_path / "cache"))
    assert again["train"]["id"][:] == [2, 0]
    with pytest.raises(IndexError):
        written(tmp_path, [])
