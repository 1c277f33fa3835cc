"""A model that is evaluated while it trains: the same weights as without, and every result once."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import sft_trainer, trainer
from peft import LoraConfig
from processes import together

from trl_curriculum import CurriculumSFTConfig
from trl_curriculum.evaluation.callback import SHARE, LMEvalCallback, evaluations, untouched


OWN = str(Path(__file__).parent / "own_tasks")
LIVE: dict[str, Any] = {"tasks": ["letters_choice", "letters_written"], "every": 2, "limit": 6, "include_path": OWN}
LORA = {"r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}


def weights(made: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in made.model.named_parameters()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def run(folder: Path, **changes: Any) -> Any:
    """A GRPO run of five steps, whose rewards differ within groups."""
    options: dict[str, Any] = {"per_device_train_batch_size": 8, "max_steps": 5, "logging_steps": 2}
    made = trainer(folder, reward_funcs=letters, arms=None, curriculum="uniform", **options, **changes)
    before = weights(made)
    made.train()
    made.learnt = not same(before, weights(made))
    return made


def letters(completions: list[str], **columns: Any) -> list[float]:
    return [float(sum(one in "aeiou0123" for one in text)) for text in completions]


def without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != SHARE}


@pytest.mark.parametrize("peft", [False, True], ids=["whole", "lora"])
def test_weights_and_logs_are_those_of_a_run_without_it(tmp_path: Path, peft: bool) -> None:
    more = {"peft_config": LoraConfig(**LORA)} if peft else {}
    plain, live = (run(tmp_path / name, lm_eval=spec, **more) for name, spec in (("plain", None), ("live", LIVE)))
    assert plain.learnt and same(weights(plain), weights(live))
    assert all(module.training for module in live.model.modules()) == all(m.training for m in plain.model.modules())
    found = evaluations(live.state.log_history)
    assert [row["step"] for row in found] == [2, 4, 5]  # the last step has one too
    assert {"lm_eval/letters_choice", "lm_eval/letters_choice_stderr"} < found[0].keys()
    assert {"lm_eval/letters_written", "lm_eval/letters_written/vowels"} < found[0].keys()
    assert 0 < found[-1][SHARE] < 1
    assert live.lm_eval_results["letters_choice"] == found[-1]["lm_eval/letters_choice"]
    assert plain.lm_eval_results == {}
    rows = [row.keys() for row in live.state.log_history if SHARE not in row]
    assert rows == [row.keys() for row in plain.state.log_history]  # none of TRL's metrics went with ours


def test_a_resume_repeats_no_evaluation_and_lacks_none(tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_steps": 6, "save_strategy": "steps", "save_steps": 1, "lm_eval": LIVE}
    whole = sft_trainer(tmp_path / "whole", **options)
    whole.train()
    for step in (2, 3):
        again = sft_trainer(tmp_path / f"from_{step}", **options)
        again.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        found = evaluations(again.state.log_history)
        assert [row["step"] for row in found] == [2, 4, 6]
        assert list(map(without_time, found)) == list(map(without_time, evaluations(whole.state.log_history)))
        assert same(weights(again), weights(whole))


def test_a_budget_of_tokens_ends_with_an_evaluation(tmp_path: Path) -> None:
    made = sft_trainer(tmp_path, max_steps=-1, max_tokens=400, lm_eval=LIVE | {"every": 1000})
    made.train()
    assert [row["step"] for row in evaluations(made.state.log_history)] == [made.state.global_step]


def test_what_an_evaluation_changes_is_put_back() -> None:
    model = tiny.model()
    model.train()
    model.lm_head.eval()
    torch.manual_seed(3)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    with untouched(model):
        model.eval()
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    assert random.getstate() == states[0] and np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert [module.training for module in model.modules()].count(False) == 1 and not model.lm_head.training


def test_two_processes_evaluate_once_and_train_alike(tmp_path: Path) -> None:
    def run(name: str, spec: Any) -> Any:
        def body(rank: int) -> int:
            made = sft_trainer(tmp_path / name, max_steps=4, lm_eval=spec)
            made.train()
            torch.save((weights(made), made.state.log_history, made.lm_eval_results), tmp_path / f"{name}-{rank}.pt")
            return 0

        for done in together(body, tmp_path / f"{name}-logs"):
            assert done.code == 0, done.said
        return [torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=False) for rank in (0, 1)]

    live, plain = run("live", LIVE), run("plain", None)
    assert all(same(one[0], plain[0][0]) for one in (*live, *plain))
    assert live[0][2] == live[1][2] and "letters_choice" in live[0][2]
    assert [row["step"] for row in evaluations(live[1][1])] == [2, 4]


@pytest.mark.parametrize(
    "spec, sentence",
    [
        ({"tasks": ["letters_choise"], "include_path": OWN}, "There is no task 'letters_choise' (did you mean"),
        ({"tasks": ["letters_choice"], "include_path": "nowhere"}, "include_path='nowhere' is no folder"),
    ],
)
def test_tasks_are_looked_up_before_a_model_is_loaded(
    tmp_path: Path, few_tasks: None, spec: Any, sentence: str
) -> None:
    with pytest.raises((ValueError, OSError)) as error:
        sft_trainer(tmp_path, model="no/such-model", lm_eval=spec)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "spec, sentence",
    [
        ({}, "has no tasks"),
        ({"tasks": ["a"], "evry": 3}, "no option 'evry' (did you mean 'every'?)"),
        ({"tasks": ["a"], "every": 0}, "every=0 of the evaluation must be at least 1"),
        ({"tasks": ["a", "a"]}, "has 'a' twice"),
        ({"tasks": ["a"], "limit": -1}, "limit=-1 of the evaluation must be above 0"),
        ("{", "is no JSON"),
        (3, "lm_eval=3 must be a mapping of options"),
    ],
)
def test_options_are_checked_with_the_arguments(tmp_path: Path, spec: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        CurriculumSFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, lm_eval=spec)
    assert sentence in str(error.value)


def test_a_command_line_gives_json_or_leaves_it_out(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False}
    assert CurriculumSFTConfig(**plain, lm_eval='{"tasks": ["a"], "every": 3}').lm_eval == {"tasks": ["a"], "every": 3}
    assert CurriculumSFTConfig(**plain, lm_eval="none").lm_eval is None


def test_answers_longer_than_the_window_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="generates up to 500 tokens, and the model has room for 128"):
        sft_trainer(tmp_path, lm_eval=LIVE | {"gen_kwargs": {"max_gen_toks": 500}})


def test_a_chat_template_that_is_not_there_is_refused_before_training(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="the model's tokenizer has no chat template"):
        sft_trainer(tmp_path, processing_class=tokenizer, lm_eval=LIVE | {"apply_chat_template": True})


def test_a_model_in_parts_is_refused(tmp_path: Path) -> None:
    made = sft_trainer(tmp_path)
    made.is_fsdp_enabled = True
    with pytest.raises(ValueError, match="under FSDP each holds a part"):
        LMEvalCallback(made, LIVE)
