"""SFT with a curriculum on a tiny model, end to end, against plain forwards and stock TRL."""

import itertools
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from harness import (
    PACKED,
    PADDING_FREE,
    SFT,
    RowRecorder,
    RowRecorderCurriculum,
    Witness,
    sft_run,
    sft_trainer,
    weights,
)
from matrix import CELLS, run_cell
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from trl_curriculum.curricula import Draw, EVOCurate
from trl_curriculum.curricula.evo_curate import EVOCurateCurriculum
from trl_curriculum.disk.checkpoint import newest_first
from trl_curriculum.trainers.clock import ClockDataset


def logged(run: Any, key: str) -> list[float]:
    return [entry[key] for entry in run.state.log_history if key in entry]


class TestRowsAndTheirLosses:
    @pytest.mark.parametrize("cell", [cell for cell in CELLS if cell[-1] == 1], ids=lambda cell: "-".join(cell[:4]))
    def test_are_those_of_a_plain_forward(self, tmp_path: Path, tiny_path: str, cell: Any) -> None:
        run_cell(tmp_path, tiny_path, cell)

    def test_every_pair_of_settings_is_tried(self) -> None:
        values = list(map(set, zip(*CELLS, strict=True)))
        for i, j in itertools.combinations(range(len(values)), 2):
            assert {(cell[i], cell[j]) for cell in CELLS} == set(itertools.product(values[i], values[j]))

    @pytest.mark.parametrize("layout", [{}, PACKED], ids=["padded", "packed"])
    def test_positions_are_the_users_where_rows_are_cut_or_left_out(
        self, tmp_path: Path, layout: dict, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = tiny.sft_dataset(24)
        long = [row | {"prompt": row["prompt"] * 3} if row["index"] in (0, 5, 6, 23) else row for row in data]
        data = Dataset.from_list([row | {"completion": row["completion"] * 3} for row in long])
        options = {"max_length": 16, "max_steps": 6, "unusable_rows": "leave_out"}
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            run = sft_trainer(tmp_path, train_dataset=data, **layout | options)
        assert "4 of 24 rows of the training dataset cannot be used" in caplog.text
        assert "max_length=16 (rows 0, 5, 6, 23). They are left out" in caplog.text
        assert run.pool.size == 20
        witness = Witness(run, data)
        witness.tokens = [(ids[:16], trained[:16]) for ids, trained in witness.tokens]
        assert sum(len(ids) == 16 for ids, _ in witness.tokens) > 8
        run.train()
        witness.check()
        rows = set(run.history()["row"])
        assert rows == set(range(24)) - {0, 5, 6, 23} if not layout else rows < set(range(24)) - {0, 5, 6, 23}

    @pytest.mark.parametrize("how", ["text", "tokenized", "skip_prepare_dataset", "formatting_func"])
    def test_other_kinds_of_datasets(self, tmp_path: Path, how: str) -> None:
        data = tiny.sft_dataset(16)
        changes: dict[str, Any] = {}
        given = data
        if how == "text":
            given = data.map(lambda row: {"text": row["prompt"] + row["completion"]}).remove_columns(
                ["prompt", "completion"]
            )
        elif how == "formatting_func":
            given = data.rename_columns({"prompt": "question", "completion": "answer"})
            changes = {"formatting_func": lambda row: row["question"] + row["answer"]}
        else:
            tokens = [tiny.sft_tokens(row) for row in data]
            labels = [[t if kept else -100 for t, kept in zip(*pair, strict=True)] for pair in tokens]
            given = Dataset.from_dict({"input_ids": [ids for ids, _ in tokens], "labels": labels})
            if how == "skip_prepare_dataset":
                changes = {"dataset_kwargs": {"skip_prepare_dataset": True}}
        run = sft_trainer(tmp_path, train_dataset=given, **changes)
        witness = Witness(run, data)
        if how in ("text", "formatting_func"):
            witness.tokens = [(ids, [True] * len(ids)) for ids, _ in witness.tokens]
        run.train()
        witness.check()

    def test_dataset_columns_keep_their_names(self, tmp_path: Path) -> None:
        run = sft_trainer(tmp_path, arms="arm", difficulty_column="index")
        assert "curriculum_row" not in run.train_dataset.column_names
        assert {"arm", "index", "input_ids", "labels"} <= set(run.train_dataset.column_names)
        assert run.pool.arm_names == ("a", "b", "c", "d") and run.pool.difficulty is not None
        assert run.pool.difficulty.tolist() == list(range(40))


CLOCKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"gradient_accumulation_steps": 3},
    "padding free": PADDING_FREE | {"gradient_accumulation_steps": 3},
    "packed": PACKED | {"gradient_accumulation_steps": 3},
    "workers": {"gradient_accumulation_steps": 2, "dataloader_num_workers": 2},
    "evaluation": {"eval_strategy": "steps", "eval_steps": 1, "gradient_accumulation_steps": 2},
    "gradient checkpointing": {"gradient_checkpointing": True, "bf16": True},
    "label smoothing": {"label_smoothing_factor": 0.1},
    "epochs": {"max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 16},
}


