"""The sizes and lines of a plan."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
from datasets import Dataset
from trl import ModelConfig

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer, CurriculumSFTConfig, Pool
from trl_curriculum.curricula import CURRICULA
from trl_curriculum.scripts.plan import grpo_plan, sft_plan
from trl_curriculum.trainers.outlook import block, refuse_powerless, warn_of_odd
from trl_curriculum.trainers.sizes import Run, grpo_run, sft_run


CPU: dict[str, Any] = {"use_cpu": True, "bf16": False}
ROLLOUTS = {"per_device_train_batch_size": 8, "num_generations": 4, "gradient_accumulation_steps": 1}


def grpo(**changes: Any) -> CurriculumGRPOConfig:
    return CurriculumGRPOConfig("out", **(CPU | ROLLOUTS | changes))


def sft(**changes: Any) -> CurriculumSFTConfig:
    return CurriculumSFTConfig("out", **(CPU | {"per_device_train_batch_size": 4} | changes))


@pytest.mark.parametrize(
    ("changes", "steps", "batches", "rows"),
    [
        ({"max_steps": 7}, 7, 7, 2),
        ({"max_steps": 7, "steps_per_generation": 4}, 7, 2, 8),
        ({"max_steps": 7, "steps_per_generation": 4, "gradient_accumulation_steps": 4}, 7, 7, 8),
        ({"max_steps": 8, "num_iterations": 2}, 8, 4, 2),
        ({"num_train_epochs": 2}, 40, 40, 2),
    ],
)
def test_a_grpo_run_is_counted(changes: dict[str, Any], steps: int, batches: int, rows: int) -> None:
    run = grpo_run(grpo(**changes), 40, 1)
    assert (run.steps, run.batches, run.rows) == (steps, batches, rows)
    assert run.step(1) == 1 and run.step(run.batches or 0) <= steps
    assert run.largest == pytest.approx(math.sqrt(3 / 4))
    assert grpo_run(grpo(scale_rewards="none"), 40, 1).largest is None
    assert grpo_run(grpo(num_train_epochs=2), 41, 1).steps == 40, "TRL leaves out what is no whole generation"


@pytest.mark.parametrize(
    ("changes", "tokens", "expected"),
    [
        ({"max_steps": 5}, None, Run(5, 4, trial=True)),
        ({"num_train_epochs": 3}, None, Run(30, 4)),
        ({"num_train_epochs": 1, "gradient_accumulation_steps": 2}, 400, Run(5, 8)),
        ({"num_train_epochs": 1, "dataloader_drop_last": True, "per_device_train_batch_size": 16}, None, Run(2, 16)),
        ({"max_tokens": 200}, 400, Run(5, 4, exact=False)),
        ({"max_tokens": 200}, None, Run(None, 4, exact=False)),
        ({"packing": True, "max_length": 50, "max_steps": 9}, None, Run(9, None, exact=False, trial=True)),
        ({"packing": True, "max_length": 50, "num_train_epochs": 1}, 400, Run(2, 20, exact=False)),
        (
            {"packing": True, "max_length": 10, "num_train_epochs": 1, "gradient_accumulation_steps": 2},
            400,
            Run(5, 8, exact=False),
        ),
    ],
)
def test_an_sft_run_is_counted(changes: dict[str, Any], tokens: int | None, expected: Run) -> None:
    assert sft_run(sft(**changes), 40, 1, tokens) == expected


@pytest.mark.parametrize(("tau", "odds"), [(1.0, "2.55 : 1"), (0.2, "107 : 1"), (0.01, r"10^41 : 1")])
def test_the_largest_odds_are_those_of_a_group_half_right(tau: float, odds: str) -> None:
    args = grpo(num_generations=8, curriculum={"sec": {"tau": tau}}, arms="arm")
    pool = Pool(4, arm=[0, 0, 1, 1], arm_names=["a", "b"])
    sec = CURRICULA.make(args.curriculum).bind(pool)
    run = grpo_run(args, 4, 1)
    assert f"at most {odds}" in block(sec, sec.outlook(run.batches, run.rows), run, args)["odds"]
    sec.estimator.mean[:] = 0, 2 * math.sqrt(0.5 * 0.5 * 7 / 8)  # half of 8 rollouts are right: TRL's mean |A|
    low, high = sec.probabilities()
    assert math.log(high / low) == pytest.approx(run.largest / tau)


def test_a_plan_says_what_the_curriculum_can_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = Dataset.from_list([{"prompt": f"q{i}", "answer": str(i), "arm": "ab"[i % 2]} for i in range(40)])
    args = grpo(curriculum="sec", arms="arm", max_steps=5)
    model = ModelConfig(model_name_or_path=tiny.saved_model(tmp_path))
    plan = grpo_plan(rows, None, [tiny.reward], args, model)
    for words in ("arms        arm: a (20), b (20)", "odds        ", "longest     3 tokens in the prompt of row 10"):
        assert words in plan
    short = grpo_plan(rows, None, [tiny.reward], args, model, whole=False)
    assert "odds" not in short and "arms" not in short and "5 optimizer steps" in short


def test_a_trial_is_counted_and_warned_of_by_what_happens(caplog: pytest.LogCaptureFixture) -> None:
    """`max_steps` is a number and no estimate; a late event is named in the warning of a trial as in a refusal."""
    pool, args = Pool(40), grpo(curriculum={"evo_curate": {"refresh_steps": 9}}, max_steps=5)
    curriculum, run = args.curriculum_method.bind(pool), grpo_run(args, 40, 1)
    outlook = curriculum.outlook(run.batches, run.rows)
    acts = block(curriculum, outlook, run, args)["acts"]
    assert acts.startswith("first refresh at step 10 of 5: never in this run")
    refuse_powerless(curriculum, outlook, run)
    warn_of_odd(curriculum, outlook, run, args)
    late = "its first refresh that has an effect would come before step 10, and the run has 5"
    assert f"{late}: it will draw blindly" in caplog.text
    whole = dataclasses.replace(run, trial=False)
    with pytest.raises(ValueError, match=late):
        refuse_powerless(curriculum, outlook, whole)
    estimate = dataclasses.replace(whole, exact=False)
    refuse_powerless(curriculum, outlook, estimate)
    assert "at step about 10 of about 5" in block(curriculum, outlook, estimate, args)["acts"]


def test_a_model_that_is_not_here_leaves_the_lines_out(tmp_path: Path) -> None:
    rows = Dataset.from_list([{"text": f"row {i}"} for i in range(8)])
    plan = sft_plan(rows, None, sft(), ModelConfig(model_name_or_path="nobody/has-this"))
    assert "longest     not known here" in plan


def test_prompts_are_shown_as_the_first_draw_asks_them(tiny_path: str) -> None:
    methods = {
        "rollouts": [{"prompt_augmentation": {"templates": ["hashes", "boxed"]}}],
        "shaping": [{"budget": {"initial": 8, "tell": "<{budget}>"}}],
    }
    args, rows = grpo(max_completion_length=8, **methods), tiny.dataset(8)
    plan = grpo_plan(rows, None, [tiny.reward], args, ModelConfig(model_name_or_path=tiny_path))
    found = CurriculumGRPOTrainer(tiny_path, tiny.reward, args, rows).found
    assert "< 8 >" in found["first row"]
    for name in ("first row", "longest"):
        assert f"{name:<12}{found[name]}\n" in plan


@pytest.mark.parametrize(
    ("changes", "held_out", "words"),
    [
        ({"eval_strategy": "epoch"}, None, "eval_strategy='epoch' evaluates on held-out rows, and there are none"),
        ({"eval_strategy": "steps", "eval_steps": 1}, {}, "there are none"),
        ({"eval_strategy": "epoch"}, {"a": 1, "b": 0}, "eval_dataset b has no rows"),
        ({"eval_strategy": "epoch"}, {"": 0}, "eval_dataset has no rows"),
        (
            {"eval_strategy": "epoch", "save_strategy": "best", "metric_for_best_model": "mean_token_accuracy"},
            {"": 1},
            "follows the metric 'eval_mean_token_accuracy', which no evaluation of this run reports.*to eval_loss",
        ),
    ],
)
def test_evaluations_that_cannot_be_are_refused(changes: dict, held_out: Any, words: str) -> None:
    rows = Dataset.from_list([{"text": f"row {i}"} for i in range(8)])
    sets = held_out and {name: rows.select(range(n)) for name, n in held_out.items()}
    given = sets[""] if sets and "" in sets else sets
    with pytest.raises(ValueError, match=words):
        sft_plan(rows, given, sft(**changes), ModelConfig(model_name_or_path="x"))


def test_attention_that_cannot_be_looked_at_is_refused() -> None:
    prompts, args = Dataset.from_list([{"prompt": f"q{i}"} for i in range(40)]), grpo(shaping="attention_entropy")
    for given, kwargs, words in (
        (None, None, "the default attn_implementation"),
        ("sdpa", None, "attn_implementation='sdpa'"),
        ("eager", {"attn_implementation": "sdpa"}, "attn_implementation='sdpa'"),  # which wins, as where it is loaded
    ):
        args.model_init_kwargs = kwargs
        model = ModelConfig(model_name_or_path="nobody/has-this", attn_implementation=given)
        with pytest.raises(ValueError, match=f"which {words} does not give: set attn_implementation: eager"):
            grpo_plan(prompts, None, [tiny.reward], args, model, 1, whole=False)
    args.model_init_kwargs = None
    model = ModelConfig(model_name_or_path="nobody/has-this", attn_implementation="eager")
    assert grpo_plan(prompts, None, [tiny.reward], args, model, 1, whole=False)


def test_numbers_of_a_plan() -> None:
    model = ModelConfig(model_name_or_path="nobody/has-this")
    prompts = Dataset.from_list([{"prompt": f"q{i}"} for i in range(40)])
    args = grpo(max_steps=5, steps_per_generation=2, max_completion_length=64)
    plan = grpo_plan(prompts, None, [tiny.reward], args, model, 3, whole=False)
    for words in (
        "processes   3, 8 rollouts each per micro-batch",
        "12 prompts x 4 generations = 48 rollouts of at most 64 tokens",
        "2 optimizer steps per generation, 24 rollouts each",
        "5 optimizer steps, 3 generations, 144 rollouts",
    ):
        assert words in plan, plan
    rows = Dataset.from_list([{"prompt": f"q{i}", "completion": "a"} for i in range(16)])
    plan = sft_plan(rows, None, sft(max_steps=10, gradient_accumulation_steps=2), model, 1, whole=False)
    assert "10 optimizer steps, 80 draws, 5.0 for each row on average" in plan and "8 rows of at most" in plan
    for given, trained in ((None, "completions"), (True, "completions"), (False, "all tokens")):
        plan = sft_plan(rows, None, sft(completion_only_loss=given), model, 1, whole=False)
        assert f"trained on  {trained}" in plan, plan
