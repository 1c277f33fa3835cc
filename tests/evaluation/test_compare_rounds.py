"""Comparisons of rounds: selections by seeds, against one that keeps at random."""

import json
from pathlib import Path
from typing import Any

import altair  # noqa: F401  # or every fork would import it
import numpy as np
import pandas as pd
import pytest
import yaml
from compared import SFT, compare, grid, write_data

from trl_curriculum.evaluation.curves import COSTS
from trl_curriculum.evaluation.grid import Cell, Entry, make_grid
from trl_curriculum.evaluation.rounds import measure_rounds
from trl_curriculum.generators import Candidate, save


EVOLVE: dict[str, Any] = {
    **{
        name: value
        for name, value in SFT.items()
        if name not in ("arms", "eval_strategy", "eval_steps", "eval_per_arm")
    },
    **{"use_peft": True, "lora_r": 4, "lora_target_modules": "all-linear", "max_steps": 2, "rounds": 2, "keep": 0.3},
    **{"candidates": 20, "near_duplicates": 1.0, "features": {"dimension": 64}, "proxy": {"steps": 1}},
    **{"max_answer_tokens": 4, "accuracy": "none", "generators": [{"file": {"path": "pool.jsonl"}}]},
}
POOL = [Candidate(f"{i}{i % 7}:{'abcdef'[i % 6]}{'fedcba'[i % 5]}#", "ghij"[i % 4] * (1 + i % 3)) for i in range(20)]


def reports(cell: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads((cell / f"round-{k}" / stage / "done.json").read_text()) for k in range(2)]


@pytest.fixture(scope="module")
def compared(tiny_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds")
    write_data(folder)
    save(POOL, folder / "pool.jsonl")
    base = EVOLVE | {"model_name_or_path": tiny_path}
    done = compare(grid(folder, command="evolve", base=base, methods=["diversity"], seeds=[0]), folder)
    assert done.code == 0, done.said[-3000:]
    (folder / "said.txt").write_text(done.out)
    return folder


def test_what_is_written(compared: Path) -> None:
    points = pd.read_parquet(compared / "out/results.parquet")
    assert points.groupby("method").size().to_dict() == {"random": 3, "diversity": 3}
    for method, part in points.groupby("method"):
        cell = compared / f"out/{method}/seed-0"
        assert part["step"].tolist() == part["cost"].tolist() == [0, 2, 4]
        before = json.loads((cell / "before/scores/done.json").read_text())
        losses = [before["loss"]["all"], *(one["loss"]["all"] for one in reports(cell, "scores"))]
        assert part["value"].tolist() == losses and len(set(losses)) == 3
        tokens = np.cumsum([one["trained_tokens"] for one in reports(cell, "adapter")])
        assert part["trained_tokens"].tolist() == [0, *tokens] and tokens[0] > 0
        assert (part["seconds"].diff().dropna() > 0).all() and part["probe_tokens"].isna().all()
    text = (compared / "out/comparison.md").read_text()
    assert "| method | seeds | mean | minus random |\n" in text and "placebo" not in text and "uniform" not in text
    assert "loss (loss of the right answers to the held-out rows; less is better), matched by optimizer steps." in text
    assert "<td>diversity</td>" in (compared / "out/comparison.html").read_text()
    said = (compared / "said.txt").read_text()
    assert "2 rounds of 20 candidates, of which diversity keeps 0.3" in " ".join(said.replace("│", " ").split())


def test_a_cell_is_a_run_of_its_own(compared: Path) -> None:
    made = yaml.safe_load((compared / "out/diversity/seed-0/recipe.yaml").read_text())
    assert made["selection"] == "diversity" and made["seed"] == 0 and "resume_from_checkpoint" not in made
    before = {path: path.stat().st_mtime_ns for path in (compared / "out").rglob("seed-*/*")}
    done = compare(["compare", "--config", "grid.yaml", "--match", "trained_tokens"], compared)
    assert done.code == 0 and "tokens trained on" in (compared / "out/comparison.md").read_text()
    assert before == {path: path.stat().st_mtime_ns for path in (compared / "out").rglob("seed-*/*")}
    done = compare(["compare", "--config", "grid.yaml", "--metric", "accuracy"], compared)
    assert "metric='accuracy' is no score of these rounds: take loss." in done.sentence
    done = compare(["compare", "--config", "grid.yaml", "--simulate", "ladder"], compared)
    assert "simulate=ladder: there are no simulated learners for rounds." in done.sentence


def test_the_grid_of_rounds() -> None:
    base = {"model_name_or_path": "m"}
    made = make_grid(
        ["evoselect", {"tsds": {"sigma": 0.5}}, {"name": "half", "keep": 0.5}], [1], base, "out", "evolve"
    )
    assert [entry.name for entry in made.entries] == ["random", "evoselect", "tsds", "half"]
    assert made.entries[2].changes == {"selection": {"tsds": {"sigma": 0.5}}} and made.baseline == "random"
    with pytest.raises(ValueError, match=r"methods\[0\].*sec"):
        make_grid(["sec"], [0], base, "out", "evolve")
    with pytest.raises(ValueError, match=r"'random', which all are compared with, has the selection evoselect"):
        make_grid([{"name": "random", "keep": 0.5}], [0], base, "out", "evolve")


def cell(folder: Path, *scores: dict[str, Any], **train: Any) -> Cell:
    """Finished rounds, by what their stages report."""
    for k, score in enumerate(scores):
        at = folder / (f"round-{k - 1}" if k else "before")
        (at / "scores").mkdir(parents=True)
        (at / "scores/done.json").write_text(json.dumps(score | {"seconds": 100.0}))
        if k:
            (at / "adapter").mkdir()
            (at / "adapter/done.json").write_text(json.dumps({"rows": 6, "steps": 3, "seconds": 4.0} | train))
            (at / "candidates").mkdir()
            (at / "candidates/done.json").write_text(json.dumps({"written": 5, "tokens": 7, "seconds": 1.5}))
    return Cell(Entry("random", {}), 0, folder)


def test_costs_of_eleven_rounds(tmp_path: Path) -> None:
    scores = [{"accuracy": {"all": k / 20}, "loss": {"all": 2.0}} for k in range(12)]
    points, metric = measure_rounds([cell(tmp_path, *scores, trained_tokens=50)], None, "time")
    assert metric.name == "accuracy" and not metric.less_is_better
    np.testing.assert_allclose(points["value"], np.arange(12) / 20)
    each = [3, 50, 7, np.nan, np.nan, 5.5]  # without the seconds of scoring
    np.testing.assert_allclose(points[list(COSTS)], np.outer(np.arange(12), each))
    np.testing.assert_allclose(points["cost"], 5.5 * np.arange(12))


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="have no scores to compare: give held-out rows"):
        measure_rounds([cell(tmp_path / "a", {}, {})], None, "steps")
    scored = {"loss": {"all": 1.0}}
    with pytest.raises(ValueError, match="match=trained_tokens: these rounds have not told any tokens trained on"):
        measure_rounds([cell(tmp_path / "b", scored, scored)], None, "trained_tokens")
    with pytest.raises(ValueError, match="no finished stage 'scores': only loops that score their rounds compare"):
        measure_rounds([Cell(Entry("random", {}), 0, tmp_path / "c")], None, "steps")
