"""From `trl-curriculum eval` to the Hub: what was measured is shown, for the weights that it was measured with."""

import shutil
from pathlib import Path

import pytest
import tiny
import yaml
from hub_server import Hub
from huggingface_hub import ModelCard
from safetensors.numpy import load_file, save_file

from trl_curriculum.cli import main
from trl_curriculum.disk.stages import MARK
from trl_curriculum.disk.state import write_json
from trl_curriculum.evaluation.results import Results, results_file


OWN = Path(__file__).parents[1] / "evaluation" / "own_tasks"
SECRET = "hf_" + "s" * 34
ON_THE_HUB = """
dataset_path: owner/letters
dataset_name: abc
dataset_kwargs: {revision: v1, token: %s}
metadata: {version: 2}
"""
ENTRY = ".eval_results/on_the_hub.yaml"


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """`here`, `on_the_hub`, whose config says that its rows are `owner/letters` of the Hub, and the group `both`."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    shutil.copy(OWN / "letters.py", folder)
    text = (OWN / "letters_choice.yaml").read_text()
    (folder / "here.yaml").write_text(text.replace("task: letters_choice", "task: here"))
    text = text.replace("task: letters_choice", "task: on_the_hub")
    (folder / "on_the_hub.yaml").write_text(text + ON_THE_HUB % SECRET)
    (folder / "both.yaml").write_text("group: both\ntask: [here, on_the_hub]\n")
    return folder


@pytest.mark.parametrize("name", ["run", "checkpoint-2"])
def test_scores_go_with_the_weights_that_they_are_of(
    hub: Hub, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    model = tmp_path / name
    tiny.saved_model(model)
    (model / "README.md").write_text("---\nmodel_name: mine\ntags:\n- trl\n---\n\n# Mine\n")
    evaluate = ["eval", "--model_name_or_path", str(model), "--use_cpu", "--include_path", str(tasks), "--tasks"]
    push = ["push", str(model), "--repo_id", "me/tiny"]
    file = results_file(str(model))

    def says(*options: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main([*push, *options]) == code
        said = capsys.readouterr()
        return said.out + said.err

    assert "scores" not in says("--dry_run")
    assert main([*evaluate, "here", "on_the_hub", "--limit", "4"]) == 0
    limited = f"on_the_hub in {file} is left out: its scores are those of a part of the rows (limit=4), so evaluate it"
    said = says("--dry_run")
    assert limited in said and "would be added" not in said
    assert f"here in {file} is left out: it has no score over a dataset of the Hub." in said
    assert limited in says("--evals", str(file), code=1)

    assert main([*evaluate, "both", "here", "on_the_hub", "--num_fewshot", "2"]) == 0
    assert SECRET not in file.read_text()
    results = Results(file)
    results.tasks["on_the_hub"]["lm_eval"]["date"] += 10  # than in its group
    write_json(file, {**MARK, "tasks": results.tasks})
    (score,) = Results(file).scores("on_the_hub")
    said = says("--dry_run")
    assert f"The scores of on_the_hub would be added to the card and to .eval_results, from {file}." in said
    assert not (model / ENTRY).exists()
    assert f"The scores of on_the_hub are added to the card and to .eval_results, from {file}." in says()
    sent = hub.files("me/tiny")
    (entry,) = yaml.safe_load(sent[ENTRY])
    assert entry["dataset"] == {"id": "owner/letters", "task_id": "abc", "revision": "v1"}
    assert entry["value"] == score.value and score.rows == 12
    assert "task on_the_hub, version 2, acc,none, 2-shot, standard error" in entry["notes"]
    (shown,) = ModelCard(sent["README.md"].decode()).data.eval_results or []
    assert (shown.dataset_type, shown.dataset_split, shown.metric_value) == ("owner/letters", "test", score.value)
    assert [path for path in sent if path.startswith((".eval_results", "lm_eval"))] == [ENTRY]
    says("--evals", str(file))
    assert hub.files("me/tiny") == sent and len(hub.commits) == 1

    weights = load_file(model / "model.safetensors")
    save_file({key: value + 1 for key, value in weights.items()}, model / "model.safetensors", {"format": "pt"})
    outdated = (
        f"on_the_hub in {file} is left out: it was evaluated with other weights than {model} has now, so evaluate"
    )
    assert outdated in says("--dry_run") and (model / ENTRY).exists()
    assert outdated in says("--evals", str(file), code=1)
    assert outdated in says()
    sent = hub.files("me/tiny")
    assert ENTRY not in sent and not (model / ENTRY).exists()
    card = ModelCard(sent["README.md"].decode())
    assert card.data.eval_results is None and b"model-index" not in sent["README.md"]
    assert card.data.model_name == "mine" and card.data.tags == ["trl"] and card.text.strip() == "# Mine"


def test_what_another_has_written_stays(tmp_path: Path, tasks: Path, hub: Hub) -> None:
    """Of a task of which the command's scores are outdated, an entry that is not the command's."""
    model = tmp_path / "run"
    tiny.saved_model(model)
    command = ["eval", "--model_name_or_path", str(model), "--use_cpu", "--include_path", str(tasks)]
    assert main([*command, "--tasks", "on_the_hub"]) == 0
    weights = load_file(model / "model.safetensors")
    save_file({key: value + 1 for key, value in weights.items()}, model / "model.safetensors", {"format": "pt"})
    (model / ENTRY).parent.mkdir()
    (model / ENTRY).write_text("- by: hand\n")
    assert main(["push", str(model), "--repo_id", "me/tiny"]) == 0
    assert hub.files("me/tiny")[ENTRY] == b"- by: hand\n"
