"""The model card: names what picked the rows, and nothing of the machine."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import yaml
from datasets import Dataset
from harness import sft_trainer, trainer
from huggingface_hub import ModelCard
from peft import LoraConfig
from transformers import TrainerState

from trl_curriculum import Pool, __version__
from trl_curriculum.curricula import SEC, Uniform
from trl_curriculum.report import card as report_card
from trl_curriculum.report import figures
from trl_curriculum.report.card import _draws, without_local_paths
from trl_curriculum.report.public import public_name, public_options
from trl_curriculum.trainers.clock import TrainingClock


NAMES = ["[/INST] code", "a|b", "x\n---\nevil: [1", "`tick` <b>", "\x1b[31mred", "grade_1", "é: 'q' \"r\"", ""]


def card_of(run: Any, **options: Any) -> tuple[dict[str, Any], str]:
    """Front matter and text of the card that a trainer writes."""
    run.create_model_card(**options)
    text = (Path(run.args.output_dir) / "README.md").read_text()
    _, front, body = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front), body


def test_grpo_names_its_method_options_arms_paper_and_draws(tmp_path: Path) -> None:
    run = trainer(tmp_path / "my-model", curriculum={"sec": {"tau": 0.3}}, max_steps=2)
    run.train()
    front, body = card_of(run)
    assert front["model_name"] == "my-model" and "trl-curriculum" in front["tags"] and "base_model" not in front
    assert (
        f"`sec` of trl_curriculum {__version__}, after [2505.14970](https://huggingface.co/papers/2505.14970)" in body
    )
    assert "tau = 0.3" in body and "| arms | columns | names = &#91;'arm'&#93;, order = None |" in body
    assert "2 rows were drawn" in body and "of the 40 in 4 arms" in body
    assert "trained with GRPO, a method introduced in [DeepSeekMath" in body and "Curriculum GRPO" not in body
    assert "None" not in body.split("### Curriculum")[0] and f"- trl_curriculum: {__version__}\n- TRL: " in body


def test_before_the_first_draw_and_without_arms(tmp_path: Path) -> None:
    _, body = card_of(sft_trainer(tmp_path, curriculum="uniform"))
    assert "`uniform`" in body and "Nothing was drawn yet." in body and "| arm |" not in body
    assert body.index("## Training procedure") < body.index("### Curriculum") < body.index("### Framework versions")


def test_what_was_given_to_the_trainer_is_named(tmp_path: Path) -> None:
    class Mine(Uniform):
        """Mine: rows as they come."""

        name = ""

    from trl_curriculum.curricula.uniform import UniformCurriculum

    class MineCurriculum(UniformCurriculum, of=Mine):
        pass

    _, body = card_of(sft_trainer(tmp_path, curriculum=Mine()))
    assert "`Mine`. Mine: rows as they come." in body


def test_names_from_data_are_text(tmp_path: Path) -> None:
    rows = Dataset.from_list([{"text": f"row {i}", "topic": NAMES[i % len(NAMES)]} for i in range(32)])
    run = sft_trainer(tmp_path, train_dataset=rows, arms="topic", max_steps=8)
    run.train()
    front, body = card_of(run, model_name='of "me": x', tags=["a: b"])
    assert front["model_name"] == 'of "me": x' and "a: b" in front["tags"]
    for shown in ("&#91;/INST&#93; code", "a&#124;b", "grade_1", "&#96;tick&#96; &#60;b&#62;", "é: 'q'"):
        assert f"| {shown}" in body, shown
    assert "\x1b" not in body and "\n---\nevil" not in body
    table = body[body.index("| arm |") :].split("\n\n")[0].splitlines()
    assert len(table) == 2 + len(NAMES) and all(line.count("|") == 5 for line in table)


def test_of_many_arms_the_most_drawn_are_shown(tmp_path: Path) -> None:
    rows = Dataset.from_list([{"text": f"row {i}", "topic": f"{i} " + "x" * 300} for i in range(40)])
    run = sft_trainer(tmp_path, train_dataset=rows, arms="topic", max_steps=10)
    run.train()
    _, body = card_of(run)
    table = body[body.index("| arm |") :].split("\n\n")[0].splitlines()
    assert len(table) == 2 + 20 + 1 and table[-1].startswith("| 20 more |") and max(map(len, table)) < 150


@pytest.mark.parametrize("how", ["file", "folder", "absolute", "nested", "missing file", "home", "relative"])
def test_local_data_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/rows").mkdir(parents=True)
    name = {
        "file": "some/local folder/rows.jsonl",
        "folder": "data/rows",
        "absolute": str(tmp_path / "data"),
        "nested": "a/b/c/secret_project",
        "missing file": "secret_project.parquet",
        "home": "~/secret_project",
        "relative": "./secret_project",
    }[how]
    front, body = card_of(sft_trainer(tmp_path / "out"), dataset_name=name)
    assert "datasets" not in front and name not in body and "secret_project" not in body
    front, body = card_of(sft_trainer(tmp_path / "out"), dataset_name=["trl-lib/Capybara", name, "squad"])
    assert front["datasets"] == ["trl-lib/Capybara", "squad"]


def test_hub_data_is_named(tmp_path: Path) -> None:
    front, body = card_of(sft_trainer(tmp_path), dataset_name="trl-lib/Capybara")
    assert front["datasets"] == "trl-lib/Capybara" or front["datasets"] == ["trl-lib/Capybara"]
    assert "on the [trl-lib/Capybara](https://huggingface.co/datasets/trl-lib/Capybara) dataset" in body


def test_a_local_model_is_not_published_not_by_peft_either(tmp_path: Path, tiny_path: str) -> None:
    adapter = LoraConfig(r=2, target_modules="all-linear")
    options = {"model": tiny_path, "peft_config": adapter, "save_strategy": "steps", "save_steps": 1, "max_steps": 1}
    run = sft_trainer(tmp_path / "out", **options)
    run.train()
    run.save_model()
    cards = sorted((tmp_path / "out").rglob("README.md"))
    assert len(cards) == 2  # of the run and of its checkpoint
    for card in cards:
        assert str(Path(tiny_path).parent) not in card.read_text() and tiny_path not in card.read_text(), card
        assert ModelCard(card.read_text()).data.get("library_name") == "peft"
    assert "### Curriculum" in cards[-1].read_text() or "### Curriculum" in cards[0].read_text()


def test_a_hub_model_is_named() -> None:
    card = (
        "---\nbase_model: Qwen/Qwen3-0.6B\ntags:\n- base_model:adapter:Qwen/Qwen3-0.6B\n---\n\nOf [Qwen/Qwen3-0.6B](x)"
    )
    assert without_local_paths(card).count("Qwen/Qwen3-0.6B") == 3


@pytest.mark.parametrize("name", ["squad", "trl-lib/Capybara", "Qwen/Qwen2.5-3B", "a_b/c.d-e"])
def test_names_of_the_hub(name: str) -> None:
    assert public_name(name) == name


@pytest.mark.parametrize("name", [None, "", "/a", "a/b/c", "a b", "..", "x.json", "x.csv.gz", "C:\\x", 3, "s3://a/b"])
def test_other_names(name: Any) -> None:
    assert public_name(name) is None


def test_options_lose_secrets_addresses_and_folders() -> None:
    options = {
        "back_end_options": {"api_key": "sk-123", "url": "http://10.0.0.7:8000/v1"},
        "path": "/home/me/rows.jsonl",
        "relative": "data/mine/rows",
        "model": "Qwen/Qwen3-0.6B",
        "text": "Answer with yes/no. Be short.",
        "files": ["../x/y.json", Path("/srv/z")],
        "tau": 0.3,
    }
    assert public_options(options) == {
        "back_end_options": {"api_key": "***", "url": "***"},
        "path": "rows.jsonl",
        "relative": "rows",
        "model": "Qwen/Qwen3-0.6B",
        "text": "Answer with yes/no. Be short.",
        "files": ["y.json", "z"],
        "tau": 0.3,
    }


def test_sec_is_cited() -> None:
    assert SEC.paper.startswith("arXiv ")  # or the first test says nothing


def test_only_the_main_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    run = sft_trainer(tmp_path)
    monkeypatch.setattr(run, "is_world_process_zero", lambda: False)
    with caplog.at_level(logging.WARNING):
        run.create_model_card()
    assert not (tmp_path / "README.md").exists()


def test_the_arms_with_the_most_draws_come_first_with_their_rows_and_shares() -> None:
    """Arm k of 22 has 22 - k rows and was drawn k + 1 times, of 253 draws."""
    arm = np.repeat(np.arange(22), np.arange(22, 0, -1))
    names = [f"a{k:02}" for k in range(22)]
    pool = Pool(len(arm), arm=arm, arm_names=names)
    drawn = np.repeat(names, np.arange(1, 23)).astype(object)
    told = _draws(pool, np.zeros(len(drawn), int), drawn)
    assert told.startswith("253 rows were drawn, 1 different ones of the 253 in 22 arms.")
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("|")]
    assert table[2] == ["a21", "1", "22", "0.087"] and table[21] == ["a02", "20", "3", "0.012"]
    assert table[22] == ["2 more", "", "3", "0.012"] and len(table) == 23


def test_what_a_run_was_is_told_and_nothing_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hf_" + "s" * 34
    monkeypatch.setattr(
        "sys.argv", [str(tmp_path / "recipes" / "sft.py"), "--data", str(tmp_path / "x"), "--k", secret]
    )
    sets = {name: tiny.sft_dataset(4) for name in ("a|b\n---\nevil: [1", "grade_1")}
    options = {"eval_dataset": sets, "eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True, "max_steps": 2}
    run = sft_trainer(tmp_path / "out", curriculum="cyclical", hub_token=secret, run_name=str(tmp_path), **options)
    run.train()
    front, body = card_of(run)
    assert front["model_name"] == "out" and "\nevil" not in body
    order = ["### Curriculum", "### Evaluation", "### Hyperparameters", "### What it took", "### To train it again"]
    places = [body.index(title) for title in [*order, "### Framework versions", "## Citations"]]
    assert places == sorted(places)
    rows = {line.split("|")[2].strip(): line for line in body.splitlines() if line.startswith("| a&#124;b")}
    losses = [entry["eval_grade_1_loss"] for entry in run.state.log_history if "eval_grade_1_loss" in entry]
    assert f"| grade_1 | loss | {losses[0]:.4g} | 0 | {losses[-1]:.4g} | 2 |" in body and "loss" in rows
    assert "| `learning_rate` | 0.01 |" in body and "`hub_token`" not in body and "| optimizer steps | 2 |" in body
    assert (
        "trl-curriculum sft \\\n  --data x \\\n  --k '***'\n" in body
        and "title = {{Cyclical Curriculum Learning}}" in body
    )
    assert "- Python: " in body and "- accelerate: " in body
    assert secret not in body and str(tmp_path) not in body


@pytest.mark.parametrize("installed", [True, False])
def test_the_figure_is_there_where_it_is_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    drawn = figures.is_installed()
    monkeypatch.setattr(figures, "is_installed", lambda: installed and drawn)
    run = sft_trainer(tmp_path / "out", max_steps=2)
    run.train()
    _, body = card_of(run)
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", body)
    assert links == (["curriculum_draws.png"] if installed and drawn else [])
    assert all((tmp_path / "out" / link).read_bytes().startswith(b"\x89PNG") for link in links)


def test_a_history_that_cannot_be_read_costs_the_card_its_section_and_no_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = sft_trainer(tmp_path / "out", max_steps=1)
    run.train()
    next((tmp_path / "out" / "curriculum_history").iterdir()).write_bytes(b"cut off")
    run.create_model_card()
    assert "The model card tells nothing of the curriculum" in caplog.text
    assert "### Curriculum" not in (tmp_path / "out" / "README.md").read_text()


def test_a_card_that_is_made_with_a_checkpoint_has_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_card, "draws_png", lambda *given: pytest.fail("a figure that nobody sees"))
    sft_trainer(tmp_path / "out", max_steps=2, save_strategy="steps", save_steps=1).train()
    assert "### Curriculum" in (tmp_path / "out" / "README.md").read_text()


def test_the_time_of_training_goes_on_over_a_resume(tmp_path: Path) -> None:
    first = sft_trainer(tmp_path / "out", save_strategy="steps", save_steps=2, max_steps=4)
    clock = next(one for one in first.callback_handler.callbacks if isinstance(one, TrainingClock))
    clock.before = 7200.0  # as if it had trained for two hours before
    first.train()
    assert clock.seconds is not None and 7200 < clock.seconds < 9000
    second = sft_trainer(tmp_path / "out", save_strategy="steps", save_steps=2, max_steps=4)
    second.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-2"))
    _, body = card_of(second)
    assert re.search(r"\| time of training, over all resumes \| 2 h \d+ min \|", body)
    clock = TrainingClock()
    clock.on_train_begin(None, TrainerState(global_step=2), None)
    assert clock.seconds is None  # a checkpoint of a version that did not count
