"""What runs have logged as curves, on logs and histories that were written by hand."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trl_curriculum.evaluation.compare import measure
from trl_curriculum.evaluation.curves import as_uniform, cost, costs, logged, read_run
from trl_curriculum.evaluation.grid import Cell, Entry


# Four steps of two draws with four rollouts each, logged every other step
GRPO = [
    {"step": 2, "loss": 0.1, "reward": 0.3, "step_time": 1.5, "rollouts/discarded_tokens": 8.0},
    {"step": 2, "eval_loss": 0.0, "eval_a_reward": 0.2, "eval_a_reward_std": 9.0},
    {"step": 2, "eval_loss": 0.0, "eval_b_reward": 0.4},
    {"step": 4, "loss": 0.1, "reward": 0.5, "step_time": 2.0, "curriculum/probe_tokens": 30.0},
    {"step": 4, "eval_loss": 0.0, "eval_a_reward": 0.6},
    {"step": 4, "eval_loss": 0.0, "eval_b_reward": 0.8},
    {"step": 4, "train_loss": 0.1, "train_runtime": 99.0},
]
SFT = [
    {"step": 2, "loss": 2.0, "num_tokens": 100.0, "step_time": 0.5, "curriculum/probe_tokens": 60.0},
    {"step": 3, "eval_loss": 1.5, "eval_num_tokens": 170.0},
    {"step": 4, "loss": 1.0, "num_tokens": 200.0, "step_time": 1.5, "curriculum/probe_tokens": 90.0},
]
DRAWS = {
    "step": [0, 0, 1, 1, 2, 2, 3, 3],
    "draw": range(8),
    "row": range(8),
    "arm": ["a", "b", "a", "a", "a", "a", "a", "a"],
    "probability": [0.5] * 8,
    "length": [2.0, 3.0, 4.0, 5.0, 1.0, 1.0, 1.0, 1.0],
    "reward": [0.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0],
    "loss": [4.0, 2.0, 4.0, 4.0, 1.0, 1.0, 1.0, 1.0],
}


def folder(place: Path, log: list[dict[str, Any]]) -> Path:
    """A folder as a run leaves it."""
    place.mkdir(parents=True)
    (place / "curriculum_history").mkdir()
    pd.DataFrame(DRAWS).to_parquet(place / "curriculum_history" / "draws-000000000000.parquet")
    (place / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    return place


def test_costs_of_grpo(tmp_path: Path) -> None:
    """Completions: (2 + 3 + 4 + 5) x 4 = 56 in two steps, of which 8 were discarded, and 4 x 4 = 16 in two more."""
    run = read_run(folder(tmp_path / "run", GRPO), {"num_generations": 4}, 8)
    found = costs(run, run.steps).set_index("step")
    assert found["generated_tokens"].tolist() == [56.0, 72.0]
    assert found["trained_tokens"].tolist() == [48.0, 64.0] and found["discarded_tokens"].tolist() == [8.0, 8.0]
    assert found["seconds"].tolist() == [3.0, 7.0], "means over the steps since the last log"
    assert found["probe_tokens"].tolist() == [0.0, 30.0]
    assert cost(costs(run, run.steps), "trained_tokens").tolist() == [48.0, 74.0], "what is only read costs a third"
    assert cost(costs(run, run.steps), "generated_tokens").tolist() == [56.0, 72.0], "losses are not generated"
    edco = read_run(tmp_path / "run", {"num_generations": 4, "curriculum": "edco"}, 8)
    assert cost(costs(edco, run.steps), "generated_tokens").tolist() == [56.0, 102.0], "prefixes are"
    assert read_run(tmp_path / "run", {}, 8).generations == 8


def test_prompts_that_are_asked_once_more_are_generated_tokens(tmp_path: Path) -> None:
    """11 tokens in the first two steps and 4 in the others, of prompts whose draws are in the history once."""
    log = [GRPO[0] | {"rollouts/explored_tokens": 11.0}, GRPO[3] | {"rollouts/explored_tokens": 4.0}]
    run = read_run(folder(tmp_path / "run", log), {"num_generations": 4}, 8)
    found = costs(run, run.steps)
    assert found["generated_tokens"].tolist() == [56.0 + 11, 72.0 + 15]
    assert found["trained_tokens"].tolist() == [48.0, 64.0], "the batch is no larger"


def test_probes_count_on_where_a_log_does_not_name_them(tmp_path: Path) -> None:
    """A log of steps that all train on what was drawn before has no numbers of the curriculum."""
    named = [{"step": 1, "loss": 0.1, "curriculum/probe_tokens": 30.0}, {"step": 2, "loss": 0.1}]
    later = [{"step": 3, "loss": 0.1, "curriculum/probe_tokens": 50.0}, {"step": 4, "loss": 0.1}]
    run = read_run(folder(tmp_path / "run", named + later), {}, 4)
    assert costs(run, run.steps)["probe_tokens"].tolist() == [30.0, 30.0, 50.0, 50.0]


def test_costs_of_sft(tmp_path: Path) -> None:
    run = read_run(folder(tmp_path / "run", SFT), {"curriculum": {"evo_curate": {"measure": "probe"}}})
    found = costs(run, logged(run, "eval_loss")[0])
    assert found["trained_tokens"].tolist() == [170.0], "evaluations log what was trained on as well"
    assert cost(found, "trained_tokens") == pytest.approx([170 + 75 / 3])
    assert costs(run, run.steps)["seconds"].tolist() == [1.0, 4.0]
    assert found["generated_tokens"].tolist() == [0.0]


def test_held_out_sets_count_alike(tmp_path: Path) -> None:
    run = read_run(folder(tmp_path / "run", GRPO), {}, 4)
    assert [part.tolist() for part in logged(run, "eval_reward")] == [[2, 4], [pytest.approx(0.3), pytest.approx(0.7)]]
    assert logged(run, "eval_b_reward")[1].tolist() == [0.4, 0.8]
    assert logged(run, "reward")[1].tolist() == [0.3, 0.5]
    with pytest.raises(
        ValueError, match=r"metric='rewrd' was not logged \(did you mean 'reward'\?\): take one of curr"
    ):
        logged(run, "rewrd")


def test_draws_count_as_uniform_would_make_them(tmp_path: Path) -> None:
    """First two steps: a .5 on average, b 1; then a 1, while b, of which nothing is drawn any more, still counts."""
    run = read_run(folder(tmp_path / "run", GRPO), {}, 4)
    step, value = as_uniform(run, {"a": 0.25, "b": 0.75})
    assert step.tolist() == [2, 4] and value == pytest.approx([0.25 * 0.5 + 0.75, 1.0])
    sft = read_run(folder(tmp_path / "sft", SFT), {})
    assert as_uniform(sft, {"a": 0.5, "b": 0.5})[1] == pytest.approx([3.0, 1.5])
    assert as_uniform(sft, {"b": 1.0, "c": 5.0})[1] == pytest.approx([2.0, 2.0]), "an arm that nobody drew"


def cells(tmp_path: Path, log: list[dict[str, Any]], generations: int = 4) -> dict[Cell, Any]:
    made = [Cell(Entry(name, {}), 0, tmp_path / name) for name in ("uniform", "sec")]
    return {cell: read_run(folder(cell.folder, log), {}, generations) for cell in made}


def test_the_metric_is_chosen(tmp_path: Path) -> None:
    held_out = cells(tmp_path / "held_out", GRPO)
    points, metric = measure(held_out, None, "generated_tokens")
    assert metric.name == "eval_reward" and not metric.less_is_better
    assert (
        points["method"].tolist() == ["uniform", "uniform", "sec", "sec"] and points["cost"].tolist() == [56, 72] * 2
    )
    assert points["value"].tolist() == pytest.approx([0.3, 0.7, 0.3, 0.7])
    none = cells(tmp_path / "none", [entry for entry in GRPO if "eval_loss" not in entry])
    points, metric = measure(none, None, "steps")
    assert metric.name == "reward_as_uniform" and "as uniform has drawn them" in metric.about
    assert points["value"].tolist()[:2] == pytest.approx([0.875 * 0.5 + 0.125, 1.0]), "a has 7 of uniform's 8 draws"
    sft = cells(tmp_path / "sft", SFT, 0)
    assert measure(sft, None, "steps")[1].less_is_better


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    runs = cells(tmp_path, [{name: value for name, value in entry.items() if name != "step_time"} for entry in GRPO])
    with pytest.raises(ValueError, match="match=time: these runs have not logged any seconds of optimizer steps"):
        measure(runs, None, "time")
    with pytest.raises(ValueError, match=r"^uniform/seed-0: metric='x' was not logged"):
        measure(runs, "x", "steps")
    with pytest.raises(ValueError, match="no cell of uniform is finished"):
        measure({cell: run for cell, run in runs.items() if cell.entry.name == "sec"}, "reward_as_uniform", "steps")
    silent = cells(tmp_path / "silent", [{"step": 4, "train_loss": 0.1}])
    with pytest.raises(ValueError, match=r"^uniform/seed-0: no log of training has a reward"):
        measure(silent, None, "steps")
    (tmp_path / "sec" / "trainer_state.json").write_text("{")
    with pytest.raises(ValueError, match=r"the log of a run, cannot be read \(.*: remove .*sec\.$"):
        read_run(tmp_path / "sec", {}, 4)