class TestClock:
    @pytest.mark.parametrize("case", CLOCKS)
    def test_rows_are_drawn_after_all_feedback_and_observed_once(self, tmp_path: Path, case: str) -> None:
        options = CLOCKS[case]
        held_out = (
            {"a": tiny.sft_dataset(4, seed=1), "b": tiny.sft_dataset(4, seed=2)} if case == "evaluation" else None
        )
        run = sft_run(tmp_path, curriculum=RowRecorder(), eval_dataset=held_out, **options)
        recorder = run.curriculum
        assert isinstance(recorder, RowRecorderCurriculum)
        steps = run.state.global_step
        assert steps == (6 if case == "epochs" else 4) and len(recorder.feedbacks) == steps
        waiting: set[int] = set()
        drawn: set[int] = set()
        for event in recorder.events:
            if isinstance(event, Draw):
                drawn |= set(event.id.tolist())
                continue
            shown = set(event.draw.tolist())
            assert len(shown) == len(event) and shown <= drawn
            drawn -= shown
            assert case == "packed" or not drawn  # what did not fit waits
            assert waiting <= shown, "what waited did not come next"
            waiting = set(drawn)
        assert waiting == set(recorder.waiting.tolist())
        assert [shown.step for shown in recorder.feedbacks] == list(range(steps))
        if case != "packed":
            batch = options.get("per_device_train_batch_size", 4) * options.get("gradient_accumulation_steps", 1)
            assert [type(event).__name__ for event in recorder.events] == ["Draw", "Feedback"] * steps
            assert [len(draw) for draw in recorder.draws] == [batch] * steps
        assert set(logged(run, "curriculum/staleness")) == {0.0}

    @pytest.mark.parametrize(("drop_last", "per_epoch"), [(False, 3), (True, 2)])
    @pytest.mark.parametrize("epochs", [1, 2.5])
    def test_an_epoch_has_as_many_steps_as_in_stock_trl(
        self, tmp_path: Path, drop_last: bool, per_epoch: int, epochs: float
    ) -> None:
        run = sft_run(
            tmp_path,
            train_dataset=tiny.sft_dataset(22),
            max_steps=-1,
            num_train_epochs=epochs,
            gradient_accumulation_steps=2,
            dataloader_drop_last=drop_last,
        )
        assert run.state.global_step == math.ceil(per_epoch * epochs) and per_epoch == pytest.approx(22 / 8, abs=0.8)
        assert sorted(run.history()["row"][:22]) == list(range(22)) or drop_last

    def test_the_dataloader_reads_no_rows(self, tmp_path: Path) -> None:
        loader = sft_trainer(tmp_path).get_train_dataloader()
        assert isinstance(loader.dataset, ClockDataset) and next(iter(loader)) == {}

    def test_evaluation_logs_each_set_by_its_name_and_draws_nothing(self, tmp_path: Path) -> None:
        held_out = {"a": tiny.sft_dataset(8, seed=1), "b": tiny.sft_dataset(8, seed=2)}
        options = {"eval_dataset": held_out, "eval_strategy": "steps", "eval_steps": 2}
        with_eval = sft_run(tmp_path / "with", **options)
        without = sft_run(tmp_path / "without")
        for name in "ab":
            for key in ("loss", "entropy", "mean_token_accuracy"):
                assert len(logged(with_eval, f"eval_{name}_{key}")) == 2
        keys = {key for entry in with_eval.state.log_history for key in entry}
        assert not any(key.startswith("eval") and "curriculum" in key for key in keys)
        assert with_eval.history().equals(without.history()) and torch.equal(weights(with_eval), weights(without))

    @pytest.mark.parametrize("layout", [{}, PACKED], ids=["padded", "packed"])
    def test_packed_evaluation(self, tmp_path: Path, layout: dict) -> None:
        held_out = tiny.sft_dataset(16, seed=1)
        found = [
            sft_trainer(tmp_path, eval_dataset=held_out, eval_packing=packed, **layout).evaluate()
            for packed in (True, False)
        ]
        assert all(np.isfinite(part["eval_loss"]) for part in found)
        if layout:  # padding-free: the same tokens, in fewer sequences
            assert found[0]["eval_loss"] == pytest.approx(found[1]["eval_loss"], abs=0.1)

    def test_a_collator_of_ones_own(self, tmp_path: Path) -> None:
        class Reversed(DataCollatorForLanguageModeling):
            seen: list[int] = []

            def torch_call(self, examples: list[dict]) -> dict:
                self.seen.append(len(examples))
                assert set(examples[0]) == {"input_ids", "labels"}
                return super().torch_call(examples)

        collator = Reversed(pad_token_id=0)
        data = tiny.sft_dataset(16)
        run = sft_trainer(tmp_path, data_collator=collator, train_dataset=data, gradient_accumulation_steps=2)
        witness = Witness(run, data)
        run.train()
        witness.check()
        assert collator.seen == [4] * 8

    def test_train_again_continues_the_curriculum(self, tmp_path: Path) -> None:
        run = sft_trainer(tmp_path, max_steps=3)
        run.train()
        run.train()
        assert run.curriculum.drawn == 24 and run.history()["draw"].tolist() == list(range(24))
        assert run.history()["step"].tolist() == np.repeat([0, 1, 2] * 2, 4).tolist()
        assert len(set(run.history()["row"])) == 24  # uniform is still in its first pass
        assert logged(run, "num_tokens")[-1] == sum(run.rows.length[run.history()["row"][12:]])

    def test_same_seed_same_run(self, tmp_path: Path) -> None:
        runs = [sft_run(tmp_path / name, curriculum="evo_curate", **PACKED) for name in "ab"]
        assert torch.equal(*map(weights, runs)) and runs[0].history().equals(runs[1].history())


