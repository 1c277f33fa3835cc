"""docs/metrics.md has every key that is logged, and none that is not."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from cases import SHAPERS, VARIANTS

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer, CurriculumSFTConfig, CurriculumSFTTrainer
from trl_curriculum.curricula.base import MAX_LOGGED_ARMS
from trl_curriculum.shaping import SHAPING
from trl_curriculum.testing.batch import Batch
from trl_curriculum.testing.simulated import run


ROOT = Path(__file__).parents[2]
TASKS = str(ROOT / "tests" / "evaluation" / "own_tasks")
CPU = {
    "use_cpu": True,
    "bf16": False,
    "report_to": [],
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
}
OURS = re.compile(
    r"curriculum/|lm_eval/|shaping/|rollouts/|rewards/(?:unscored|tiers)|eval_<arm>_|eval_(?:loss|reward)$"
)
NOT_IN_TINY_RUNS = {  # which these runs do not log; the scan of the code finds them
    *("rewards/unscored", "rewards/tiers", "curriculum/probe_tokens", "curriculum/probe_seconds"),
    *("rollouts/rows", "rollouts/most_rollouts", "rollouts/frac_replayed", "rollouts/stored", "rollouts/frac_carried"),
}


def glossary() -> dict[str, list[str]]:
    """Each key of the page, with its unit, meaning and when it appears."""
    rows = re.findall(r"(?m)^\| `([^`]+)` \| (.+) \|$", (ROOT / "docs" / "metrics.md").read_text())
    return {key: cells.split(" | ") for key, cells in rows}


def general(key: str, arms: Any, methods: Any = ()) -> str:
    """A key that was logged, with the placeholders of the page."""
    for arm in arms:
        key = re.sub(rf"(?<=/){re.escape(arm)}$|(?<=eval_){re.escape(arm)}(?=_)", "<arm>", key)
    key = re.sub(r"^lm_eval/letters_[a-z]+", "lm_eval/<task>", key).replace("<task>/vowels", "<task>/<metric>")
    for method in methods:
        key = key.replace(f"/{method}/", "/<method>/")
    return key


def simulated() -> set[str]:
    """Keys of every variant of every curriculum and of every shaper, without a model."""
    found: set[str] = set()
    for case in VARIANTS.values():
        bound = case.bind()
        run(bound, 20, np.linspace(0.9, 0.1, bound.pool.size))
        found |= {f"curriculum/{general(f'/{key}', bound.arm_names)[1:]}" for key in bound.metrics()}
    for shaper in SHAPERS.values():
        if shaper.is_for("GRPO") and shaper.method.name in SHAPING.built_in:
            frame = shaper.experienced()
            Batch().train(frame)
            found |= {general(key, (), [shaper.method.name]) for key in frame.metrics()}
    return found


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Keys of a real GRPO run and of a real SFT run."""
    rows, folder = tiny.dataset(), tmp_path_factory.mktemp("runs")
    held_out = {arm: rows.filter(lambda row, arm=arm: row["arm"] == arm).select(range(2)) for arm in "ab"}
    grpo = CurriculumGRPOConfig(
        str(folder / "grpo"),
        **CPU,
        curriculum="sec",
        arms=["arm"],
        rollouts=["refill", "aepo", {"temperature": {"start": 1.0}}, {"truncate": {"alpha": 0.3, "least": 1}}],
        shaping=[{"budget": {"initial": 5}}, "puzzlecraft"],
        per_device_train_batch_size=8,
        num_generations=2,
        num_generations_eval=2,
        per_device_eval_batch_size=4,
        max_completion_length=6,
        max_steps=2,
        eval_strategy="steps",
        eval_steps=2,
    )
    sft = CurriculumSFTConfig(
        str(folder / "sft"),
        **CPU,
        curriculum={"evo_curate": {"refresh_steps": 1}},
        arms=["arm"],
        shaping=["entropy_sft"],
        per_device_train_batch_size=4,
        max_steps=3,
        eval_strategy="steps",
        eval_steps=3,
        lm_eval={"tasks": ["letters_choice", "letters_written"], "every": 3, "limit": 2, "include_path": TASKS},
    )
    examples = tiny.sft_dataset()
    tested = {arm: examples.filter(lambda row, arm=arm: row["arm"] == arm).select(range(2)) for arm in "ab"}
    trainers: list[Any] = [
        CurriculumGRPOTrainer(tiny.model(), tiny.reward, grpo, rows, held_out, processing_class=tiny.tokenizer()),
        CurriculumSFTTrainer(
            tiny.model(), sft, train_dataset=examples, eval_dataset=tested, processing_class=tiny.tokenizer()
        ),
    ]
    found: set[str] = set()
    for trainer in trainers:
        trainer.train()
        keys = {key for entry in trainer.state.log_history for key in entry}
        found |= {general(key, "abcd", ("budget", "puzzlecraft", "entropy_sft")) for key in keys}
    return {key for key in found if OURS.match(key)}


def named_in_the_code() -> set[str]:
    """Keys that the trainers collect since the last log."""
    found = set()
    prefixes = {"conductor": "curriculum", "refilling": "rollouts", "making": "rollouts", "shaping": "shaping"}
    for file, prefix in prefixes.items():
        text = (ROOT / "trl_curriculum" / "trainers" / f"{file}.py").read_text()
        for key in re.findall(r"_since_log\[f?\"([^\"]+)\"\]", text):
            signals = ("advantage", "loss") if "{signal}" in key else ("",)
            for signal in signals:
                key_of = key.replace("{signal}", signal).replace("{name}", "<method>").replace("{arm}", "<arm>")
                found.add(f"{prefix}/{key_of}")
    text = (ROOT / "trl_curriculum" / "trainers" / "probing.py").read_text()
    found |= {f"curriculum/{key}" for key in re.findall(r"\"(probe_\w+)\": (?:float\()?self", text)}
    text = "\n".join(
        (ROOT / "trl_curriculum" / "rewards" / f"{file}.py").read_text() for file in ("functions", "tarot")
    )
    return found | set(re.findall(r"log_metric\(\"([^\"]+)\"", text))


def test_what_is_logged_is_on_the_page(logged: set[str]) -> None:
    known = set(glossary())
    about = {key for key in logged if key.startswith("eval_")}  # TRL's, of which the page has the ones that matter
    assert {"eval_<arm>_reward", "eval_<arm>_loss", "eval_reward", "eval_loss"} <= about
    assert sorted((logged - about) - known) == []
    assert sorted(simulated() - known) == []
    assert sorted(named_in_the_code() - known) == []


def test_what_is_on_the_page_is_logged(logged: set[str]) -> None:
    seen = logged | simulated()
    assert sorted(set(glossary()) - seen - NOT_IN_TINY_RUNS) == []
    assert named_in_the_code() >= NOT_IN_TINY_RUNS


def test_each_key_has_a_unit_a_meaning_and_when() -> None:
    assert len(glossary()) >= 40
    assert all(len(cells) == 3 and all(cells) for cells in glossary().values())
    assert f"up to {MAX_LOGGED_ARMS} arms" in (ROOT / "docs" / "metrics.md").read_text()
