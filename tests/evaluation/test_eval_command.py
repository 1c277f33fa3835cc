"""`trl-curriculum eval` on checkpoints of tiny runs: what is done stays done, and what cannot be is one sentence."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
from commands import Done, command
from harness import sft_trainer
from peft import LoraConfig

from trl_curriculum.evaluation.measure import Score
from trl_curriculum.evaluation.results import Results


OWN = Path(__file__).parent / "own_tasks"
ARGUMENTS = ["eval", "--use_cpu", "--include_path", str(OWN), "--limit", "4", "--tasks"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of the steps 1 and 2, one with adapters, and the base of these."""
    folder = tmp_path_factory.mktemp("runs")
    options: dict[str, Any] = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    sft_trainer(folder / "whole", **options).train()
    base = tiny.saved_model(folder / "base")
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    sft_trainer(folder / "lora", model=base, peft_config=lora, **options).train()
    return folder


def evaluate(folder: Path, *words: str) -> Done:
    return command([*ARGUMENTS, *words], folder)


def scores(file: Path, task: str) -> list[Score]:
    return Results(file).scores(task)


def stored(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())["tasks"]


def test_all_checkpoints_of_a_run_once(runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs / "whole", run)
    (run / "checkpoint-3").mkdir()
    words = ["letters_choice", "letters_written", "--model_name_or_path", str(run), "--checkpoints", "all"]
    done = evaluate(tmp_path, *words)
    assert done.code == 0, done.said
    assert "checkpoint-3 is left out: it has no file of weights." in done.err
    files = [run / "lm_eval" / f"checkpoint-{step}.json" for step in (1, 2)]
    first = [stored(file) for file in files]
    (score,) = scores(files[0], "letters_choice")
    assert score.metric == "acc" and score.rows == 4 and score.stderr > 0
    lines = done.out.splitlines()
    cells = next(line.split() for line in lines if line.startswith("checkpoint-1  letters_choice"))
    assert cells[2:] == ["acc", f"{score.value:.3f}", f"{score.stderr:.3f}", "4"]
    # Again: nothing is left. Another weight, or another task: that alone is done.
    done = evaluate(tmp_path, *words)
    assert "results that are there already: 4" in done.out and [stored(file) for file in files] == first
    assert "letters_written" in done.out
    weights = (run / "checkpoint-2" / "model.safetensors").read_bytes()
    (run / "checkpoint-2" / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\0")
    done = evaluate(tmp_path, *words, "--dry_run")
    assert done.out.splitlines()[-2:] == [
        f"{run}/checkpoint-1: nothing to do",
        f"{run}/checkpoint-2: letters_choice, letters_written",
    ]
    done = evaluate(tmp_path, *words, "--limit", "3", "--checkpoints", "1")
    assert done.code == 0 and scores(files[0], "letters_choice")[0].rows == 3


def test_adapters_are_loaded_onto_their_model(runs: Path, tmp_path: Path) -> None:
    words = ["letters_choice", "--num_fewshot", "2", "--model_name_or_path"]
    done = evaluate(tmp_path, *words, str(runs / "lora" / "checkpoint-2"), "--out", "results")
    assert done.code == 0, done.said
    found = stored(tmp_path / "results" / "checkpoint-2.json")["letters_choice"]["made_with"]
    assert len(found["weights"]) == 2  # the base's and the adapters'
    done = evaluate(tmp_path, *words, str(runs / "base"))
    assert done.code == 0 and stored(runs / "base" / "lm_eval" / "base.json")["letters_choice"]["made_with"] != found


def test_a_recipe_from_another_folder(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        f"model_name_or_path: {runs / 'base'}\ntasks: [letters_written]\ninclude_path: {OWN}\nuse_cpu: true\n"
        "gen_kwargs: {max_gen_toks: 3}\nlimit: 2\nout: here\n"
    )
    done = command(["eval", "--config", "mine.yaml"], tmp_path)
    assert done.code == 0, done.said
    letters, vowels = scores(tmp_path / "here" / "base.json", "letters_written")
    assert (letters.metric, vowels.metric) == ("letters", "vowels")
    assert letters.value <= 5  # three letters, with spaces between


SENTENCES: dict[str, tuple[list[str], str]] = {
    "task": (["letters_choise", "--model_name_or_path", "{base}"], "no task 'letters_choise' (did you mean"),
    "no checkpoint": (
        ["letters_choice", "--model_name_or_path", "{base}", "--checkpoints", "all"],
        "holds no checkpoint-*: give the output_dir of a run",
    ),
    "no such step": (
        ["letters_choice", "--model_name_or_path", "{whole}", "--checkpoints", "7"],
        "holds no checkpoint-7, but those of the steps 1, 2.",
    ),
    "no run": (
        ["letters_choice", "--model_name_or_path", "nowhere", "--checkpoints", "all"],
        "model_name_or_path='nowhere' is no folder: with `checkpoints` give that of a run.",
    ),
    "no model": (["letters_choice", "--model_name_or_path", "{folder}"], "has no config.json: it is no folder of a"),
    "no weights": (["letters_choice", "--model_name_or_path", "{empty}"], "it has no file of weights"),
    "no network": (["gsm8k", "--model_name_or_path", "{base}"], "or the Hub must be reachable (HF_HUB_OFFLINE"),
    "no vLLM": (["letters_choice", "--model_name_or_path", "{base}", "--back_end", "vllm"], "needs the package vllm"),
    "code": (["humaneval", "--model_name_or_path", "{base}"], "allow it with confirm_run_unsafe_code"),
    "limit": (["letters_choice", "--model_name_or_path", "{base}", "--limit", "-1"], "limit=-1.0 of the evaluation"),
    "twice": (["a", "a", "--model_name_or_path", "{base}"], "has 'a' twice"),
    "window": (
        ["letters_written", "--model_name_or_path", "{base}", "--gen_kwargs", '{"max_gen_toks": 128}'],
        "generates up to 128 tokens, and the model has room for 128",
    ),
}


@pytest.mark.parametrize("words, sentence", SENTENCES.values(), ids=SENTENCES)
def test_what_cannot_be_is_one_sentence(
    runs: Path, tmp_path: Path, few_tasks: None, words: list[str], sentence: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(runs / "base" / "config.json", empty)
    places = {"{base}": runs / "base", "{whole}": runs / "whole", "{folder}": OWN, "{empty}": empty}
    done = evaluate(tmp_path, *(str(places.get(word, word)) for word in words))
    assert sentence in done.sentence


def test_without_lm_eval(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    done = evaluate(tmp_path, "letters_choice", "--model_name_or_path", str(runs / "base"))
    assert done.sentence.endswith("needs the package lm-eval: run `pip install 'trl_curriculum[eval]'`.")


def test_results_of_others_are_left_alone(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text('{"mine": 1}')
    done = evaluate(tmp_path, "letters_choice", "--model_name_or_path", str(runs / "base"), "--out", ".")
    assert "holds no results that this package has written" in done.sentence
    assert (tmp_path / "base.json").read_text() == '{"mine": 1}'
