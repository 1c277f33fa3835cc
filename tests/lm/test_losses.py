"""One loss of rows: right in every layout, without a trace in training, and not measured twice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import PACKED, PADDING_FREE, plain_forward, sft_run, sft_trainer, trainer, weights
from transformers import LlamaConfig, LlamaForCausalLM

from trl_curriculum.disk import partial
from trl_curriculum.lm import losses as module
from trl_curriculum.lm.batches import Row
from trl_curriculum.lm.losses import row_losses, tokenize_examples
from trl_curriculum.probes import RowLoss


def plain_losses(run: Any, rows: Any) -> list[float]:
    return [plain_forward(run.model, *tiny.sft_tokens(row))[0].mean().item() for row in rows]


def measure(run: Any, folder: Path, rows: Any = None, batch_tokens: int = 64) -> np.ndarray:
    rows = np.arange(run.pool.size) if rows is None else np.array(rows)
    run.probe.folder, run.probe.spec = folder, RowLoss(batch_tokens=batch_tokens)
    loss, tokens = run.host.row_loss(rows)
    assert tokens == run.rows.length[rows].sum()
    return loss


class TestInSFT:
    @pytest.mark.parametrize("layout", [{}, PADDING_FREE, PACKED], ids=["padded", "padding_free", "packed"])
    @pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
    def test_are_those_of_a_plain_forward(self, tmp_path: Path, layout: dict, batch_tokens: int) -> None:
        run = sft_trainer(tmp_path, **layout)
        found = measure(run, tmp_path, batch_tokens=batch_tokens)
        np.testing.assert_allclose(found, plain_losses(run, tiny.sft_dataset()), atol=1e-5)
        assert not list(tmp_path.glob("row_loss*"))

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


class TestOfAModel:
    """Without a trainer, and so without TRL's fused head."""

    def rows(self) -> list[Row]:
        rows = tokenize_examples(tiny.sft_dataset(12), tiny.tokenizer())
        return [*rows, {"input_ids": [5, 6, 7], "labels": [-100] * 3}, {"input_ids": [5], "labels": [5]}]

    @pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
    def test_are_those_of_a_plain_forward(self, batch_tokens: int) -> None:
        model, rows = tiny.model(), self.rows()
        found = row_losses(model, rows, batch_tokens, disable_tqdm=True)
        assert np.isnan(found[12:]).all(), "rows without a trained token"
        expected = [
            plain_forward(model, row["input_ids"], [label != -100 for label in row["labels"]])[0].mean().item()
            for row in rows[:12]
        ]
        np.testing.assert_allclose(found[:12], expected, atol=1e-5)

    def test_no_rows(self) -> None:
        assert row_losses(tiny.model(), []).shape == (0,)

    def test_the_model_is_left_as_it_was(self) -> None:
        model = tiny.model().train()
        row_losses(model, self.rows(), disable_tqdm=True)
        assert model.training and all(p.grad is None for p in model.parameters()) and torch.is_grad_enabled()

    @pytest.mark.parametrize("what", ["nothing", "tokens", "labels", "weights"])
    def test_goes_on_with_the_same_rows_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
        model, rows, seen = tiny.model(), self.rows()[:12], []
        log_probs = module._log_probs

        def counted(*args: Any) -> Any:
            if len(seen) == 5:
                raise KeyboardInterrupt
            seen.append(args)
            return log_probs(*args)

        monkeypatch.setattr(module, "_log_probs", counted)
        with pytest.raises(KeyboardInterrupt):
            row_losses(model, rows, 1, folder=tmp_path, disable_tqdm=True)
        monkeypatch.setattr(module, "_log_probs", lambda *args: (seen.append(args), log_probs(*args))[1])
        if what == "tokens":
            rows[3]["input_ids"][1] ^= 1
        elif what == "labels":
            rows[3]["labels"][-2] = -100
        elif what == "weights":
            with torch.no_grad():
                model.lm_head.weight += 1e-3
        seen.clear()
        found = row_losses(model, rows, 1, folder=tmp_path, disable_tqdm=True)
        assert len(seen) == (12 - 5 if what == "nothing" else 12) and not list(tmp_path.iterdir())
        assert np.array_equal(found, row_losses(model, rows, 1, disable_tqdm=True))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_of_answers_in_grpo_at_any_temperature_of_the_rollouts(tmp_path: Path, temperature: float) -> None:
    data = tiny.dataset().add_column("answer", ["abcd"[: 1 + k % 4] for k in range(len(tiny.dataset()))])
    run = trainer(tmp_path, train_dataset=data, answer_column="answer", temperature=temperature)
    forward = run.model.forward
    found, tokens = run.host.row_loss(np.arange(len(data)))
    assert run.model.forward == forward
    expected, n = [], 0
    for prompt, answer in zip(data["prompt"], data["answer"], strict=True):
        (before,), _, _ = run._tokenize_prompts([prompt])
        ids = tiny.tokenizer()(answer)["input_ids"]
        trained = [False] * len(before) + [True] * len(ids)
        expected.append(plain_forward(run.model, before + ids, trained)[0].mean().item())
        n += len(before) + len(ids)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert tokens == n


class Killed(Exception):
    pass


class TestInterrupted:
    """What was measured before a kill is not measured again, if rows and weights are the same, and never half used."""

    @pytest.fixture(autouse=True)
    def batches(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Sizes of the batches that are measured; dies where `die_at` says."""
        self.die_at, seen = 10**9, []
        log_probs = module._log_probs

        def counted(model: Any, inputs: Any, fused: bool) -> Any:
            if len(seen) == self.die_at:
                raise Killed
            seen.append(len(inputs["input_ids"]))
            return log_probs(model, inputs, fused)

        monkeypatch.setattr(module, "_log_probs", counted)
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
            assert not list(tmp_path.glob("row_loss*"))

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
            (tmp_path / "row_loss-0.npz").write_bytes((tmp_path / "row_loss-0.npz").read_bytes()[:100])
        found = measure(run, tmp_path, rows, tokens)
        assert sum(batches) == 40
        batches.clear()
        assert np.array_equal(found, measure(run, tmp_path / "other", rows, tokens))

    def test_in_a_run_that_is_resumed(self, tmp_path: Path, batches: list[int]) -> None:
        options: dict[str, Any] = {
            "curriculum": {"evo_curate": {"measure": "probe", "refresh_steps": 2}},
            "probe": {"loss": {"batch_tokens": 64}},
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
        assert tokens[0] == tokens[1] == 2 * whole.rows.length.sum()
