"""Scores of lm-eval on the Hub: those of tasks whose dataset is there, as they were measured."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import Hub
from huggingface_hub import ModelCard, parse_eval_result_entries

from trl_curriculum.cli import main
from trl_curriculum.evaluation.models import weights_keys
from trl_curriculum.evaluation.results import Results
from trl_curriculum.publish.evals import Evals, eval_entries, find_results, model_index, read_results, write_evals


# In the form of `lm_eval.simple_evaluate`
RESULTS: dict[str, Any] = {
    "results": {
        "arc_easy": {
            "alias": "arc_easy",
            "acc,none": 0.25,
            "acc_stderr,none": 0.0125,
            "acc_norm,none": 0.5,
            "acc_norm_stderr,none": "N/A",
        },
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.125,
            "exact_match_stderr,strict-match": 0.01,
            "exact_match,flexible-extract": 0.375,
            "exact_match_stderr,flexible-extract": 0.02,
        },
        "of_a_file": {"alias": "of_a_file", "acc,none": 0.9},
        "of_a_folder": {"alias": "of_a_folder", "acc,none": 0.9},
        "not_measured": {"alias": "not_measured", "acc,none": float("nan"), "acc_stderr,none": "N/A"},
        "a_group": {"alias": "a_group", "acc,none": 0.7},
    },
    "configs": {
        "arc_easy": {
            "dataset_path": "allenai/ai2_arc",
            "dataset_name": "ARC-Easy",
            "test_split": "test",
            "metric_list": [{"metric": "acc_norm"}, {"metric": "acc"}],
        },
        "gsm8k": {
            "dataset_path": "openai/gsm8k",
            "dataset_name": None,
            "validation_split": "val",
            "metric_list": None,
        },
        "of_a_file": {"dataset_path": "json", "dataset_kwargs": {"data_files": "/home/me/rows.jsonl"}},
        "of_a_folder": {"dataset_path": "/home/me/data"},
        "not_measured": {"dataset_path": "owner/name"},
    },
    "versions": {"arc_easy": 1.0, "gsm8k": 3},
    "n-shot": {"arc_easy": 0, "gsm8k": 5},
    "date": 1_700_000_000.0,
    "lm_eval_version": "0.4.13",
    "config": {"model": "hf", "limit": None},
}


def test_the_entries_are_the_first_scores_of_tasks_whose_dataset_is_on_the_hub() -> None:
    """arc_easy's config names acc_norm first; gsm8k's names none, so that its first score is the first."""
    arc, gsm = eval_entries(RESULTS)
    assert (arc.dataset_id, arc.task_id, arc.value) == ("allenai/ai2_arc", "ARC-Easy", 0.5)
    assert arc.notes == "lm-eval 0.4.13, task arc_easy, version 1.0, acc_norm,none, 0-shot"
    assert (gsm.dataset_id, gsm.task_id, gsm.value) == ("openai/gsm8k", "default", 0.125)
    assert gsm.notes == "lm-eval 0.4.13, task gsm8k, version 3, exact_match,strict-match, 5-shot, standard error 0.01"
    assert arc.date == gsm.date == "2023-11-14T22:13:20+00:00"


def test_the_model_index_has_all_scores_of_these_tasks() -> None:
    found = [(one.dataset_type, one.dataset_split, one.metric_type, one.metric_value) for one in model_index(RESULTS)]
    assert found == [
        ("allenai/ai2_arc", "test", "acc_norm", 0.5),
        ("allenai/ai2_arc", "test", "acc", 0.25),
        ("openai/gsm8k", "val", "exact_match", 0.125),
        ("openai/gsm8k", "val", "exact_match", 0.375),
    ]
    assert "standard error 0.0125" in str(model_index(RESULTS)[1].metric_name)


def test_a_folder_of_this_machine_is_no_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openai" / "gsm8k").mkdir(parents=True)  # which `datasets` would load
    assert [one.dataset_id for one in eval_entries(RESULTS)] == ["allenai/ai2_arc"]


def test_scores_of_a_part_of_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a part of the rows \(limit=50\): run lm-eval without a limit"):
        eval_entries(RESULTS | {"config": {"limit": 50}})


def test_what_is_written_is_read_by_huggingface_hub(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("---\nmodel_name: my run\ntags:\n- trl\n---\n\n# Text\n")
    for _ in range(2):  # once more changes nothing
        write_evals(tmp_path, Evals([RESULTS]))
    files = sorted((tmp_path / ".eval_results").iterdir())
    assert [file.name for file in files] == ["arc_easy.yaml", "gsm8k.yaml"]
    entries = [one for file in files for one in parse_eval_result_entries(yaml.safe_load(file.read_text()))]
    assert entries == eval_entries(RESULTS)
    read = ModelCard(card.read_text())
    assert read.data.model_name == "my run" and read.data.tags == ["trl"] and read.text.strip() == "# Text"
    assert [one.metric_value for one in read.data.eval_results or []] == [0.5, 0.25, 0.125, 0.375]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": {}}', '{"results": [], "configs": {}}'])
def test_a_file_that_is_none_of_lm_evals(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"give the results_\*.json that lm-eval has written"):
        read_results(tmp_path / "x.json", tmp_path)


def test_of_a_run_whose_checkpoints_were_evaluated_those_of_the_one_with_its_weights_are_sent(
    hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = run_folder / "lm_eval"
    Results(kept / "checkpoint-1.json").add("gsm8k", {"weights": ["others"]}, RESULTS, 1.0)
    assert find_results(run_folder) is None
    Results(kept / "checkpoint-2.json").add("gsm8k", {"weights": weights_keys(str(run_folder))}, RESULTS, 1.0)
    assert find_results(run_folder) == kept / "checkpoint-2.json"
    assert main(["push", str(run_folder), "--repo_id", "me/tiny"]) == 0
    assert "are added to the card and to .eval_results" in capsys.readouterr().out
    assert yaml.safe_load(hub.files("me/tiny")[".eval_results/gsm8k.yaml"])[0]["value"] == 0.125
    Results(kept / "my-run.json").add("gsm8k", {"weights": ["others"]}, RESULTS, 1.0)
    assert find_results(run_folder) == kept / "my-run.json"  # the folder's own come first


def test_the_command_sends_them(
    hub: Hub, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results_1.json"
    file.write_text(json.dumps(RESULTS))
    command = ["push", str(run_folder), "--repo_id", "me/tiny", "--evals", str(file)]
    assert main([*command, "--dry_run"]) == 0
    assert "The scores of arc_easy, gsm8k would be added" in capsys.readouterr().out
    assert not (run_folder / ".eval_results").exists()
    assert main(command) == 0
    sent = hub.files("me/tiny")
    assert yaml.safe_load(sent[".eval_results/gsm8k.yaml"])[0]["value"] == 0.125
    assert b"model-index:" in sent["README.md"]
    assert {name: (run_folder / name).read_bytes() for name in sent} == sent
    file.write_text(json.dumps(RESULTS | {"results": {"of_a_file": {"acc,none": 1.0}}}))
    assert main(command) == 1
    assert "has no score of a task whose dataset is on the Hub" in capsys.readouterr().err
