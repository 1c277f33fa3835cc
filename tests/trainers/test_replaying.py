"""Rollouts that are trained on again, end to end on a tiny model."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from harness import trainer, weights
from off_policy import Steps, check_gradient

from trl_curriculum.rollouts import Replay
from trl_curriculum.trainers.replaying import Replaying, Stored


OPTIONS: dict[str, Any] = {
    "curriculum": {"sec": {"tau": 1.0}},
    "rollouts": ["replay"],
    "per_device_train_batch_size": 12,
    "learning_rate": 3e-2,
    "max_steps": 5,
    "max_grad_norm": 0.0,
}


@pytest.mark.parametrize("rollouts", ["replay", {"self_imitation": {"steps": 2}}])
def test_stored_rollouts_count_by_their_ratio_in_place_of_dead_ones(tmp_path: Path, rollouts: Any) -> None:
    run = trainer(tmp_path, **OPTIONS | {"rollouts": [rollouts]})
    steps, model = Steps(run), tiny.model()
    run.train()
    logs = [entry["rollouts/frac_replayed"] for entry in run.state.log_history if "rollouts/stored" in entry]
    assert len(logs) == 5 and logs[0] == 0 < max(logs)
    ratios = []
    for k, batch in enumerate(steps.batches):
        assert ("old_per_token_logps" in batch) == (logs[k] > 0), "stock TRL where nothing is replayed"
        if logs[k] > 0:
            assert (~batch["old_per_token_logps"][:, 0].isnan()).sum() == round(12 * logs[k])
            ratios.append(check_gradient(model, steps, k))
            if rollouts != "replay":
                assert (batch["advantages"][~batch["old_per_token_logps"][:, 0].isnan()] > 0).all()
    assert (torch.cat(ratios) - 1).abs().max() > 0.05, "the model has hardly moved"
    assert len(run.history()) == 3 * 5 == run.curriculum.drawn, "what is replayed is observed again"


def test_kl_cov_holds_back_what_is_replayed(tmp_path: Path) -> None:
    """On-policy, where all else has not moved when it is trained on."""
    run = trainer(tmp_path, **OPTIONS, shaping=[{"kl_cov": {"ratio": 1.0}}])
    run.train()
    logs = [entry for entry in run.state.log_history if "rollouts/stored" in entry]
    replayed = [entry["rollouts/frac_replayed"] > 0 for entry in logs]
    assert [entry["shaping/kl_cov/loss"] > 0 for entry in logs] == replayed and len({*replayed}) == 2


@pytest.mark.parametrize(("max_age", "oldest"), [(1, 1), (10, 4)])
def test_what_is_older_than_max_age_is_thrown_away(tmp_path: Path, max_age: int, oldest: int) -> None:
    run = trainer(tmp_path, **OPTIONS | {"rollouts": [{"replay": {"max_age": max_age}}]})
    run.train()
    (replaying,) = run.refilling.replaying.values()
    assert max(4 - one.step for one in replaying.stored) == oldest  # the last step is number 4


def test_a_resume_goes_on_with_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = OPTIONS | {
        "rollouts": [{"self_imitation": {"steps": 2}}],
        "steps_per_generation": 2,
        "per_device_train_batch_size": 8,
        "max_steps": 6,
    }
    whole = trainer(tmp_path / "whole", **options, save_strategy="steps", save_steps=3)
    whole.train()
    assert max(entry.get("rollouts/frac_replayed", 0) for entry in whole.state.log_history[4:]) > 0
    ends = []
    for name, forgets in (("resumed", False), ("forgetful", True)):
        if forgets:
            monkeypatch.setattr(Replaying, "load", lambda *given: None)
        run = trainer(tmp_path / name, **options)
        run.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
        ends.append(torch.equal(weights(run), weights(whole)))
    assert ends == [True, False], "with the second the test could not fail"


def test_widths_are_multiples_where_there_are_tokens_and_one_where_there_is_a_number(tmp_path: Path) -> None:
    """vLLM's ratio of a whole rollout has one column, which TRL spreads over its tokens."""
    args = SimpleNamespace(pad_to_multiple_of=8, data_seed=None, seed=0)
    run = SimpleNamespace(args=args, processing_class=tiny.tokenizer(), accelerator=SimpleNamespace(process_index=0))
    replaying = Replaying(Replay().remember(), run)
    names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "old_per_token_logps")
    stored = {name: torch.ones(5, dtype=torch.long) for name in names} | {"advantages": torch.tensor(2.0)}
    replaying.stored = [Stored(stored | {"importance_sampling_ratio": torch.tensor([0.5])}, 1.0, 2.0, 0)]
    output = {name: torch.ones(2, 3, dtype=torch.long) for name in names} | {"advantages": torch.tensor([0.0, 1.0])}
    output["importance_sampling_ratio"] = torch.tensor([[0.9], [0.8]])
    assert replaying._replace(output, 1) == 1
    assert output["importance_sampling_ratio"].tolist() == [[0.5], pytest.approx([0.8])]
    assert all(output[name].shape == (2, 8) for name in names) and output["advantages"].tolist() == [2.0, 1.0]
