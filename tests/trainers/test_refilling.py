"""Batches that are filled in several tries, end to end on a tiny model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import Recorder, trainer, weights
from off_policy import Steps, check_gradient, logps

from trl_curriculum.curricula import Draw
from trl_curriculum.disk.state import read_state
from trl_curriculum.trainers.carrying import Carried


class Kept:
    """What a run trains on: the outputs that TRL shuffles and splits."""

    def __init__(self, run: Any) -> None:
        self.batches: list[dict[str, Any]] = []
        shape = run.shaping.shape_rollouts

        def spy(output: Any, rollouts: Any) -> None:
            shape(output, rollouts)
            self.batches.append({**output, "rollouts": rollouts})

        run.shaping.shape_rollouts = spy


def letters(ids: torch.Tensor, mask: torch.Tensor) -> str:
    return tiny.tokenizer().decode(ids[mask.bool()], skip_special_tokens=True)


@pytest.mark.parametrize("options", [{}, {"steps_per_generation": 2, "conversational": True}])
def test_every_row_has_an_advantage_while_tries_suffice(tmp_path: Path, options: dict[str, Any]) -> None:
    data = tiny.dataset(conversational=options.pop("conversational", False))
    run = trainer(
        tmp_path, curriculum=Recorder(tau=0.3), rollouts=[{"refill": {"tries": 30}}], train_dataset=data,
        per_device_train_batch_size=8, **options,
    )  # fmt: skip
    kept = Kept(run)
    run.train()
    recorder, n = run.curriculum, run.args.generation_batch_size
    assert len(kept.batches) == 4 // (n // 8)
    kinds = [type(event).__name__ for event in recorder.events]
    assert kinds == ["Draw", "Rollouts"] * len(recorder.draws), "a try was drawn before the last was observed"
    assert len(recorder.draws) > len(kept.batches), "nothing was refilled"
    history = run.history()
    drawn = np.concatenate([event.row for event in recorder.events if isinstance(event, Draw)])
    assert history["row"].tolist() == drawn.tolist() and history["draw"].tolist() == list(range(len(drawn)))
    trained: list[int] = []
    for batch in kept.batches:
        rollouts = batch["rollouts"]
        assert len(rollouts) == len(batch["advantages"]) == n
        assert (batch["advantages"] != 0).all()
        np.testing.assert_array_equal(batch["advantages"], rollouts.advantage)
        assert (np.diff(rollouts.draw) >= 0).all() and np.bincount(rollouts.draw - rollouts.draw[0]).max() == 4
        assert batch["num_items_in_batch"] == batch["completion_mask"].sum() == rollouts.length.sum()
        texts = [letters(*pair) for pair in zip(batch["completion_ids"], batch["completion_mask"], strict=True)]
        assert tiny.reward(texts, data[rollouts.row]["letter"]) == rollouts.reward.tolist()
        for row, *pair in zip(rollouts.row, batch["prompt_ids"], batch["prompt_mask"], strict=True):
            given = data[int(row)]["prompt"]
            assert (given if isinstance(given, str) else given[0]["content"]) in letters(*pair).replace(" ", "")
        assert batch["completion_mask"].sum(0).min() > 0 and batch["prompt_mask"].sum(0).min() > 0
        trained += np.unique(rollouts.draw).tolist()
    informative = history[~history["zero_variance"]]["draw"].tolist()
    assert set(trained) <= set(informative) and len(set(trained)) == len(trained)
    logs = [entry for entry in run.state.log_history if "rollouts/tries" in entry]
    assert [entry["rollouts/frac_filled_up"] for entry in logs] == [0.0] * len(kept.batches)
    assert sum(entry["rollouts/tries"] for entry in logs) == len(recorder.draws)
    assert all(entry.get("curriculum/staleness", 0) == 0 for entry in run.state.log_history)


def test_tries_are_capped(tmp_path: Path) -> None:
    run = trainer(
        tmp_path, curriculum=Recorder(tau=0.3), rollouts=[{"refill": {"tries": 3}}], max_steps=2,
        reward_funcs=lambda completions, **kwargs: [1.0] * len(completions), per_device_train_batch_size=8,
    )  # fmt: skip
    kept = Kept(run)
    run.train()
    assert [len(draw) for draw in run.curriculum.draws] == [2] * 6 and len(run.history()) == 12
    assert [batch["rollouts"].draw[::4].tolist() for batch in kept.batches] == [[0, 1], [6, 7]]
    assert run.state.log_history[0]["rollouts/frac_filled_up"] == 1.0
    history, trained = run.history(), [0, 1, 6, 7]
    discarded = 4 * history[~history["draw"].isin(trained)]["length"].sum()  # tokens of completions, four a draw
    assert sum(entry.get("rollouts/discarded_tokens", 0) for entry in run.state.log_history) == discarded > 0


def test_the_reward_that_decides_can_be_named(tmp_path: Path) -> None:
    """A shaped reward makes groups look informative in which all are wrong."""

    def brevity(completions: list[str], **kwargs: Any) -> list[float]:
        return [-len(text) / 10 for text in completions]

    for outcome, refilled in ((None, False), ("reward", True)):
        run = trainer(
            tmp_path / str(outcome), reward_funcs=[tiny.reward, brevity], per_device_train_batch_size=16,
            rollouts=[{"refill": {"outcome": outcome}}], max_steps=2,
        )  # fmt: skip
        run.train()
        assert (len(run.history()) > 8) == refilled


@pytest.mark.parametrize(
    "options",
    [
        {"num_iterations": 2},
        {"scale_rewards": "batch", "mask_truncated_completions": True},
        {"pad_to_multiple_of": 8, "loss_type": "grpo"},
    ],
)
def test_beside_trls_options(tmp_path: Path, options: dict[str, Any]) -> None:
    run = trainer(tmp_path, rollouts=["refill"], per_device_train_batch_size=8, **options)
    kept = Kept(run)
    run.train()
    assert len(run.history()) > 2 * len(kept.batches)
    for batch in kept.batches:
        rollouts = batch["rollouts"]
        if "scale_rewards" in options:
            expected = rollouts.advantages_of(rollouts.reward)
            np.testing.assert_allclose(batch["advantages"], expected, atol=1e-5)
        if "pad_to_multiple_of" in options:
            assert batch["completion_ids"].shape[1] % 8 == batch["prompt_ids"].shape[1] % 8 == 0
        if "num_iterations" in options:
            assert batch["old_per_token_logps"].shape == batch["completion_ids"].shape


class TestCarryingOver:
    OPTIONS: dict[str, Any] = {
        "curriculum": {"sec": {"tau": 1.0}},
        "rollouts": [{"refill": {"carry": True, "tries": 12}}],
        "per_device_train_batch_size": 12,
        "learning_rate": 3e-2,
        "max_steps": 6,
        "max_grad_norm": 0.0,
    }

    def test_old_rollouts_count_by_their_ratio_and_fresh_ones_as_ever(self, tmp_path: Path) -> None:
        run = trainer(tmp_path, **self.OPTIONS)
        steps, model = Steps(run), tiny.model()
        run.train()
        mixed = [k for k, batch in enumerate(steps.batches) if "old_per_token_logps" in batch]
        assert mixed and len(mixed) < len(steps.batches), "none was carried over, or in every batch"
        ratios = [check_gradient(model, steps, k) for k in mixed]
        for k in mixed:
            batch = steps.batches[k]
            trained = batch["completion_mask"].bool() & ~batch["old_per_token_logps"].isnan()
            made = logps(model, steps.weights[k - 1], batch)[trained]
            torch.testing.assert_close(batch["old_per_token_logps"][trained], made, atol=1e-4, rtol=1e-4)
            assert (~steps.batches[k]["old_per_token_logps"][:, 0].isnan()).sum() in (4, 8), "groups are carried"
        assert (torch.cat(ratios) - 1).abs().max() > 0.05, "the model has hardly moved"
        assert len(run.history()) == run.curriculum.drawn, "a carried group was observed twice"

    def test_a_resume_goes_on_with_what_is_carried(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        saving = {"save_strategy": "steps", "save_steps": 1}
        whole = trainer(tmp_path / "whole", **self.OPTIONS | saving)
        whole.train()
        waiting = []
        for step in range(1, 6):
            checkpoint = tmp_path / "whole" / f"checkpoint-{step}"
            if read_state(checkpoint / "curriculum")["rollouts"]["carried"] is not None:
                waiting.append(checkpoint)
        ends = []
        for name, forgets in (("resumed", False), ("forgetful", True)):
            if forgets:
                monkeypatch.setattr(Carried, "from_state", lambda state: None)
            run = trainer(tmp_path / name, **self.OPTIONS)
            run.train(resume_from_checkpoint=str(waiting[-1]))
            ends.append(torch.equal(weights(run), weights(whole)))
        assert ends == [True, False], "with the second the test could not fail"


def test_beside_shapers_and_several_steps_a_generation(tmp_path: Path) -> None:
    run = trainer(
        tmp_path, rollouts=[{"refill": {"carry": True, "tries": 12}}], per_device_train_batch_size=16,
        steps_per_generation=2, num_iterations=2, curriculum={"sec": {"tau": 1.0}}, max_steps=12,
        shaping=["puzzlecraft", {"entrocraft": {"low": 0, "high": 9, "last_low": 0, "last_high": 9}}],
    )  # fmt: skip
    kept = Kept(run)
    run.train()
    carried = [entry["rollouts/frac_carried"] for entry in run.state.log_history if "rollouts/tries" in entry]
    assert max(carried) > 0
    for batch in kept.batches:
        assert not batch["old_per_token_logps"].isnan().any(), "TRL's pass gave those of fresh rollouts"
        assert batch["num_items_in_batch"] == batch["completion_mask"].sum() == batch["rollouts"].length.sum()
