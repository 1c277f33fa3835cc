"""Models and tokenizers that cannot be loaded or trained: one sentence that names the model and the file."""

import json
import logging
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import command, forked
from kit import GRPO, SELECT, SFT
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_curriculum.lm.loading import (
    check_folder,
    check_template,
    check_tokenizer,
    check_weights,
    load_tokenizer,
    loading,
)
from trl_curriculum.rounds.model import Model


MODEL = "model_name_or_path='damaged'"


def edit(name: str, **changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps(content))

    return damage


def write(name: str, text: str | None) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink() if text is None else (folder / name).write_text(text) and None


def change(weight: str, to: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        changed = to(weights.pop(weight))
        save_file(
            weights | ({weight: changed} if changed is not None else {}),
            folder / "model.safetensors",
            {"format": "pt"},
        )

    return damage


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100]) and None


HEAD = "model.norm.weight"
DAMAGES = {
    "no config": (write("config.json", None), rf"{MODEL} has no config\.json"),
    "an empty config": (write("config.json", ""), rf"{MODEL} .*: config\.json is empty"),
    "half a config": (write("config.json", '{"a": '), rf"{MODEL} .*: config\.json is no JSON"),
    "a list as config": (write("config.json", "[1]"), rf"{MODEL} .*: config\.json holds a list"),
    "a config of nothing": (write("config.json", "{}"), rf"{MODEL} cannot be loaded: .*model_type"),
    "an unknown kind": (edit("config.json", model_type="nosuch"), rf"{MODEL} cannot be loaded: .*nosuch"),
    "no weights": (write("model.safetensors", None), rf"{MODEL} cannot be loaded: .*no file named model\.safetensors"),
    "half the weights": (cut("model.safetensors"), rf"{MODEL} cannot be loaded: model\.safetensors is cut off"),
    "weights of text": (write("model.safetensors", "x" * 99), rf"{MODEL} cannot be loaded: model\.safetensors is cut"),
    "other sizes": (edit("config.json", hidden_size=4), rf"{MODEL} cannot be loaded: the weights have other sizes"),
    "no tokenizer": (write("tokenizer.json", None), rf"{MODEL} cannot be loaded: it has no tokenizer\.json"),
    "half a tokenizer": (cut("tokenizer.json"), rf"{MODEL} .*: tokenizer\.json is no JSON"),
    "its config cut": (cut("tokenizer_config.json"), rf"{MODEL} .*: tokenizer_config\.json is no JSON"),
    "no tokens": (
        edit("tokenizer_config.json", eos_token=None, pad_token=None),
        rf"{MODEL} has no end token .*to pad",
    ),
    "no Jinja": (write("chat_template.jinja", "{% if x %}"), rf"template of {MODEL} is no Jinja: line 1"),
    "NaN": (change(HEAD, lambda w: w * torch.nan), rf"{MODEL} has weights that are not finite, .* in {HEAD}"),
}


def damaged(inputs: Path, damage: Callable[[Path], None]) -> None:
    shutil.rmtree(inputs / "damaged", ignore_errors=True)
    shutil.copytree(inputs / "models/tiny", inputs / "damaged")
    damage(inputs / "damaged")


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model(name: str, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage, said = DAMAGES[name]
    damaged(inputs, damage)
    monkeypatch.chdir(inputs)
    with pytest.raises((OSError, TypeError, ValueError), match=said) as caught:
        model = Model("damaged", "", {})
        assert model.tokenizer
        check_template(model.tokenizer.chat_template, "x")
        model.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        f"{SFT} --dataset_name data/texts",
        f"{GRPO} --dataset_name data/prompts",
        f"{SELECT} --candidates data/pool/train.jsonl --output_dir out/damaged",
    ],
)
@pytest.mark.parametrize("name", ["half a config", "no weights", "no tokens", "NaN"])
def test_in_the_commands(line: str, name: str, inputs: Path) -> None:
    damage, said = DAMAGES[name]
    damaged(inputs, damage)
    words = shlex.split(line.replace("--model_name_or_path models/tiny", ""))
    done = command([*words, "--model_name_or_path", "damaged"], inputs)
    assert re.search(said, done.sentence), done.said


