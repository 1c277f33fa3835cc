"""Losses that are measured on purpose: right, at the right time, without a trace in training, and not twice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from harness import PACKED, PADDING_FREE, plain_forward, sft_run, sft_trainer, weights
from transformers import LlamaConfig, LlamaForCausalLM

from trl_curriculum.disk import partial
from trl_curriculum.lm import pool_loss as module
from trl_curriculum.lm.pool_loss import pool_loss


def plain_losses(run: Any, rows: Any) -> list[float]:
    return [plain_forward(run.model, *tiny.sft_tokens(row))[0].mean().item() for row in rows]


def measure(run: Any, folder: Path, rows: Any = None, batch_tokens: int = 64) -> np.ndarray:
    rows = np.arange(run.pool.size) if rows is None else np.array(rows)
    return pool_loss(run, rows, run._length[rows], batch_tokens, folder)


class TestLosses:
    @pytest.mark.parametrize("layout", [{}, PADDING_FREE, PACKED], ids=["padded", "padding_free", "packed"])
    @pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
    def test_are_those_of_a_plain_forward(self, tmp_path: Path, layout: dict, batch_tokens: int) -> None:
        run = sft_trainer(tmp_path, **layout)
        found = measure(run, tmp_path, batch_tokens=batch_tokens)
        np.testing.assert_allclose(found, plain_losses(run, tiny.sft_dataset()), atol=1e-5)
        assert not list(tmp_path.glob("pool_loss*"))

    def test_a_part_in_its_own_order(self, tmp_path: Path) -> None:
        run = sft_trainer(tmp_path)
        rows = [7, 3, 30, 4]
        expected = plain_losses(run, tiny.sft_dataset().select(rows))
        np.testing.assert_allclose(measure(run, tmp_path, rows), expected, atol=1e-5)

    def test_a_batch_holds_as_many_tokens_as_allowed_and_the_longest_come_first(self, tmp_path: Path) -> None:
        run = sft_trainer(tmp_path)
        shapes: list[tuple[int, int]] = []
        run.model.register_forward_pre_hook(
            lambda module, args, batch: shapes.append(tuple(batch["input_ids"].shape)), with_kwargs=True
        )
        measure(run, tmp_path, batch_tokens=64)
        assert all(rows * longest <= 64 for rows, longest in shapes) and len(shapes) < 16
        assert [longest for _, longest in shapes] == sorted((longest for _, longest in shapes), reverse=True)

    def test_leaves_no_trace(self, tmp_path: Path) -> None:
        model = LlamaForCausalLM(LlamaConfig(**tiny.SIZES, attention_dropout=0.5))  # drops nothing, draws nothing
        run = sft_trainer(tmp_path, model=model)
        for training in (True, False):
            run.model.train(training)
            before, random = weights(run).clone(), torch.get_rng_state()
            measure(run, tmp_path)
            assert run.model.training == training and all(m.training == training for m in run.model.modules())
            assert torch.equal(weights(run), before) and torch.equal(torch.get_rng_state(), random)
            assert all(p.grad is None for p in run.model.parameters())
            assert run._total_train_tokens == 0 and not run._metrics["train"] and not run._metrics["eval"]

    def test_gradients_still_pass_through_four_bit_layers(self, tmp_path: Path) -> None:
        """Else bitsandbytes repacks a layer that runs in eval mode on a CPU, and its gradients are lost for good."""
        bitsandbytes = pytest.importorskip("bitsandbytes")
        layer = bitsandbytes.nn.Linear4bit(64, 64, compute_dtype=torch.float32).to("cpu")
        layer.eval()
        with module.measuring(torch.nn.Sequential(layer)):
            layer(torch.ones(1, 64))
        layer.train()
        x = torch.ones(1, 64, requires_grad=True)
        layer(x).sum().backward()
        assert x.grad is not None and x.grad.abs().sum() > 0


class TestInTraining:
    def test_measured_before_the_step_that_draws_by_it(self, tmp_path: Path) -> None:
        data = tiny.sft_dataset()
        run = sft_trainer(
            tmp_path, curriculum="evo_curate", curriculum_kwargs={"measure": "probe", "refresh_steps": 2}, max_steps=5
        )
        told: list[tuple[int, list[float], list[float]]] = []
        observe = run.curriculum.observe_probe

        def look(row: Any, loss: Any, measured: Any) -> None:
            told.append((run.state.global_step, loss.tolist(), plain_losses(run, data)))
            observe(row, loss, measured)

        run.curriculum.observe_probe = look  # type: ignore[method-assign]
        run.train()
        assert [step for step, _, _ in told] == [0, 2, 4]
        for _, found, expected in told:
            np.testing.assert_allclose(found, expected, atol=1e-5)
        assert max(abs(a - b) for a, b in zip(told[0][1], told[1][1], strict=True)) > 0.1
        assert not list((tmp_path / "curriculum_probe").glob("*"))
        tokens = int(run._length.sum())
        logged = [entry["curriculum/probe_tokens"] for entry in run.state.log_history if "loss" in entry]
        assert logged == [tokens, tokens, 2 * tokens, 2 * tokens, 3 * tokens]
        assert all(entry["curriculum/probe_seconds"] > 0 for entry in run.state.log_history if "loss" in entry)

    def test_a_share_of_the_pool(self, tmp_path: Path) -> None:
        options = {"measure": "probe", "probe_share": 0.25}
        run = sft_trainer(tmp_path, curriculum="evo_curate", curriculum_kwargs=options, max_steps=1)
        asked = run.curriculum.rows_to_probe()
        assert asked is not None and len(asked) == 10
        expected = plain_losses(run, tiny.sft_dataset().select(asked))
        run.train()
        shown = run.curriculum.loss[asked]  # type: ignore[attr-defined]
        not_trained_on = ~np.isin(asked, run.history()["row"])
        np.testing.assert_allclose(shown[not_trained_on], np.array(expected)[not_trained_on], atol=1e-5)
        assert run._probe.tokens == run._length[asked].sum()

    def test_a_static_order_by_measured_difficulty(self, tmp_path: Path) -> None:
        data = tiny.sft_dataset(16)
        run = sft_trainer(tmp_path, train_dataset=data, curriculum="order", curriculum_kwargs={"difficulty": "probe"})
        expected = np.argsort(plain_losses(run, data))
        run.train()
        assert run.history()["row"].tolist() == expected.tolist()

    def test_rows_that_were_left_out_are_not_measured(self, tmp_path: Path) -> None:
        rows = [row | {"prompt": "a" * 40} if row["index"] in (0, 9) else row for row in tiny.sft_dataset(16)]
        options = {"curriculum": "order", "curriculum_kwargs": {"difficulty": "probe"}, "max_length": 30}
        run = sft_trainer(tmp_path, train_dataset=Dataset.from_list(rows), **options, max_steps=3)
        kept = [i for i in range(16) if i not in (0, 9)]
        expected = np.argsort(plain_losses(run, [rows[i] for i in kept]))[:12]
        run.train()
        assert run.history()["row"].tolist() == [kept[i] for i in expected]

    def test_grpo_needs_answers_to_measure(self, tmp_path: Path) -> None:
        from harness import trainer

        with pytest.raises(ValueError, match=r"'order' as it is set up asks for the loss of rows.*set answer_column"):
            trainer(tmp_path, curriculum="order", curriculum_kwargs={"difficulty": "probe"})


class Killed(Exception):
    pass


class TestInterrupted:
    """What was measured before a kill is not measured again, if rows and weights are the same, and never half used."""

    @pytest.fixture(autouse=True)
    def batches(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Sizes of the batches that are measured; dies where `die_at` says."""
        self.die_at, seen = 10**9, []
        losses = module._losses

        def counted(trainer: Any, rows: Any) -> Any:
            if len(seen) == self.die_at:
                raise Killed
            seen.append(len(rows))
            return losses(trainer, rows)

        monkeypatch.setattr(module, "_losses", counted)
        monkeypatch.setattr(partial, "SAVE_EVERY_SECONDS", -1.0)
        return seen

    def test_goes_on_where_it_was(self, tmp_path: Path, batches: list[int]) -> None:
        run = sft_trainer(tmp_path)
        whole = measure(run, tmp_path / "other")
        n = len(batches)
        assert n > 8
        for at in (1, 4, n - 1):
            batches.clear()
            self.die_at = at
            with pytest.raises(Killed):
                measure(run, tmp_path)
            batches.clear()
            self.die_at = 10**9
            assert np.array_equal(measure(sft_trainer(tmp_path), tmp_path), whole) and len(batches) == n - at
            assert not list(tmp_path.glob("pool_loss*"))

    @pytest.mark.parametrize("what", ["weights", "rows", "batch_tokens", "lengths", "cut file"])
    def test_another_measurement_starts_afresh(self, tmp_path: Path, batches: list[int], what: str) -> None:
        run = sft_trainer(tmp_path)
        self.die_at = 6
        with pytest.raises(Killed):
            measure(run, tmp_path)
        self.die_at = 10**9
        batches.clear()
        rows, tokens = np.arange(40), 64
        if what == "weights":
            with torch.no_grad():
                run.model.lm_head.weight += 1e-3
        elif what == "rows":
            rows = np.r_[np.arange(39), 38]
        elif what == "batch_tokens":
            tokens = 63
        elif what == "lengths":
            run = sft_trainer(tmp_path, max_length=16)
        else:
            (tmp_path / "pool_loss-0.npz").write_bytes((tmp_path / "pool_loss-0.npz").read_bytes()[:100])
        found = measure(run, tmp_path, rows, tokens)
        assert sum(batches) == 40
        batches.clear()
        assert np.array_equal(found, measure(run, tmp_path / "other", rows, tokens))

    def test_in_a_run_that_is_resumed(self, tmp_path: Path, batches: list[int]) -> None:
        options: dict[str, Any] = {
            "curriculum": "evo_curate",
            "curriculum_kwargs": {"measure": "probe", "refresh_steps": 2},
            "probe_batch_tokens": 64,
            "save_strategy": "steps",
            "save_steps": 1,
            "max_steps": 4,
        }
        whole = sft_run(tmp_path / "whole", **options)
        n = len(batches) // 2
        batches.clear()
        self.die_at = n + 5  # in the second measurement
        killed = sft_trainer(tmp_path / "cut", **options)
        with pytest.raises(Killed):
            killed.train()
        assert killed.curriculum.metrics()["refreshes"] == 1  # nothing of the second was used
        batches.clear()
        self.die_at = 10**9
        resumed = sft_run(tmp_path / "cut", True, **options)
        assert len(batches) == n - 5
        assert torch.equal(weights(resumed), weights(whole)) and resumed.history().equals(whole.history())
        tokens = [run.state.log_history[-2]["curriculum/probe_tokens"] for run in (whole, resumed)]
        assert tokens[0] == tokens[1] == 2 * whole._length.sum()
