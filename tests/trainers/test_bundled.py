"""A bundle in a run's arguments: its methods, what they need, and what contradicts it."""

from pathlib import Path
from typing import Any

import pytest
from harness import config, trainer

from trl_curriculum import CurriculumSFTConfig
from trl_curriculum.trainers.bundled import bundle_line


WINDOW: dict[str, Any] = {"steps_per_generation": 2, "gradient_accumulation_steps": 1, "num_generations": 4}


def test_it_sets_its_methods_and_the_arguments_that_they_need(tmp_path: Path) -> None:
    args = config(tmp_path, method="ceeh")
    assert args.shaping == [{"ceeh": {}}] or args.shaping == ["ceeh"]
    assert (args.loss_type, args.scale_rewards, args.epsilon_high) == ("dr_grpo", "none", 0.28)
    assert config(tmp_path, method="ceeh", epsilon_high=0.28).epsilon_high == 0.28
    assert config(tmp_path).epsilon_high is None


def test_what_contradicts_it_is_refused_and_what_is_beside_it_wins(tmp_path: Path) -> None:
    words = "method 'ceeh' is the paper's with epsilon_high=0.28, and epsilon_high=0.3 is given: leave"
    with pytest.raises(ValueError, match=words):
        config(tmp_path, method="ceeh", epsilon_high=0.3)
    args = config(tmp_path, method="cures", curriculum="uniform", per_device_train_batch_size=8)
    assert args.curriculum == "uniform" and args.rollouts == ["allocation"]
    assert bundle_line(args) == {"method": "cures; not its curriculum, as the run names its own"}
    whole = config(tmp_path, method="cures", curriculum={"cures": {"tau": 0.2}}, per_device_train_batch_size=8)
    assert bundle_line(whole) == {"method": "cures"}


def test_a_bundle_is_held_to_what_its_methods_refuse(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="truncate never cuts with alpha=3 and num_generations=4"):
        config(tmp_path, method="dot", **WINDOW)
    with pytest.raises(ValueError, match="The shaper 'tea_rl' is for GRPO"):
        CurriculumSFTConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none", method="light_if")


def test_it_is_said_and_trains(tmp_path: Path, tiny_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = trainer(tmp_path, model=tiny_path, method="light_if", max_steps=1, curriculum="uniform")
    run.train()
    shown = capsys.readouterr().out
    assert "light_if, which sets epsilon=1.0, epsilon_high=1.0, beta=0.001" in " ".join(shown.split())
    assert run.state.global_step == 1 and run.beta == 0.001
