"""The best model by the mean over arms: what evaluations of several sets report."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer, CurriculumSFTConfig, CurriculumSFTTrainer
from trl_curriculum.trainers.evaluation import means_over


CPU = {
    **{"use_cpu": True, "bf16": False, "report_to": [], "logging_steps": 1, "disable_tqdm": True},
    **{"eval_strategy": "steps", "eval_steps": 1, "save_steps": 1, "max_steps": 2, "per_device_eval_batch_size": 4},
    **{"load_best_model_at_end": True, "learning_rate": 1e-2},
}


def held_out(rows: Any) -> dict[str, Any]:
    return {
        arm: rows.filter(lambda row, arm=arm: row["arm"] == arm).select(range(size)) for arm, size in SIZES.items()
    }


SIZES = {"a": 2, "b": 4}


def logged(trainer: Any, key: str) -> list[float]:
    return [entry[key] for entry in trainer.state.log_history if key in entry]


def test_the_mean_counts_sets_alike_and_is_none_where_one_set_lacks_it() -> None:
    metrics = {"eval_a_loss": 1.0, "eval_b_loss": 4.0, "eval_a_reward": 0.5}
    assert means_over(metrics, ["a", "b"]) == {"eval_loss": 2.5}
    assert means_over(metrics, ["a"]) == {"eval_loss": 1.0, "eval_reward": 0.5}
    assert means_over({}, []) == {}


def test_sft_keeps_the_best_model_by_the_mean_over_arms(tmp_path: Path) -> None:
    rows = tiny.sft_dataset()
    args = CurriculumSFTConfig(str(tmp_path), **CPU, per_device_train_batch_size=4)
    made = {"processing_class": tiny.tokenizer(), "train_dataset": rows, "eval_dataset": held_out(rows)}
    trainer = CurriculumSFTTrainer(tiny.model(), args, **made)
    trainer.train()
    mean, arms = logged(trainer, "eval_loss"), [logged(trainer, f"eval_{arm}_loss") for arm in SIZES]
    assert mean == [pytest.approx((a + b) / 2) for a, b in zip(*arms, strict=True)] and len(mean) == 2
    assert trainer.state.best_metric == min(mean)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(min(mean)), "the best model was loaded at the end"


@pytest.mark.parametrize("several", [True, False])
def test_grpo_keeps_the_best_model_by_reward(tmp_path: Path, several: bool) -> None:
    rows = tiny.dataset()
    sizes = {"per_device_train_batch_size": 8, "num_generations": 2, "num_generations_eval": 2}
    args = CurriculumGRPOConfig(
        str(tmp_path), **CPU, **sizes, max_completion_length=6, metric_for_best_model="eval_reward"
    )
    tested = held_out(rows) if several else rows.select(range(4))
    trainer = CurriculumGRPOTrainer(tiny.model(), tiny.reward, args, rows, tested, processing_class=tiny.tokenizer())
    trainer.train()
    rewards = logged(trainer, "eval_reward")
    assert len(rewards) == 2 and trainer.state.best_metric == max(rewards)
    if several:
        arms = [logged(trainer, f"eval_{arm}_reward") for arm in SIZES]
        assert rewards == [pytest.approx((a + b) / 2) for a, b in zip(*arms, strict=True)]
    best = json.loads((Path(trainer.state.best_model_checkpoint) / "trainer_state.json").read_text())
    assert best["global_step"] == 1 + rewards.index(max(rewards))