class Losses(TrainerCallback):
    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_pre_optimizer_step(self, *args: Any, optimizer: Any, **kwargs: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize(
    "layout", [{}, PADDING_FREE, {"loss_type": "dft", "gradient_checkpointing": True, "bf16": True}]
)
def test_on_the_same_rows_it_is_stock_trl(tmp_path: Path, layout: dict) -> None:
    """In a prepared order, two epochs: the same losses, the same learning rates and the same weights, bit for bit."""
    data = tiny.sft_dataset(24).shuffle(seed=3)
    data = data.add_column("place", list(range(24)))
    options = {**SFT, **layout, "max_steps": -1, "num_train_epochs": 2, "gradient_accumulation_steps": 3}
    del options["curriculum"]
    ours = sft_run(tmp_path / "ours", train_dataset=data, curriculum="order", difficulty_column="place", **options)
    args = SFTConfig(str(tmp_path / "stock"), train_sampling_strategy="sequential", **options)
    stock = SFTTrainer(tiny.model(), args, train_dataset=data, processing_class=tiny.tokenizer())
    stock.train()
    for key in ("loss", "learning_rate", "grad_norm", "entropy", "mean_token_accuracy", "num_tokens", "epoch"):
        assert logged(ours, key) == logged(stock, key), key
    assert len(logged(ours, "loss")) == 4 and torch.equal(weights(ours), weights(stock))


def lengths_of(run: Any) -> np.ndarray:
    return run.history().groupby("step")["row"].apply(lambda rows: sum(run.rows.length[rows])).to_numpy()


class TestTokenBudget:
    def test_ends_with_the_first_step_that_reaches_it(self, tmp_path: Path) -> None:
        run = sft_run(tmp_path, max_tokens=300, max_steps=-1, gradient_accumulation_steps=2)
        tokens = lengths_of(run).cumsum()
        assert tokens[-1] >= 300 > tokens[-2] and logged(run, "num_tokens") == tokens.tolist()
        assert run.state.global_step == len(tokens) < run.state.max_steps

    def test_the_last_step_is_saved_and_evaluated(self, tmp_path: Path) -> None:
        rare = {"save_strategy": "steps", "save_steps": 1000, "eval_strategy": "steps", "eval_steps": 1000}
        run = sft_run(tmp_path, max_tokens=300, max_steps=-1, eval_dataset=tiny.sft_dataset(4), **rare)
        assert [path.name for path in newest_first(tmp_path)] == [f"checkpoint-{run.state.global_step}"]
        assert len(logged(run, "eval_loss")) == 1

    def test_max_steps_ends_it_earlier(self, tmp_path: Path) -> None:
        assert sft_run(tmp_path, max_tokens=3000, max_steps=3).state.global_step == 3

    @pytest.mark.parametrize(
        ("kind", "layout"), [("linear", {}), ("cosine", PACKED), ("constant", {}), ("inverse_sqrt", {})]
    )
    def test_the_learning_rate_follows_tokens(self, tmp_path: Path, kind: str, layout: dict) -> None:
        rates = Losses()
        run = sft_trainer(
            tmp_path, **layout | {"max_tokens": 500, "max_steps": -1, "warmup_steps": 0.3, "lr_scheduler_type": kind}
        )
        run.add_callback(rates)
        run.train()
        before = np.r_[0, lengths_of(run).cumsum()[:-1]]
        warmup = np.minimum(before / 150, 1)
        left = np.clip((before - 150) / 350, 0, 1)
        expected = {
            "linear": np.where(before < 150, warmup, 1 - left),
            "cosine": np.where(before < 150, warmup, 0.5 * (1 + np.cos(np.pi * left))),
            "constant": np.ones(len(before)),
            "inverse_sqrt": np.where(before < 150, warmup, 1 / np.sqrt(np.maximum(before, 150) / 150)),
        }[kind]
        np.testing.assert_allclose(rates.rates, 1e-2 * expected, rtol=1e-9, atol=1e-12)
        assert (before < 150).sum() >= 2 and len(before) > 8

    def test_progress_is_the_share_of_tokens(self, tmp_path: Path) -> None:
        seen: list[float] = []

        class Follower(EVOCurate):
            name = "follower"

        class FollowerCurriculum(EVOCurateCurriculum, of=Follower):
            def select(self, n: int, progress: float = 0.0) -> Draw:
                seen.append(progress)
                return super().select(n, progress)

        run = sft_run(tmp_path, curriculum=Follower(), max_tokens=300, max_steps=-1)
        before = np.r_[0, lengths_of(run).cumsum()[:-1]]
        assert seen == (before / 300).tolist()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"max_tokens": 0}, "max_tokens=0 must be at least 1"),
            ({"max_tokens": 100, "warmup_steps": 5}, "warmup_steps=5.* counts steps"),
            (
                {"max_tokens": 100, "save_strategy": "steps", "save_steps": 0.1},
                "save_steps=0.1 is a share of the steps",
            ),
        ],
    )
    def test_what_counts_steps_is_refused(self, tmp_path: Path, changes: dict, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            sft_trainer(tmp_path, **{"max_steps": -1} | changes)

    def test_schedulers_that_cannot_follow_tokens_are_refused(self, tmp_path: Path) -> None:
        run = sft_trainer(
            tmp_path,
            max_tokens=100,
            lr_scheduler_type="reduce_lr_on_plateau",
            eval_strategy="steps",
            eval_dataset=tiny.sft_dataset(4),
        )
        with pytest.raises(ValueError, match="'reduce_lr_on_plateau' cannot follow tokens"):
            run.train()
        model = tiny.model()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
        with pytest.raises(ValueError, match="a scheduler was given; leave it out"):
            sft_trainer(tmp_path, model=model, max_tokens=100, optimizers=(optimizer, scheduler))


class TestBadInput:
    def test_rows_without_a_token_to_train_on_are_left_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        masked = {0, 7, 8, 15}
        tokens = [tiny.sft_tokens(row) for row in tiny.sft_dataset(16)]
        # Row 8 is only trained on at its first token, which nothing predicts; rows 0 and 15 at none.
        labels = [
            [-100 if i in masked or not kept else t for t, kept in zip(*pair, strict=True)]
            for i, pair in enumerate(tokens)
        ]
        labels[8][0] = tokens[8][0][0]
        given = Dataset.from_dict({"input_ids": [ids for ids, _ in tokens], "labels": labels})
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            run = sft_trainer(tmp_path, train_dataset=given, max_length=None, max_steps=3, unusable_rows="leave_out")
        assert "4 of 16 rows of the training dataset cannot be used" in caplog.text
        witness = Witness(run, tiny.sft_dataset(16))
        run.train()
        witness.check()
        assert set(run.history()["row"]) == set(range(16)) - masked

    def test_nothing_to_train_on_is_said_in_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"None of the 40 rows .* no token of it is trained on.*max_length=4"
        ) as error:
            sft_trainer(tmp_path, max_length=4)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("layout", [{}, PACKED], ids=["padded", "packed"])
    def test_a_pool_of_one_row(self, tmp_path: Path, layout: dict) -> None:
        data = tiny.sft_dataset(1)
        run = sft_trainer(tmp_path, train_dataset=data, curriculum="evo_curate", **layout)
        witness = Witness(run, data)
        run.train()
        witness.check()
        assert set(run.history()["row"]) == {0}

    def test_the_loss_of_one_row_is_nan(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        data = tiny.sft_dataset(20)
        broken = data[13]["prompt"]
        assert broken.startswith("13:")

        def poison(module: Any, args: Any, batch: dict, output: Any) -> None:
            ids = torch.tensor([tiny.LETTERS.index(letter) + 3 for letter in "13:"])
            if batch.get("fused_lm_head"):
                bad = (batch["input_ids"][:, :3] == ids).all(dim=1)
                output.log_probs = torch.where(bad[:, None], output.log_probs * float("nan"), output.log_probs)

        run = sft_trainer(tmp_path, curriculum=RowRecorder(), train_dataset=data, max_steps=5)
        run.model.register_forward_hook(poison, with_kwargs=True)
        with caplog.at_level(logging.WARNING, "trl_curriculum"), pytest.raises(FloatingPointError, match="diverged"):
            run.train()  # the step after it has only broken weights
        assert "The loss of rows 13 is nan or infinite at step" in caplog.text
        assert isinstance(run.curriculum, RowRecorderCurriculum)
        shown = next(part for part in run.curriculum.feedbacks if 13 in part.row)
        assert shown.loss is not None and np.isnan(shown.loss[shown.row == 13]).all()
        assert np.isfinite(shown.loss[shown.row != 13]).all()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"train_dataset": tiny.sft_dataset().select([])}, "The dataset is empty"),
            ({"train_dataset": tiny.sft_dataset(4).add_column("images", ["x"] * 4)}, "vision-language models are not"),
            (
                {"train_dataset": tiny.sft_dataset(4).add_column("curriculum_row", [1] * 4)},
                "a column 'curriculum_row'",
            ),
            ({"curriculum": "sec", "arms": "arm"}, "'sec' as it is set up follows the advantage"),
            ({"curriculum": "order"}, "set difficulty_column to a numeric column"),
            ({"probe": {"loss": {"batch_tokens": 0}}}, "batch_tokens=0 of loss must be at least 1"),
            ({"packing": True, "packing_strategy": "wrapped"}, "packing_strategy='wrapped' cuts rows into pieces"),
            ({"packing": True, "packing_strategy": "bfd_split"}, "packing_strategy='bfd_split' cuts rows into pieces"),
            ({"packing": True, "max_length": None}, "packing needs max_length"),
            (
                {"train_dataset": Dataset.from_dict({"words": ["a"]})},
                "the columns words, which is none of TRL's formats",
            ),
            (
                {
                    "train_dataset": Dataset.from_dict({"text": ["a"]}),
                    "dataset_kwargs": {"skip_prepare_dataset": True},
                },
                "no column 'input_ids'",
            ),
        ],
    )
    def test_refused(self, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
        with pytest.raises((ValueError, TypeError), match=words) as error:
            sft_trainer(tmp_path, **changes)
        assert "\n" not in str(error.value)


class TestWhatAPersonSees:
    def test_log_keys(self, tmp_path: Path) -> None:
        run = sft_run(tmp_path, arms="arm", curriculum={"evo_curate": {"refresh_steps": 1}})
        keys = {key for entry in run.state.log_history for key in entry}
        for arm in "abcd":
            assert {f"curriculum/{what}/{arm}" for what in ("probability", "pulls", "loss")} <= keys
        for key in ("staleness", "repeated_rows", "unobserved_rows", "refreshes", "pool_loss", "capacity"):
            assert f"curriculum/{key}" in keys, key
        history = run.history()
        for step, entry in enumerate(entry for entry in run.state.log_history if "loss" in entry):
            shown = history[history["step"] == step]
            for arm, part in shown.groupby("arm"):
                assert entry[f"curriculum/loss/{arm}"] == pytest.approx(part["loss"].mean())
                assert entry[f"curriculum/pulls/{arm}"] == len(part)

    def test_a_closing_table_is_printed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        sft_run(tmp_path, disable_tqdm=False, arms="arm")
        out = capsys.readouterr().out
        assert "Where the draws went (uniform)" in out and "loss, first" in out


def test_one_collective_a_step_more_than_stock_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl_curriculum.trainers import mixin

    calls: list[torch.Size] = []

    def counted(tensor: torch.Tensor) -> torch.Tensor:
        calls.append(tensor.shape)
        return tensor

    monkeypatch.setattr("accelerate.utils.gather", counted)
    monkeypatch.setattr(mixin, "broadcast_object_list", lambda *args: pytest.fail("another collective"))
    sft_run(tmp_path, gradient_accumulation_steps=2, max_steps=3)
    assert calls == [torch.Size([8, 4])] * 3  # rows, losses, entropies and tokens of eight sequences, three steps
