"""What a run says beforehand is what it does: steps of refreshes, rounds and stages, and of the whole run."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from harness import sft_trainer, trainer

from trl_curriculum.trainers.outlook import block


EPOCHS: dict[str, Any] = {"max_steps": -1}


def began(run: Any, key: str) -> list[int]:
    """Steps, counted from 1, in whose rows something of the kind has begun."""
    seen = {log["step"]: log[f"curriculum/{key}"] for log in run.state.log_history if f"curriculum/{key}" in log}
    before = {step: seen.get(step - 1, -1.0 if key == "stage" else 0.0) for step in seen}
    return [step for step in sorted(seen) if seen[step] > before[step]]


def check(run: Any, key: str, first: int) -> None:
    sizes = run._run()
    outlook = run.curriculum.outlook(sizes.batches, sizes.rows)
    said = block(run.curriculum, outlook, sizes, run.args)["acts"].replace("about ", "")
    assert said.startswith(f"first {outlook.event} at step {first} of {sizes.steps}"), said
    announced = [sizes.step(batch) for batch in outlook.events]
    run.train()
    assert began(run, key) == announced and announced[0] == first
    assert run.state.global_step == sizes.steps
    if outlook.acts_at is not None:  # until then rows are drawn alike
        history = run.history()
        blind = history["step"] + 1 < sizes.step(outlook.acts_at)
        assert set(history["probability"][blind]) <= {1 / 40}
        assert set(history["probability"][~blind]) != {1 / 40}


@pytest.mark.parametrize(
    ("curriculum", "changes", "key", "first"),
    [
        ({"evo_curate": {"refresh_steps": 3}}, {"max_steps": 10}, "refreshes", 4),
        ("self_paced", {"max_steps": 12, "gradient_accumulation_steps": 2}, "refreshes", 6),
        ({"self_paced": {"duration": 1.0}}, EPOCHS | {"num_train_epochs": 1.3}, "refreshes", 11),
        ({"data_maps": {"refresh_steps": 2}}, {"max_steps": 6}, "refreshes", 3),
        ({"data_maps": {"refresh_steps": 2, "measure": "probe"}}, {"max_steps": 5}, "refreshes", 1),
        ({"edco": {"rounds": 3, "score_by": "loss"}}, {"max_steps": 10}, "round", 1),
        ({"baby_steps": {"stages": 4}}, EPOCHS | {"num_train_epochs": 1.3}, "stage", 1),
    ],
)
def test_sft(curriculum: Any, changes: dict[str, Any], key: str, first: int, tmp_path: Path) -> None:
    check(sft_trainer(tmp_path, curriculum=curriculum, difficulty_column="index", **changes), key, first)


@pytest.mark.parametrize(
    ("curriculum", "changes", "key"),
    [
        ({"edco": {"rounds": 3, "score_by": "random"}}, {"max_steps": 10}, "round"),
        ({"baby_steps": {"stages": 3}}, {"max_steps": 9, "steps_per_generation": 2, "num_iterations": 2}, "stage"),
        ({"baby_steps": {"stages": 3}}, EPOCHS | {"per_device_train_batch_size": 8}, "stage"),
    ],
)
def test_grpo(curriculum: Any, changes: dict[str, Any], key: str, tmp_path: Path) -> None:
    """Seven rows are three generations of two prompts an epoch: the last one is left out, as TRL does."""
    options = {"curriculum": curriculum, "difficulty_column": "level", "train_dataset": tiny.dataset(7)}
    check(trainer(tmp_path, **options, **changes), key, 1)
