"""Recipes say what papers did, and each has a CPU twin that differs only where it has to."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from trl_curriculum import read_history
from trl_curriculum.cli.grpo import recipe
from trl_curriculum.cli.launch import parse


RECIPES = Path(__file__).parent.parent / "recipes" / "grpo"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
HUB = {"sec_math"}  # the only recipe whose rows come from the Hub; its twin has a sample of our own

MAY_DIFFER = {
    "model": {"model_name_or_path", "output_dir"},
    "sizes": {
        *("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "num_generations"),
        *("max_steps", "max_completion_length", "vllm_max_model_length", "size", "task_num_proc"),
        *("eval_steps", "num_generations_eval", "per_device_eval_batch_size", "logging_steps"),
        *("save_steps", "save_strategy"),
    },
    "back end": {
        *("num_processes", "num_cpu_threads_per_process", "accelerate_config", "use_cpu", "gradient_checkpointing"),
        *("use_vllm", "vllm_mode", "vllm_gpu_memory_utilization", "vllm_enable_sleep_mode"),
    },
    "precision": {"bf16"},
}


def read(path: Path) -> dict[str, Any]:
    """The recipe as a flat mapping: `tasks.0.size` and so on."""

    def flatten(value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, dict | list):
            return {key: value}
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for name, item in items for k, v in flatten(item, f"{key}.{name}" if key else str(name)).items()}

    return flatten(yaml.safe_load(path.read_text()), "")


def run(*argv: str | Path) -> None:
    script = recipe("grpo")
    *arguments, launch_args = parse(script.make_parser(), [str(word) for word in argv])
    script.main(*arguments, num_processes=launch_args.num_processes)


def test_every_recipe_has_a_twin_and_every_twin_a_recipe() -> None:
    assert NAMES == sorted(path.stem for path in (RECIPES / "cpu").glob("*.yaml"))
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_twin_differs_only_in_model_sizes_back_end_and_precision(name: str) -> None:
    paper, twin = read(RECIPES / f"{name}.yaml"), read(RECIPES / "cpu" / f"{name}.yaml")
    allowed = {key: reason for reason, keys in MAY_DIFFER.items() for key in keys}
    if name in HUB:
        allowed["dataset_name"] = "no hub"
    strangers = []
    for key in sorted(paper.keys() | twin.keys()):
        if paper.get(key) != twin.get(key):
            reason = allowed.get(key.split(".")[-1])
            print(f"{reason or 'NOT ALLOWED':<12}{key}: {paper.get(key)} -> {twin.get(key)}")
            if reason is None:
                strangers.append(key)
    assert not strangers, f"{name}: the twin differs from the recipe in {strangers}"
    steps = [r["steps_per_generation"] / r["gradient_accumulation_steps"] for r in (paper, twin)]
    assert steps == [4, 4], "optimizer steps per generation"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", [RECIPES, RECIPES / "cpu"], ids=["gpu", "cpu"])
def test_dry_run(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--config", folder / f"{name}.yaml", "--dry_run", "--task_size", "1"]
    if name == "dump_knights_knaves":  # puzzles with 14 people take seconds each
        argv += ["--test_tasks", '{"family": "knights_knaves", "size": 1, "people": 3, "config": {"n_people": 3}}']
    if name in HUB and folder == RECIPES:
        with pytest.raises(ConnectionError, match=r"nlile/hendrycks-MATH-benchmark.*Hub"):
            run(*argv)
        return
    run(*argv)
    plan = capsys.readouterr().out
    print(plan)
    arms = {"sec_math": 5, "sec_2d": 9, "dump_knights_knaves": 12}.get(name, 3)
    assert next(line for line in plan.splitlines() if line.startswith("arms")).count("(") == arms
    if folder == RECIPES:
        prompts, generations = (128, 168) if name.startswith("dump") else (256, 720 if name == "sec_2d" else 240)
        assert f"{prompts} prompts x" in plan and "= 2048 rollouts" in plan
        assert "4 optimizer steps per generation, 512 rollouts each" in plan
        assert f" {generations} generations, {generations * 2048} rollouts" in plan


def test_smallest_twin_trains_and_resumes(tiny_path: str, tmp_path: Path) -> None:
    argv = ["--config", RECIPES / "cpu" / "sec_math.yaml", "--model_name_or_path", tiny_path, "--instruction", " "]
    argv += ["--output_dir", tmp_path, "--save_strategy", "steps", "--save_steps", "4", "--eval_steps", "4"]
    run(*argv, "--max_steps", "4")
    assert (tmp_path / "model.safetensors").exists()
    run(*argv, "--max_steps", "8", "--resume_from_checkpoint", tmp_path / "checkpoint-4")
    state = json.loads((tmp_path / "checkpoint-8" / "trainer_state.json").read_text())
    logged = {key for entry in state["log_history"] for key in entry}
    assert state["global_step"] == 8
    assert {"rewards/math_accuracy/mean", "eval_1_reward", "eval_5_reward", "curriculum/probability/5"} <= logged
    assert len(read_history(tmp_path)) > 0
