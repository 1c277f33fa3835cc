"""Losses that are measured on purpose, at the right time in training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from datasets import Dataset
from harness import plain_forward, sft_trainer


def plain_losses(run: Any, rows: Any) -> list[float]:
    return [plain_forward(run.model, *tiny.sft_tokens(row))[0].mean().item() for row in rows]


class TestInTraining:
    def test_measured_before_the_step_that_draws_by_it(self, tmp_path: Path) -> None:
        data = tiny.sft_dataset()
        run = sft_trainer(tmp_path, curriculum={"evo_curate": {"measure": "probe", "refresh_steps": 2}}, max_steps=5)
        seen: list[tuple[int, list[float], list[float]]] = []
        observe = run.curriculum.observe_probe

        def look(row: Any, loss: Any, scores: Any) -> None:
            seen.append((run.state.global_step, loss.tolist(), plain_losses(run, data)))
            observe(row, loss, scores)

        run.curriculum.observe_probe = look  # type: ignore[method-assign]
        run.train()
        assert [step for step, _, _ in seen] == [0, 2, 4]
        for _, found, expected in seen:
            np.testing.assert_allclose(found, expected, atol=1e-5)
        assert max(abs(a - b) for a, b in zip(seen[0][1], seen[1][1], strict=True)) > 0.1
        assert not list((tmp_path / "curriculum_probe").glob("*"))
        tokens = int(run.rows.length.sum())
        logged = [entry["curriculum/probe_tokens"] for entry in run.state.log_history if "loss" in entry]
        assert logged == [tokens, tokens, 2 * tokens, 2 * tokens, 3 * tokens]
        assert all(entry["curriculum/probe_seconds"] > 0 for entry in run.state.log_history if "loss" in entry)

    def test_a_share_of_the_pool(self, tmp_path: Path) -> None:
        run = sft_trainer(tmp_path, curriculum={"evo_curate": {"measure": "probe", "probe_share": 0.25}}, max_steps=1)
        asked = run.curriculum.rows_to_probe()
        assert asked is not None and len(asked) == 10
        expected = plain_losses(run, tiny.sft_dataset().select(asked))
        run.train()
        shown = run.curriculum.loss[asked]  # type: ignore[attr-defined]
        not_trained_on = ~np.isin(asked, run.history()["row"])
        np.testing.assert_allclose(shown[not_trained_on], np.array(expected)[not_trained_on], atol=1e-5)
        assert run.probe.tokens == run.rows.length[asked].sum()

    def test_a_static_order_by_measured_difficulty(self, tmp_path: Path) -> None:
        data = tiny.sft_dataset(16)
        run = sft_trainer(tmp_path, train_dataset=data, curriculum={"order": {"difficulty": "probe"}})
        expected = np.argsort(plain_losses(run, data))
        run.train()
        assert run.history()["row"].tolist() == expected.tolist()

    def test_rows_that_were_left_out_are_not_measured(self, tmp_path: Path) -> None:
        rows = [row | {"prompt": "a" * 40} if row["index"] in (0, 9) else row for row in tiny.sft_dataset(16)]
        options = {"curriculum": {"order": {"difficulty": "probe"}}, "max_length": 30}
        options["unusable_rows"] = "leave_out"
        run = sft_trainer(tmp_path, train_dataset=Dataset.from_list(rows), **options, max_steps=3)
        kept = [i for i in range(16) if i not in (0, 9)]
        expected = np.argsort(plain_losses(run, [rows[i] for i in kept]))[:12]
        run.train()
        assert run.history()["row"].tolist() == [kept[i] for i in expected]

    def test_grpo_needs_answers_to_measure(self, tmp_path: Path) -> None:
        from harness import trainer

        with pytest.raises(ValueError, match=r"'order' as it is set up asks for the loss of rows.*set answer_column"):
            trainer(tmp_path, curriculum={"order": {"difficulty": "probe"}})
