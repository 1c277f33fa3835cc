"""Which method is suggested in which situation, and that the numbers of its reasons are those of the results."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from datasets import Dataset
from trl import ModelConfig

from trl_curriculum import CURRICULA, CurriculumGRPOConfig, CurriculumSFTConfig, Pool
from trl_curriculum import recommend as module
from trl_curriculum.recommend import Recommendation, recommend
from trl_curriculum.rewards import reward
from trl_curriculum.scripts.plan import grpo_plan, sft_plan


CPU: dict[str, Any] = {"use_cpu": True, "bf16": False}
RIGHT = [reward("math_accuracy")]


def labelled(size: int, arms: int) -> Pool:
    return Pool(size, np.arange(size) % arms)


def grpo(pool: Pool, rewards: Any = RIGHT, prompts: int = 8, **changes: Any) -> Recommendation:
    """Of a run of 100 steps of so many prompts unless changed."""
    sizes = {"per_device_train_batch_size": 4 * prompts, "num_generations": 4, "gradient_accumulation_steps": 1}
    return recommend(pool, CurriculumGRPOConfig("out", **(CPU | sizes | {"max_steps": 100} | changes)), rewards)


def sft(pool: Pool, **changes: Any) -> Recommendation:
    options = {"per_device_train_batch_size": 8, "num_train_epochs": 3}
    return recommend(pool, CurriculumSFTConfig("out", **(CPU | options | changes)))


SEC = {"sec": {"tau": 0.2}}
SITUATIONS: dict[str, tuple[Recommendation, Any, tuple[str, ...], str]] = {
    "few arms": (grpo(labelled(600, 6)), SEC, (), "6 arms, each drawn 133 times"),
    "few arms, own reward": (grpo(labelled(600, 6), [tiny.reward]), SEC, (), "6 arms"),
    "few arms, hardly drawn": (grpo(labelled(600, 50), max_steps=10), "uniform", ("refill",), "80 draws of 50 arms"),
    "a model judges": (grpo(labelled(600, 6), ["judges/a-model"]), "uniform", (), "a model judges"),
    "a model and the answer": (grpo(labelled(600, 6), ["judges/a-model", *RIGHT]), SEC, (), "6 arms"),
    "arms like rows": (grpo(labelled(6000, 3000)), "uniform", ("refill",), "3,000 arms, too many to learn of each"),
    "no arms, seen once": (grpo(Pool(6000)), "uniform", ("refill",), "no arms, and a row is drawn 0.13 times"),
    "no arms, own reward": (grpo(Pool(6000), [tiny.reward]), "uniform", (), "estimated arms gained"),
    "a difficulty": (
        grpo(Pool(6000, difficulty=np.arange(6000) / 7), difficulty_column="level"),
        "adarft",
        (),
        "a difficulty of 6,000 levels, and a row is drawn 0.13 times",
    ),
    "a difficulty, few draws": (
        grpo(Pool(6000, difficulty=np.arange(6000) % 50), difficulty_column="level", max_steps=10),
        "adarft",
        (),
        "a difficulty of 50 levels",
    ),
    "a difficulty, own reward": (
        grpo(Pool(6000, difficulty=np.arange(6000) / 7), [tiny.reward], difficulty_column="level"),
        "uniform",
        (),
        "no arms",
    ),
    "a difficulty beside arms": (
        grpo(Pool(6000, np.arange(6000) % 3000, difficulty=np.arange(6000) / 7)),
        "uniform",
        ("refill",),
        "3,000 arms, too many to learn of each",
    ),
    "no refill": (
        grpo(Pool(6000), multi_objective_aggregation="normalize_then_sum"),
        "uniform",
        (),
        "estimated arms gained",
    ),
    "sft, three passes": (sft(Pool(100)), "evo_curate", (), "3.1 passes"),
    "sft, one pass": (sft(labelled(800, 4), num_train_epochs=1), "uniform", (), "`mixture`"),
    "sft, a part": (sft(Pool(8000), max_steps=100), "edco", (), "0.1 of a pass"),
    "sft, packed": (sft(Pool(100), packing=True, max_length=64), "evo_curate", (), "3.0 passes"),
    "sft, tokens": (sft(Pool(100), max_tokens=1000), "uniform", (), "not known before tokens are counted"),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_suggested(name: str) -> None:
    found, curriculum, rollouts, words = SITUATIONS[name]
    assert (found.curriculum, found.rollouts) == (curriculum, rollouts) and words in found.reason
    CURRICULA.make(found.curriculum)
    assert "\n" not in str(found) and str(found).endswith("(never a default: docs/choose.md)")


def test_levels_of_a_difficulty_are_arms() -> None:
    pool = Pool(300, difficulty=np.arange(300) % 3)
    found = grpo(pool, difficulty_column="level")
    assert (found.curriculum, found.arms) == (SEC, "level") and "its 3 levels" in found.reason
    assert str(found).startswith("curriculum: {sec: {tau: 0.2}}, arms: level; ")
    many = grpo(Pool(300, difficulty=np.arange(300) / 7), difficulty_column="level")
    assert many.curriculum != SEC and many.reason.startswith("no arms, and")


def test_beliefs_of_rows_are_suggested_where_they_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(200)  # each row is drawn four times
    if "mopps" not in CURRICULA.names():
        assert grpo(pool).curriculum == "uniform"
    monkeypatch.setattr(module.CURRICULA, "names", lambda: ["uniform", "mopps"])
    assert grpo(pool).curriculum == "mopps" and "rows come back 4.0 times" in grpo(pool).reason
    assert grpo(Pool(500)).curriculum == "uniform", "1.6 times"


def test_the_numbers_of_the_reasons_are_those_of_the_results() -> None:
    docs = Path(__file__).parents[1] / "docs"
    pages = [docs / "results.md", docs / "choose.md", *(docs / "results").rglob("*.md")]
    known = "\n".join(page.read_text() for page in pages)
    for found, *_ in SITUATIONS.values():
        for number in re.findall(r"[+−]\d*\.\d+|\d+ %", found.reason):
            assert number in known, number


class TestInAPlan:
    rows = Dataset.from_list([{"prompt": f"q{i}", "answer": str(i), "arm": "ab"[i % 2]} for i in range(40)])
    model = ModelConfig(model_name_or_path="nobody/has-this")

    def plan(self, **changes: Any) -> str:
        sizes = {"per_device_train_batch_size": 8, "num_generations": 4, "gradient_accumulation_steps": 1}
        args = CurriculumGRPOConfig("out", **(CPU | sizes | {"max_steps": 50, "arms": "arm"} | changes))
        return grpo_plan(self.rows, None, RIGHT, args, self.model)

    def test_another_is_named_and_the_same_is_said_to_be_set(self) -> None:
        assert "suggestion  curriculum: {sec: {tau: 0.2}}; 2 arms" in self.plan(curriculum="dump")
        assert "suggestion  as set: 2 arms" in self.plan(curriculum="sec")
        assert "suggestion" not in self.plan(curriculum={"placebo": {"of": "sec"}})

    def test_of_sft(self) -> None:
        rows = self.rows.rename_column("answer", "completion")
        args = CurriculumSFTConfig("out", **CPU, num_train_epochs=3)
        assert "suggestion  curriculum: evo_curate; 3.0 passes" in sft_plan(rows, None, args, self.model)
        assert "suggestion" not in sft_plan(rows, None, args, self.model, whole=False)
