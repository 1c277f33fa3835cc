"""Folders that a report reads: what is missing is said, and what is wrong is one sentence."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from report_runs import history

from trl_curriculum.disk.state import StateError
from trl_curriculum.report.kept import write_facts
from trl_curriculum.report.runs import read_runs


def write_log(folder: Path, *logs: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": [*logs]}))


def test_a_run_of_the_trainer(tiny_runs: Path) -> None:
    grpo, sft = read_runs([str(tiny_runs / name) for name in ("grpo", "sft")])
    assert (grpo.name, grpo.signal, grpo.rows, grpo.generations) == ("grpo", "reward", 40, 4)
    assert (sft.name, sft.signal, sft.rows, sft.generations) == ("sft", "loss", 40, None)
    assert grpo.notes == () and sft.notes == ()
    assert grpo.tokens == 4 * grpo.history["length"].sum() and sft.tokens == sft.history["length"].sum()
    assert grpo.logs["step"].tolist() == [*range(1, 16)] and grpo.seconds is not None and grpo.seconds > 0


def test_of_a_run_that_wrote_no_facts_the_checkpoint_tells(tiny_runs: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_runs / "grpo", tmp_path / "old")
    shutil.rmtree(tmp_path / "old/_curriculum_report")
    (run,) = read_runs([str(tmp_path / "old")])
    assert run.rows == 40 and run.generations is None
    assert run.facts["methods"][0]["name"] == "sec" and run.facts["methods"][0]["options"]["tau"] == 0.3
    assert run.notes == ("The run has kept no texts of its rows, so rows are named by their numbers.",)
    assert run.tokens == (run.history["length"] * run.history["scored"]).sum()


def test_prompts_that_were_asked_once_more_cost_tokens_too(tmp_path: Path) -> None:
    for name in ("a", "b"):
        history(tmp_path / name, reward=[0.0, 1.0])
    write_log(tmp_path / "b", *({"step": k, "rollouts/explored_tokens": 4.5} for k in (1, 2)), {"step": 3})
    drawn, more = read_runs([str(tmp_path / "a"), str(tmp_path / "b")])
    assert more.tokens == drawn.tokens + 9


def test_numbers_that_are_none_are_gaps_and_counted(tmp_path: Path) -> None:
    history(tmp_path, reward=[0.5, np.nan, np.inf, 1.0], length=[1.0, np.inf, 2, 2])
    write_log(tmp_path, {"step": 1, "entropy": math.nan, "note": "x"}, {"step": 2, "entropy": 0.5, "flag": True})
    (run,) = read_runs([str(tmp_path)])
    assert run.history["reward"].isna().tolist() == [False, True, True, False]
    assert "2 of 4 draws have no reward that is a number: they are gaps." in run.notes
    assert "1 of 4 draws have no length that is a number: they are gaps." in run.notes
    assert "1 logged numbers are not finite: they are gaps." in run.notes
    assert [*run.logs] == ["step", "entropy"] and math.isnan(run.tokens)


def test_the_longest_log_counts_and_one_that_is_cut_is_said(tmp_path: Path) -> None:
    history(tmp_path, reward=[0.5])
    write_log(tmp_path / "checkpoint-2", {"step": 1}, {"step": 2})
    write_log(tmp_path / "checkpoint-10", {"step": 9, "step_time": 2.0}, {"step": 10, "step_time": 1.0})
    (tmp_path / "checkpoint-11").mkdir()
    (tmp_path / "checkpoint-11/trainer_state.json").write_text('{"log_hist')
    (run,) = read_runs([str(tmp_path)])
    assert run.logs["step"].tolist() == [9, 10] and run.seconds == pytest.approx(9 * 2 + 1)
    assert "checkpoint-11/trainer_state.json cannot be read." in run.notes


def test_the_time_is_that_over_all_resumes(tmp_path: Path) -> None:
    history(tmp_path, reward=[0.5])
    write_log(tmp_path, {"step": 4, "step_time": 1.0}, {"step": 4, "train_runtime": 30.0})  # since it was resumed
    assert read_runs([str(tmp_path)])[0].seconds == 30
    clock = {"TrainingClock": {"args": {}, "attributes": {"before": 100.5}}}
    state = {"log_history": [{"step": 4}], "stateful_callbacks": clock}
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4/trainer_state.json").write_text(json.dumps(state))
    assert read_runs([str(tmp_path)])[0].seconds == 100.5


@pytest.mark.parametrize("facts", [{"rows": "many", "arms": [1], "methods": 3}, {"rows": -1, "methods": [4, {}]}])
def test_facts_are_data(tmp_path: Path, facts: dict[str, object]) -> None:
    history(tmp_path, reward=[0.5])
    write_facts(tmp_path, facts)
    (run,) = read_runs([str(tmp_path)])
    assert run.rows is None and run.arms == {}


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a/run", "b/run"):
        history(tmp_path / name, reward=[0.5])
    assert [run.name for run in read_runs([str(tmp_path / name) for name in ("a/run", "b/run")])] != ["run", "run"]
    with pytest.raises(ValueError, match="is named twice"):
        read_runs([str(tmp_path / "a/run"), str(tmp_path / "b/../a/run")])


class TestMistakes:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"There is no folder .*nowhere: give the output_dir of a run"):
            read_runs([str(tmp_path / "nowhere")])

    def test_no_history_and_where_there_is_one(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"holds no history of draws \(curriculum_history\): give"):
            read_runs([str(tmp_path)])
        history(tmp_path / "run", reward=[0.5])
        (tmp_path / "run/checkpoint-1").mkdir()
        for given in (tmp_path, tmp_path / "run/checkpoint-1"):
            with pytest.raises(ValueError, match=r"there is one in \S*run"):
                read_runs([str(given)])
        history(tmp_path / "comparison/sec/seed-0", reward=[0.5])
        with pytest.raises(ValueError, match=r"there is one in \S*sec/seed-0: give"):
            read_runs([str(tmp_path / "comparison")])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"reward": "much"}, "holds a reward that is no number"),
            ({"step": -1}, "holds a step that is no number from 0 on"),
            ({"arm": 3}, "holds an arm that is no name"),
            ({"reward": None}, "neither rewards nor losses: another version has written it"),
            ({"row": None}, "has no column 'row', so something else has written it"),
        ],
    )
    def test_columns_that_cannot_be(self, tmp_path: Path, change: dict[str, object], words: str) -> None:
        frame = history(tmp_path, reward=[0.5, 0.5])
        file = next((tmp_path / "curriculum_history").iterdir())
        for name, value in change.items():
            frame = frame.drop(columns=name) if value is None else frame.assign(**{name: value})
        frame.to_parquet(file, index=False)
        with pytest.raises(ValueError, match=words):
            read_runs([str(tmp_path)])

    def test_a_segment_that_is_cut_off(self, tmp_path: Path) -> None:
        history(tmp_path, reward=[0.5])
        file = next((tmp_path / "curriculum_history").iterdir())
        file.write_bytes(file.read_bytes()[:60])
        with pytest.raises(StateError, match=rf"{file.name} cannot be read .*: move it elsewhere"):
            read_runs([str(tmp_path)])

    def test_what_is_being_written_does_not_count(self, tmp_path: Path) -> None:
        history(tmp_path, reward=[0.5])
        (tmp_path / "curriculum_history/.draws-000000000001~here~1.parquet").write_bytes(b"half")
        assert len(read_runs([str(tmp_path)])[0].history) == 1
