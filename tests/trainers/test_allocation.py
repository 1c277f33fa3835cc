"""Batches that are shared out among fewer rows, end to end on a tiny model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import Recorder, trainer, weights

from trl_curriculum.rollouts.allocation import Allocator


OPTIONS: dict[str, Any] = {
    "curriculum": Recorder(tau=1.0),
    "rollouts": [{"allocation": {"rows": 0.4}}],
    "per_device_train_batch_size": 20,
    "max_steps": 4,
}


def test_rows_with_several_groups_are_one_group_to_the_loss_and_several_draws_to_the_curriculum(
    tmp_path: Path,
) -> None:
    run, trained = trainer(tmp_path, **OPTIONS), []
    weigh = run.refilling.weigh

    def spy(output: Any) -> None:
        weigh(output)
        trained.append(output["advantages"].clone())

    run.refilling.weigh = spy  # type: ignore[method-assign]
    run.train()
    assert [len(draw) for draw in run.curriculum.draws] == 4 * [2], "two fifths of five groups are drawn"
    history = run.history()
    assert history["draw"].tolist() == sorted(history["draw"]) and len(history) == 20 == run.curriculum.drawn
    for advantage, seen in zip(trained, run.curriculum.feedbacks, strict=True):
        assert len(np.unique(seen.draw)) == 5 and len(np.unique(seen.row)) <= 2
        counts = [(seen.row == row).sum() for row in np.unique(seen.row)]
        for row in np.unique(seen.row):
            mine = seen.row == row
            reward, n = seen.reward[mine], mine.sum()
            expected = (reward - reward.mean()) / (reward.std(ddof=1) + 1e-4) * np.mean(counts) / n
            np.testing.assert_allclose(advantage.numpy()[mine], expected, atol=1e-5)
        groups = seen.reward.reshape(5, 4)
        stock = (groups - groups.mean(1, keepdims=True)) / (groups.std(1, ddof=1, keepdims=True) + 1e-4)
        np.testing.assert_allclose(seen.advantage, stock.ravel(), atol=1e-5)  # as TRL has them
    logs = [entry for entry in run.state.log_history if "rollouts/rows" in entry]
    assert [entry["rollouts/rows"] for entry in logs] == [len(np.unique(f.row)) for f in run.curriculum.feedbacks]
    assert max(entry["rollouts/most_rollouts"] for entry in logs) >= 12


def test_a_resume_goes_on_with_what_is_known_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = OPTIONS | {"curriculum": "uniform", "max_steps": 8, "train_dataset": tiny.dataset(4)}
    whole = trainer(tmp_path / "whole", **options, save_strategy="steps", save_steps=4)
    whole.train()
    ends = []
    for name, forgets in (("resumed", False), ("forgetful", True)):
        if forgets:
            monkeypatch.setattr(Allocator, "load_state_dict", lambda *given: None)
        run = trainer(tmp_path / name, **options)
        run.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
        ends.append(torch.equal(weights(run), weights(whole)))
    assert ends == [True, False], "with the second the test could not fail"
