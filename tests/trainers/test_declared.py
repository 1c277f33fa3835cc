"""Arguments of a wrong type or of no choice: one sentence, whoever gives them."""

import dataclasses
import inspect
import math
from pathlib import Path
from typing import Any

import pytest
from transformers.trainer_utils import IntervalStrategy, SchedulerType
from trl import DatasetMixtureConfig, GRPOConfig, GRPOTrainer, ModelConfig, SFTConfig, SFTTrainer, TrlParser
from trl.generation import vllm_generation

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig
from trl_curriculum.scripts.arguments import CurriculumScriptArguments
from trl_curriculum.scripts.launch import parse
from trl_curriculum.trainers.arguments import own_config
from trl_curriculum.trainers.checks import check_optimizer
from trl_curriculum.trainers.declared import CHOICES, refuse_undeclared


WRONG = [
    ("optim", "nosuch", "must be one of adamw_torch, "),
    ("optim", 3, "must be a text: put it in quotes"),
    ("optim", None, "must be a text"),
    ("eval_strategy", False, "must be a text: put it in quotes .YAML reads a bare `no` as false"),
    ("save_strategy", "step", "must be one of no, steps, epoch, best .did you mean 'steps'"),
    ("lr_scheduler_type", "nosuch", "must be one of linear, cosine, "),
    ("lr_scheduler_kwargs", "x", "must be a mapping"),
    ("lr_scheduler_kwargs", '{"a": ', "is no JSON"),
    ("lr_scheduler_kwargs", {"nosuch": 1}, "does not fit lr_scheduler_type='linear': .*'nosuch'"),
    ("hub_strategy", "never", "must be one of end, every_save"),
    ("log_level", "loud", "must be one of detail, debug"),
    ("report_to", ["nosuch"], "must be one of azure_ml"),
    ("report_to", "nosuch", "must be one of all, none, azure_ml"),
    ("debug", "nosuch", "must be one of underflow_overflow"),
    ("deepspeed", "nosuch.json", "is neither a mapping nor a file"),
    ("bf16", "yes", "must be true or false"),
    ("run_name", {"a": 1}, "must be a text"),
    ("label_names", 3, "must be a list of texts"),
    ("hub_token", 123456, "must be a text"),
    ("parallelism_config", {"a": 1}, "must be ParallelismConfig"),
    ("loss_type", "nosuch", "must be one of "),
    ("loss_type", 3, "must be a text"),
    ("model_init_kwargs", [1], "must be a mapping"),
]
OF_ONE = [
    (CurriculumSFTConfig, "packing", 3, "must be true or false"),
    (CurriculumSFTConfig, "truncation_mode", "keep", "must be one of keep_end, keep_start"),
    (CurriculumGRPOConfig, "generation_kwargs", "x", "must be a mapping"),
    (CurriculumGRPOConfig, "scale_rewards", "GROUP", "must be one of group, batch, none"),
    (CurriculumGRPOConfig, "reward_weights", 3, "must be a list of numbers"),
    (CurriculumGRPOConfig, "reward_weights", ["x"], "must be a list of numbers"),
    (CurriculumGRPOConfig, "reward_weights", [math.inf], "must be finite"),
    (CurriculumGRPOConfig, "vllm_mode", "inside", "must be one of server, colocate"),
]
BOTH = [(config, *one) for one in WRONG for config in (CurriculumSFTConfig, CurriculumGRPOConfig)]


@pytest.mark.parametrize(("config", "name", "value", "said"), [*BOTH, *OF_ONE])
def test_what_is_not_declared_is_refused(config: Any, name: str, value: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError, OSError), match=rf"^{name}=.*{said}") as caught:
        config(**{"output_dir": str(tmp_path), "use_cpu": True, "bf16": False} | {name: value})
    assert "\n" not in str(caught.value) and "123456" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"eval_strategy": IntervalStrategy.NO, "lr_scheduler_type": SchedulerType.COSINE},
        {"report_to": ["tensorboard"], "debug": "underflow_overflow"},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": '{"min_lr_rate": 0.1}'},
        {"accelerator_config": {"split_batches": False}, "label_names": "labels"},
        {"resume_from_checkpoint": True, "fsdp": ""},
    ],
)
@pytest.mark.parametrize("config", [CurriculumSFTConfig, CurriculumGRPOConfig])
def test_what_trl_takes_is_taken(config: Any, given: dict[str, Any], tmp_path: Path) -> None:
    args = config(tmp_path, use_cpu=True, bf16=False, **given)
    again = {"steps_per_generation": None} if config is CurriculumGRPOConfig else {}
    dataclasses.replace(args, **again)  # with what has become objects


