"""Curricula that follow a difficulty in real runs of the tiny model: what they need of a trainer reaches them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from datasets import Dataset
from harness import sft_trainer, trainer


def test_wiki_r1_knows_which_rows_are_alike_also_after_a_resume(tmp_path: Path) -> None:
    prompts = [f"{'add' if i % 2 else 'name'} {'two' if i % 4 < 2 else 'ten'}#" for i in range(8)]
    rows = Dataset.from_dict({"prompt": prompts, "letter": list("abcdabcd")})
    options: dict[str, Any] = {"curriculum": {"wiki_r1": {"neighbours": 1}}, "arms": None, "train_dataset": rows}
    options |= {"save_strategy": "steps", "save_steps": 2}
    run = trainer(tmp_path / "whole", **options)
    alike = run.pool.neighbours
    assert alike is not None and alike.shape == (8, 8)
    nearest = alike.toarray().argmax(axis=1)
    assert [prompts[k] for k in nearest] == prompts and (nearest != np.arange(8)).all()
    run.train()
    assert run.curriculum.metrics()["observed_rows"] > 0.3
    again = trainer(tmp_path / "again", **options)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert (again.pool.neighbours != alike).nnz == 0
    rows_of = [one.history()["row"].tolist() for one in (run, again)]
    assert rows_of[0][2:] == rows_of[1]
    assert trainer(tmp_path / "sec").pool.neighbours is None


def test_adarft_follows_the_levels_of_a_run(tmp_path: Path) -> None:
    run = trainer(tmp_path, curriculum="adarft", difficulty_column="level", max_steps=6, per_device_train_batch_size=8)
    run.train()
    targets = [log["curriculum/target"] for log in run.state.log_history if "curriculum/target" in log]
    assert max(targets) > 1 and all(0 <= target <= 3 for target in targets)
    history = run.history()
    first = history[history["step"] == 0]["row"]
    assert set(first % 4) == {0}  # tiny.dataset: the level of row i is i % 4


def test_pudf_takes_likelihoods_in_sft_and_says_what_grpo_needs(tmp_path: Path) -> None:
    spec = {"pudf": {"response": "loss", "difficulty": "probe", "refresh_steps": 2}}
    run = sft_trainer(tmp_path / "sft", curriculum=spec, max_steps=5)
    run.train()
    assert run.curriculum.refreshes == 3 and run.curriculum.ability > 0  # it learns
    with pytest.raises(ValueError, match="'pudf' as it is set up follows the loss, but CurriculumGRPOTrainer"):
        trainer(tmp_path / "grpo", curriculum={"pudf": {"response": "loss"}}, difficulty_column="level")
    with pytest.raises(ValueError, match="'pudf' as it is set up follows the reward, but CurriculumSFTTrainer"):
        sft_trainer(tmp_path / "reward", curriculum="pudf", difficulty_column="index")


def test_e2h_without_arms_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give arms: COLUMN, or levels: 4 with a difficulty_column"):
        trainer(tmp_path, curriculum="e2h", arms=None, train_dataset=tiny.dataset(8))
