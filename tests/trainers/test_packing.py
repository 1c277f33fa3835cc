"""Packing: which rows share a batch, that none is lost or trained on twice, and that none sees another."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from harness import PACKED, PADDING_FREE, RowRecorder, RowRecorderCurriculum, sft_run, sft_trainer
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM

from trl_curriculum.curricula import Draw
from trl_curriculum.trainers.packing import best_fit


def best_fit_by_hand(length: list[int], capacity: int, n_bins: int, first: int) -> list[int]:
    """The definition: those that waited, then the others, each the longest first, into the fullest bin with room."""
    free = [capacity] * n_bins
    place = [-1] * len(length)
    waited, others = range(first), range(first, len(length))
    for item in [*waited, *sorted(others, key=lambda i: -length[i])]:
        room = [k for k in range(n_bins) if free[k] >= length[item]]
        if room:
            place[item] = min(room, key=lambda k: (free[k], k))
            free[place[item]] -= length[item]
    return place


class TestBestFit:
    @pytest.mark.parametrize("seed", range(60))
    def test_is_what_its_definition_says(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, n_bins, capacity = int(rng.integers(1, 40)), int(rng.integers(1, 8)), int(rng.integers(5, 60))
        length = rng.integers(1, capacity + 1, n)
        first = int(rng.integers(0, min(n, 4)))
        place = best_fit(length, capacity, n_bins, first)
        assert place.tolist() == best_fit_by_hand(length.tolist(), capacity, n_bins, first)
        load = np.bincount(place[place >= 0], length[place >= 0], minlength=n_bins)
        assert (load <= capacity).all() and len(load) == n_bins
        assert all(length[i] > capacity - load.min() for i in np.flatnonzero(place < 0))  # fits nowhere

    def test_what_waited_is_placed_first(self) -> None:
        assert best_fit(np.array([2, 10, 9]), 10, 1, first=1).tolist() == [0, -1, -1]
        assert best_fit(np.array([2, 10, 9]), 10, 1).tolist() == [-1, 0, -1]


def steps(run: Any) -> list[np.ndarray]:
    return [part.to_numpy() for _, part in run.history().groupby("step")["row"]]


class TestRuns:
    @pytest.mark.parametrize("accumulation", [1, 4])
    def test_every_draw_is_trained_on_once_and_rows_come_equally_often(
        self, tmp_path: Path, accumulation: int
    ) -> None:
        run = sft_run(tmp_path, gradient_accumulation_steps=accumulation, **PACKED | {"max_steps": 72 // accumulation})
        history = run.history()
        waiting = run.curriculum.waiting
        assert sorted([*history["draw"], *waiting]) == list(range(run.curriculum.drawn))
        # A pass is 40 draws: each row is in each pass once, whenever it fits.
        passes = history[history["draw"] < run.curriculum.drawn // 40 * 40].groupby(history["draw"] // 40)["row"]
        left = Counter((waiting[waiting < run.curriculum.drawn // 40 * 40] // 40).tolist())
        assert len(passes) >= 7
        for number, rows in passes:
            assert len(rows) == len(set(rows)) == 40 - left[number]
        assert max(np.bincount(history["row"])) - min(np.bincount(history["row"])) <= 2

    @pytest.mark.parametrize(("curriculum", "least"), [("uniform", 0.93), ("evo_curate", 0.93)])
    def test_batches_are_full(self, tmp_path: Path, curriculum: str, least: float) -> None:
        run = sft_run(
            tmp_path,
            curriculum=curriculum,
            train_dataset=tiny.sft_dataset(200),
            **PACKED | {"gradient_accumulation_steps": 2, "max_steps": 30, "max_length": 64},
        )
        fill = np.array([run.rows.length[rows].sum() for rows in steps(run)]) / (2 * 128)
        assert (fill <= 1).all() and fill.mean() >= least, fill.mean()

    def test_a_device_batch_never_holds_more_than_its_tokens(self, tmp_path: Path) -> None:
        run = sft_trainer(tmp_path, gradient_accumulation_steps=3, **PACKED)
        sizes: list[int] = []
        run.model.register_forward_pre_hook(
            lambda module, args, batch: sizes.append(batch["input_ids"].numel()), with_kwargs=True
        )
        run.train()
        assert len(sizes) >= 12 and max(sizes) <= 2 * 32 and np.mean(sizes[-12:]) > 0.8 * 64

    def test_an_epoch_is_what_the_tokens_fill(self, tmp_path: Path) -> None:
        run = sft_run(tmp_path, **PACKED | {"max_steps": -1, "num_train_epochs": 2, "gradient_accumulation_steps": 2})
        tokens = sum(len(tiny.sft_tokens(row)[0]) for row in tiny.sft_dataset())
        assert run.state.global_step == 2 * -(-tokens // 128)

    def test_what_did_not_fit_comes_next_and_is_not_drawn_anew(self, tmp_path: Path) -> None:
        rows = [{"prompt": "a" * n, "completion": "b" * n} for n in (4, 9, 13)] * 8
        run = sft_run(
            tmp_path,
            curriculum=RowRecorder(),
            train_dataset=Dataset.from_list(rows),
            **PACKED | {"per_device_train_batch_size": 1, "max_steps": 20},
        )
        history = run.history()
        step_of = history.set_index("draw")["step"]
        assert isinstance(run.curriculum, RowRecorderCurriculum)
        first_seen: dict[int, int] = {}
        step = 0
        for event in run.curriculum.events:
            if isinstance(event, Draw):
                first_seen = dict.fromkeys(event.id.tolist(), step) | first_seen
            else:
                step += 1
        delay = step_of - step_of.index.map(first_seen)
        assert delay.min() == 0 and (delay > 0).any()
        assert delay.max() <= 2  # the longest ones may have to wait for each other

    def test_rows_that_are_longer_than_a_batch(self, tmp_path: Path) -> None:
        data = Dataset.from_dict({"input_ids": [[3] * 10, [4] * 40, [5] * 33]})
        with pytest.raises(
            ValueError, match="Row 1 has 40 tokens and max_length is 32: rows that are given tokenized"
        ):
            sft_trainer(
                tmp_path,
                train_dataset=data,
                dataset_kwargs={"skip_prepare_dataset": True},
                curriculum="uniform",
                **PACKED,
            )
        run = sft_run(tmp_path, train_dataset=data, **PACKED)  # TRL cuts them
        assert run.rows.length.tolist() == [10, 32, 32]


class TestSequencesAreApart:
    @pytest.mark.parametrize("attention", ["eager", "sdpa"])
    @pytest.mark.parametrize("layout", [PACKED, PADDING_FREE], ids=["packed", "padding_free"])
    def test_attention_keeps_them_apart(self, tmp_path: Path, attention: str, layout: dict) -> None:
        model = LlamaForCausalLM(LlamaConfig(**tiny.SIZES, attn_implementation=attention))
        assert sft_run(tmp_path, model=model, max_steps=1, **layout).state.global_step == 1

    def test_a_mixture_of_experts_keeps_them_apart(self, tmp_path: Path) -> None:
        assert sft_run(tmp_path, model=tiny.moe_model(), **PACKED).state.global_step == 4

    @pytest.mark.parametrize("layout", [PACKED, PADDING_FREE], ids=["packed", "padding_free"])
    def test_a_model_that_leaks_is_refused(self, tmp_path: Path, layout: dict) -> None:
        torch.manual_seed(0)
        sizes = {"vocab_size": 47, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
        model = MambaForCausalLM(MambaConfig(**sizes, pad_token_id=0, bos_token_id=1, eos_token_id=1))
        run = sft_trainer(tmp_path, model=model, **layout)
        with pytest.raises(ValueError, match="Sequences in one padding-free batch see each other in MambaForCausalLM"):
            run.train()
        assert sft_run(tmp_path, model=model, max_steps=1).state.global_step == 1  # padded, it trains

    def test_it_runs_in_the_precision_of_training(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        attention = torch.nn.functional.scaled_dot_product_attention

        def no_float32(query: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            if query.dtype == torch.float32 and not torch.is_autocast_enabled("cpu"):
                raise RuntimeError("FlashAttention takes half precision only.")
            return attention(query, *args, **kwargs)

        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", no_float32)
        assert sft_run(tmp_path, bf16=True, max_steps=1, **PACKED).state.global_step == 1

    def test_rounding_is_not_a_leak(self, tmp_path: Path) -> None:
        model = tiny.model().to(torch.bfloat16)
        with torch.no_grad():
            for weight in model.parameters():
                weight *= 12  # as sure of itself as a trained model: rounding shows
        assert sft_run(tmp_path, model=model, max_steps=1, **PACKED).state.global_step == 1

    def test_the_check_changes_nothing(self, tmp_path: Path) -> None:
        run = sft_trainer(tmp_path, **PACKED)
        before = torch.get_rng_state()
        run.model.eval()
        from trl_curriculum.lm.tap import check_sequences_are_apart

        check_sequences_are_apart(run.model, run.data_collator, run.rows[[0, 1]])
        assert torch.equal(torch.get_rng_state(), before) and not run.model.training
