"""Processes that differ: refused by all before the first step, named by the main process in one sentence."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import peft
import pytest
import tiny
import torch
from accelerate import Accelerator
from datasets import Dataset
from processes import together
from test_lost import Together

from trl_curriculum import CurriculumSFTConfig
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.rounds.loop import run_stages
from trl_curriculum.scripts.launch import run_script
from trl_curriculum.trainers import agreement
from trl_curriculum.trainers.run_settings import REFUSED, WARNED


def rows(**change: Any) -> Dataset:
    made = tiny.sft_dataset().to_list()
    made[3] |= change
    return Dataset.from_list(made)


def other_weight() -> Any:
    model = tiny.model()
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    return model


def other_template() -> Any:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template += " "
    return tokenizer


ALIKE = ": all processes of a run must have the same."
SFT: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "one changed row": (
        lambda: {"train_dataset": rows(completion="zz")},
        "Row 3 is {'prompt': '3:eea#', 'completion': 'zz', 'arm': 'd', 'index': 3} in process 1 and {'prompt':",
    ),
    "rows in another order": (
        lambda: {"train_dataset": tiny.sft_dataset().select([1, 0, *range(2, 40)])},
        "Row 0 is {'prompt': '1:aaa#', 'completion': 'gk', 'arm': 'b', 'index': 1} in process 1 and",
    ),
    "fewer rows": (
        lambda: {"train_dataset": tiny.sft_dataset().select(range(30))},
        f"The number of rows is 30 in process 1 and 40 in process 0{ALIKE}",
    ),
    "rate": (lambda: {"learning_rate": 0.002}, f"learning_rate is 0.002 in process 1 and 0.01 in process 0{ALIKE}"),
    "steps": (lambda: {"max_steps": 9}, f"max_steps is 9 in process 1 and 4 in process 0{ALIKE}"),
    "seed": (lambda: {"seed": 7}, f"seed is 7 in process 1 and 42 in process 0{ALIKE}"),
    "evaluation": (
        lambda: {"eval_dataset": tiny.sft_dataset().select(range(3))},
        f"The number of rows of eval_dataset is 3 in process 1 and None in process 0{ALIKE}",
    ),
    "option": (
        lambda: {"curriculum": {"evo_curate": {"refresh_steps": 3}}},
        "curriculum is {'evo_curate': {'refresh_steps': 3}} in process 1 and 'uniform' in process 0",
    ),
    "template": (lambda: {"processing_class": other_template()}, "The fingerprint of the tokenizer is '"),
}


@pytest.mark.parametrize("what", SFT)
def test_sft(tmp_path: Path, what: str) -> None:
    change, sentence = SFT[what]
    first, second = together(lambda rank: harness.sft_run(tmp_path, **(change() if rank else {})) and 0, tmp_path)
    assert (first.code, second.code) == (1, 1)
    assert first.err.strip().splitlines()[-1].startswith(f"ValueError: {sentence}"), first.err
    assert not second.traceback, second.err
    assert not list(tmp_path.glob("checkpoint-*")) and not (tmp_path / "curriculum_history").exists()


def test_grpo_and_options_that_are_objects(tmp_path: Path) -> None:
    def run(rank: int) -> None:
        harness.trainer(tmp_path, curriculum=harness.SEC(tau=0.3 + rank)).train()

    first, second = together(run, tmp_path)
    assert (first.code, second.code) == (1, 1) and not second.traceback
    assert f"ValueError: curriculum.sec.tau is 1.3 in process 1 and 0.3 in process 0{ALIKE}" in first.err, first.err


def test_a_resume_on_one_process_alone(tmp_path: Path) -> None:
    first, second = together(lambda rank: harness.sft_run(tmp_path, resume=bool(rank)) and 0, tmp_path)
    assert (first.code, second.code) == (1, 1) and not second.traceback
    assert f"resume_from_checkpoint is True in process 1 and False in process 0{ALIKE}" in first.err, first.err


def test_what_may_differ(tmp_path: Path) -> None:
    """A fresh adapter is drawn by each process, and DDP takes that of the first; machines have their own folders."""

    def run(rank: int) -> None:
        torch.manual_seed(rank)
        lora = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        folder = tmp_path / str(rank)
        own = {"run_name": str(rank), "log_level": ["info", "debug"][rank], "dataloader_num_workers": rank}
        run = harness.sft_run(folder, peft_config=lora, max_steps=1, **own)
        torch.save(harness.weights(run), tmp_path / f"{rank}.pt")

    done = together(run, tmp_path)
    assert [one.code for one in done] == [0, 0], done[0].err + done[1].err
    assert torch.equal(torch.load(tmp_path / "0.pt"), torch.load(tmp_path / "1.pt"))


def test_other_weights_are_said_and_become_those_of_the_first(tmp_path: Path) -> None:
    def run(rank: int) -> None:
        run = harness.sft_run(tmp_path, max_steps=1, **({"model": other_weight()} if rank else {}))
        torch.save(harness.weights(run), tmp_path / f"{rank}.pt")

    first, second = together(run, tmp_path)
    assert [first.code, second.code] == [0, 0], first.err + second.err
    assert "The model's weights in process 1 are not those in process 0" in first.err
    assert torch.equal(torch.load(tmp_path / "0.pt"), torch.load(tmp_path / "1.pt"))


def test_all_arguments_are_known_that_may_differ() -> None:
    known = set(CurriculumSFTConfig.__dataclass_fields__) | set(harness.config(Path("x")).__dataclass_fields__)
    ours = {name for name in agreement.MAY_DIFFER if "." not in name}
    assert ours <= known, ours - known


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    a, b = (CurriculumSFTConfig(str(tmp_path), bf16=False, model_init_kwargs={"api_key": key}) for key in "ab")
    assert agreement.arguments(a) == agreement.arguments(b)
    assert agreement.arguments(a)["model_init_kwargs.api_key"] == "***"


def test_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(rank: int) -> None:
        known = agreement.versions()
        agreement.versions = lambda: known | ({"The version of numpy": "1.0"} if rank else {})
        harness.sft_run(tmp_path)

    first, _ = together(run, tmp_path)
    assert "ValueError: The version of numpy is '1.0' in process 1 and '" in first.err, first.err


def test_stages(tmp_path: Path) -> None:
    def run(rank: int) -> None:
        Accelerator(cpu=True)
        stage = Together(None)
        object.__setattr__(stage, "settings", lambda output_dir: {"proxy": {"steps": 8 + rank}})
        run_stages({"proxy": stage}, tmp_path / "run")

    first, second = together(run, tmp_path)
    assert (first.code, second.code) == (1, 1) and not second.traceback
    assert f"ValueError: proxy.proxy.steps is 9 in process 1 and 8 in process 0{ALIKE}" in first.err, first.err
    assert not (tmp_path / "run/proxy").exists()


def test_a_script_ends_in_one_sentence(tmp_path: Path, sft_script: Callable[..., list[str]]) -> None:
    def run(rank: int) -> None:
        script = load_recipe("sft")
        sys.argv = [str(script.__file__), *sft_script("--max_steps", str(3 + rank))]
        run_script(script.main, script.make_parser())

    first, second = together(run, tmp_path)
    assert first.sentence == f"sft.py: max_steps is 4 in process 1 and 3 in process 0{ALIKE}"
    assert second.code == 1 and not second.traceback and "max_steps" not in second.said


def test_facts_are_plain(tmp_path: Path) -> None:
    run = harness.trainer(tmp_path, curriculum={"sec": {"tau": 0.3}})
    facts = agreement.versions() | agreement._facts(run, None)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["curriculum.sec.tau"] == 0.3 and facts["reward_funcs"] == ["reward"]


def others_reward(completions: list[Any], letter: list[str], **kwargs: Any) -> list[float]:
    return [0.0] * len(completions)


def frozen() -> Any:
    model = tiny.model()
    model.lm_head.weight.requires_grad_(False)
    return model


EDCO: dict[str, Any] = {"curriculum": {"edco": {"rounds": 2}}}
FACTS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    "reward_funcs": (harness.trainer, {}, {"reward_funcs": others_reward}),
    "reward_weights": (harness.trainer, {}, {"reward_weights": [2.0]}),
    "shaping.clip_cov.ratio": (harness.trainer, {"shaping": "clip_cov"}, {"shaping": {"clip_cov": {"ratio": 0.1}}}),
    "rollouts.refill.tries": (harness.trainer, {"rollouts": "refill"}, {"rollouts": {"refill": {"tries": 5}}}),
    "probe.prefix_entropy.length": (
        harness.sft_trainer,
        EDCO | {"probe": {"prefix_entropy": {"length": 2}}},
        EDCO | {"probe": {"prefix_entropy": {"length": 3}}},
    ),
    "curriculum.evo_curate.kappa": (
        harness.sft_trainer,
        {"curriculum": "evo_curate"},
        {"curriculum": {"evo_curate": {"kappa": 0.2}}},
    ),
    agreement.ROWS: (harness.sft_trainer, {}, {"train_dataset": rows(prompt="zz")}),
    "The fingerprint of arms and difficulties": (harness.sft_trainer, {"arms": "arm"}, {"arms": "index"}),
    "The fingerprint of the rows' tokens": (harness.sft_trainer, {}, {"max_length": 9}),
    "The fingerprint of the tokenizer": (harness.sft_trainer, {}, {"processing_class": other_template()}),
    "The number of trained parameters": (harness.sft_trainer, {}, {"model": frozen()}),
    "The number of parameters": (harness.sft_trainer, {}, {"model": tiny.moe_model()}),
    agreement.EVAL: (
        harness.sft_trainer,
        {"eval_dataset": {"a": tiny.sft_dataset(3), "b": tiny.sft_dataset(2)}},
        {"eval_dataset": {"a": tiny.sft_dataset(3), "b": tiny.sft_dataset(3)}},
    ),
}


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_compared(fact: str, tmp_path: Path) -> None:
    """Of two trainers that differ in nothing else, as two processes would have them."""
    make, *both = FACTS[fact]
    first, second = (agreement._facts(make(tmp_path, **changes), None) for changes in both)
    assert fact in first and first[fact] != second.get(fact)


def test_where_processes_resume_is_a_fact_and_the_folder_is_none(tmp_path: Path) -> None:
    run = harness.sft_trainer(tmp_path)
    found = [agreement._facts(run, asked)["resume_from_checkpoint"] for asked in (None, True, "/a/1", "/b/1")]
    assert found == [None, True, "a folder", "a folder"]


def test_what_draws_tokens_and_weights_depend_on_may_not_differ() -> None:
    """Whatever a resume compares, processes compare; each may have its own device."""
    assert agreement.MAY_DIFFER & (REFUSED | WARNED) == {"use_cpu"}