def test_new_weights_are_said(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By transformers, in a table at the level of warnings."""
    damaged(inputs, change(HEAD, lambda weight: None))
    monkeypatch.chdir(inputs)
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    monkeypatch.setattr(handler, "emit", lambda record: heard.append(record.getMessage()))
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        Model("damaged", "", {}).load()
    finally:
        logger.removeHandler(handler)
    assert any(HEAD in text and "MISSING" in text for text in heard)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is empty: give"),
        (" ", "is empty: give"),
        ("data", r"has no config\.json"),
        ("sft.yaml", "is a file: give the folder"),
        ("/nosuch/model", "is not there"),
        ("./nosuch", "is not there"),
        ("nosuch", "cannot be loaded: it is neither a folder here nor in the cache"),
        (3, "must be a text"),
    ],
)
def test_what_is_no_model(name: object, said: str, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(inputs)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises((OSError, TypeError, ValueError), match=f"^model_name_or_path=.*{said}") as caught:
        load_tokenizer(name)
    assert "\n" not in str(caught.value)


def test_other_errors_pass(inputs: Path) -> None:
    with pytest.raises(KeyError, match="own"), loading():
        raise KeyError("own")
    with (
        pytest.raises(ValueError, match=r"^reward='.*nosuch' cannot be loaded"),
        loading({"reward": inputs / "nosuch"}),
    ):
        AutoModelForCausalLM.from_pretrained(inputs / "nosuch")


def test_what_is_whole_is_taken(inputs: Path) -> None:
    for folder in (inputs / "models").iterdir():
        check_folder(str(folder))
        check_tokenizer(AutoTokenizer.from_pretrained(folder), "x")
        check_weights(AutoModelForCausalLM.from_pretrained(folder), "x")
    check_template("{% generation %}{{ messages }}{% endgeneration %}{{ raise_exception('x') }}", "x")


def test_trainers_of_python(inputs: Path) -> None:
    """A tokenizer that is given, and a template and a reward model that are not there."""

    def body() -> None:
        os.chdir(inputs)
        from datasets import Dataset

        from trl_curriculum import (
            CurriculumGRPOConfig,
            CurriculumGRPOTrainer,
            CurriculumSFTConfig,
            CurriculumSFTTrainer,
        )

        rows = Dataset.from_list([{"text": f"row {i}", "prompt": f"row {i}"} for i in range(8)])
        base = {"output_dir": "out/python", "use_cpu": True, "bf16": False, "report_to": "none"}
        bare = AutoTokenizer.from_pretrained("models/tiny", eos_token=None, pad_token=None)
        with pytest.raises(ValueError, match=r"^The tokenizer of processing_class has no end token"):
            CurriculumSFTTrainer(
                "models/tiny",
                CurriculumSFTConfig(**base),
                train_dataset=rows.select_columns(["text"]),
                processing_class=bare,
            )
        with pytest.raises(ValueError, match=r"^chat_template_path='data' cannot be loaded"):
            args = CurriculumSFTConfig(**base, chat_template_path="data")
            CurriculumSFTTrainer("models/tiny", args, train_dataset=rows.select_columns(["text"]))
        args = CurriculumGRPOConfig(**base, per_device_train_batch_size=8)
        with pytest.raises(ValueError, match=r"^reward_model_name_or_path='data' cannot be loaded"):
            CurriculumGRPOTrainer("models/tiny", "data", args, rows.select_columns(["prompt"]))
        args = CurriculumGRPOConfig(**base, per_device_train_batch_size=8, reward_weights=[1.0, 2.0])
        with pytest.raises(ValueError, match=r"^reward_weights=.* are 2, for 1 reward functions"):
            CurriculumGRPOTrainer("models/tiny", "data", args, rows.select_columns(["prompt"]))

    done = forked(body, inputs)
    assert done.code == 0, done.said