@pytest.mark.parametrize("config", [GRPOConfig, SFTConfig])
def test_trls_own_config_is_checked_where_a_trainer_is_made(config: Any, tmp_path: Path) -> None:
    ours = CurriculumSFTConfig if config is SFTConfig else CurriculumGRPOConfig
    args = config(str(tmp_path), use_cpu=True, bf16=False)
    assert type(own_config(args, "x", ours, "Trainer", "X")) is ours
    args.loss_type = "nosuch"
    with pytest.raises(ValueError, match=r"^loss_type='nosuch' must be one of "):
        own_config(args, "x", ours, "Trainer", "X")


def test_choices_are_those_of_trl() -> None:
    source = {
        GRPOConfig: inspect.getsource(GRPOTrainer)
        + inspect.getsource(GRPOConfig)
        + inspect.getsource(vllm_generation),
        SFTConfig: inspect.getsource(SFTTrainer) + inspect.getsource(SFTConfig),
    }
    for config, table in CHOICES.items():
        for name, known in table.items():
            assert getattr(config, name) in known, name
            assert all(f'"{value}"' in source[config] for value in known), name
            refuse_undeclared({name: known[-1]}, config)


TYPES: Any = (CurriculumScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("system_prompt: {a: 1}", "system_prompt={'a': 1} must be a text"),
        ("prompt_column: null", "prompt_column=None must be a text"),
        ("attn_implementation: flash", "attn_implementation='flash' must be one of eager"),
        ("dtype: 16", "dtype=16 must be a text"),
        ("use_peft: 1", "use_peft=1 must be true or false"),
        ("lora_r: x1", "argument --lora_r"),
        ("lora_dropout: [0.1]", "lora_dropout=.0.1. must be a number"),
        ("bnb_4bit_quant_type: int4", "bnb_4bit_quant_type='int4' must be one of fp4, nf4"),
        ("dataset_config: 3", "dataset_config=3 must be a text: put it in quotes"),
        ("lr_scheduler_type: reduce_lr_on_plateau", "requires an eval strategy"),
    ],
)
def test_in_a_recipe(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"output_dir: {tmp_path}\nuse_cpu: true\nbf16: false\n{text}\n")
    with pytest.raises((TypeError, ValueError, SystemExit)) as caught:
        parse(TrlParser(TYPES), ["--config", str(file)])
    assert said.replace(".0.1.", "[0.1]") in str(caught.value) + capsys.readouterr().err


def test_usual_recipes_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    lines = ["lora_target_modules: all-linear", "attn_implementation: kernels-community/flash-attn", "report_to: none"]
    lines += ["learning_rate: 1e-4", "packing: false", "eval_strategy: 'no'", "resume_from_checkpoint: true"]
    file.write_text("\n".join([f"output_dir: {tmp_path}", "use_cpu: true", "bf16: false", *lines]))
    _, training, model, *_ = parse(TrlParser(TYPES), ["--config", str(file)])
    assert training.learning_rate == 1e-4 and model.lora_target_modules == "all-linear"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optim_args": "x"}, "optim_args='x' must be like 'name=value,name=value', and 'x' is not"),
        ({"optim_args": "nosuch=1"}, "has no effect with optim='adamw_torch_fused', which does not read nosuch"),
        ({"optim": "sgd", "optim_args": "momentum=x"}, "optim='sgd' with optim_args='momentum=x' cannot be made"),
        ({"optim": "sgd", "optim_args": "momentum=0.9"}, None),
        ({"optim_args": ""}, None),
        ({"optim": "adafactor"}, None),
    ],
)
def test_optimizers_are_tried(given: dict[str, Any], said: str | None, tmp_path: Path) -> None:
    args = CurriculumSFTConfig(str(tmp_path), use_cpu=True, bf16=False, **given)
    if said is None:
        return check_optimizer(args)
    with pytest.raises(ValueError, match=said):
        check_optimizer(args)
