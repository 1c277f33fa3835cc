"""Trainers whose rows are refused or left out, and probes whose prompts are the rollouts' own."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
from datasets import Dataset
from harness import sft_run, sft_trainer, trainer, weights
from transformers import LlamaConfig

from trl_curriculum.rewards import reward
from trl_curriculum.trainers.grpo_checks import check_reward_weights, grpo_window


SAVED: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2, "save_only_model": False}
BATCH: dict[str, Any] = {"per_device_train_batch_size": 16, "max_steps": 10}
BROKEN = {1: None, 6: "", 7: "a" * 125, 39: " "}  # the third leaves no room for 8 tokens in a window of 128
REFUSING = "{% if 'x' in messages[-1]['content'] %}{{ raise_exception('no x here') }}{% endif %}" + tiny.TEMPLATE


def with_broken(data: Dataset) -> Dataset:
    return Dataset.from_list([row | {"prompt": BROKEN.get(k, row["prompt"])} for k, row in enumerate(data)])


class TestGRPO:
    def test_rows_are_refused_before_anything_is_generated(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"3 of 40 rows of the training dataset cannot be used: `prompt` is null"):
            trainer(tmp_path, train_dataset=with_broken(tiny.dataset()), model="there/is-none")
        long = tiny.dataset().map(lambda row, k: {"prompt": "a" * 125 if k == 5 else row["prompt"]}, with_indices=True)
        with pytest.raises(ValueError, match=r"8 new tokens do not fit into 128 tokens \(row 5: 125 tokens\)"):
            trainer(tmp_path, train_dataset=long)

    def test_the_others_are_trained_on_and_keep_their_places(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        options = {"train_dataset": with_broken(tiny.dataset()), "unusable_rows": "leave_out", "curriculum": "uniform"}
        options["per_device_train_batch_size"] = 16
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            whole = trainer(tmp_path / "whole", max_steps=9, **options)
        assert "3 of 40 rows" in caplog.text and "1 of 40 rows" in caplog.text
        whole.train()
        assert whole.pool.size == 36 and len(whole.prompts.length) == 36 and whole.prompts.window == 128
        assert sorted(whole.history()["row"]) == sorted(set(range(40)) - BROKEN.keys())
        first = trainer(tmp_path / "again", max_steps=2, **options, **SAVED)
        first.train()
        again = trainer(tmp_path / "again", max_steps=9, **options)
        again.train(resume_from_checkpoint=True)
        assert sorted(again.history()["row"]) == sorted(set(range(40)) - BROKEN.keys())

    def test_what_is_printed_names_rows_as_the_user_counts_them(self, tmp_path: Path) -> None:
        """Rows 1 and 4 have no prompt, row 2 is too long for the window, 7 is the longest and 9 has no answer."""
        given = [{"prompt": "q" * (1 + k % 3), "answer": "4"} for k in range(12)]
        given[1]["prompt"], given[4]["prompt"], given[2]["prompt"] = None, " ", "a" * 125
        given[7]["prompt"], given[9]["answer"] = "a" * 50, "b\nc"
        options = {"unusable_rows": "leave_out", "curriculum": "uniform", "arms": None}
        run = trainer(tmp_path, train_dataset=Dataset.from_list(given), reward_funcs=reward("exact_match"), **options)
        assert "50 tokens in the prompt of row 7 +" in run.found["longest"]
        assert "(first: row 9, 'b c' by exact_match)" in run.found["golds"]
        position = [0, 3, 5, 6, 7, 8, 9, 10, 11]
        assert run.prompts.rows.position.tolist() == position
        assert run.prompts.length.tolist() == [len(given[k]["prompt"]) for k in position]

    def test_the_window_is_that_of_what_generates(self) -> None:
        config = LlamaConfig(max_position_embeddings=128)
        args = {"use_vllm": True, "vllm_mode": "colocate", "vllm_max_model_length": 64}
        for changes, window in (({}, 64), ({"use_vllm": False}, 128), ({"vllm_mode": "server"}, 128)):
            assert grpo_window(config, SimpleNamespace(**args | changes)) == window
        assert grpo_window(config, SimpleNamespace(**args | {"vllm_max_model_length": None})) == 128

    @pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0], []])
    def test_weights_are_one_for_each_reward(self, weights: list[float]) -> None:
        check_reward_weights(SimpleNamespace(reward_weights=[1.0, 2.0]), [tiny.reward, tiny.reward])
        with pytest.raises(ValueError, match=f"are {len(weights)}, for 2 reward functions"):
            check_reward_weights(SimpleNamespace(reward_weights=weights), [tiny.reward, tiny.reward])

    def test_a_resumed_run_is_the_same(self, tmp_path: Path) -> None:
        options = {"train_dataset": with_broken(tiny.dataset()), "unusable_rows": "leave_out", "max_steps": 4}
        whole = trainer(tmp_path, **options, **SAVED)
        whole.train()
        again = trainer(tmp_path, **options, **SAVED)
        again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
        assert again.history().equals(whole.history()) and (weights(again) == weights(whole)).all()

    def test_what_the_chat_template_refuses(self, tmp_path: Path) -> None:
        tokens = tiny.tokenizer()
        tokens.chat_template = REFUSING
        data = tiny.dataset(conversational=True)
        data = data.map(
            lambda row, k: {"prompt": [{"role": "user", "content": "x"}]} if k == 9 else row, with_indices=True
        )
        with pytest.raises(ValueError, match=r"the chat template refuses it: no x here \(row 9\)"):
            trainer(tmp_path, train_dataset=data, processing_class=tokens)

    def test_completions_that_leave_no_room(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            trainer(tmp_path, max_completion_length=128)
        assert "max_completion_length=128 leaves no room for a prompt in the 128 tokens" in caplog.text

    def test_answers_of_row_losses(self, tmp_path: Path) -> None:
        data = tiny.dataset().add_column("gold", [None if k == 3 else str(k) for k in range(40)])
        with pytest.raises(ValueError, match=r"`gold` is null \(row 3\)"):
            trainer(tmp_path, train_dataset=data, answer_column="gold")

    def test_rows_of_evaluations(self, tmp_path: Path) -> None:
        given = {"easy": tiny.dataset(8), "hard": with_broken(tiny.dataset(8))}
        with pytest.raises(ValueError, match="rows of the evaluation dataset 'hard' cannot be used"):
            trainer(tmp_path, eval_dataset=given, eval_strategy="steps", eval_steps=2)
        run = trainer(tmp_path, eval_dataset=given, unusable_rows="leave_out")
        assert {name: len(rows) for name, rows in run.eval_dataset.items()} == {"easy": 8, "hard": 5}
        assert len(trainer(tmp_path, eval_dataset=given["hard"], unusable_rows="leave_out").eval_dataset) == 5

    def test_a_row_that_a_reward_chokes_on_is_named(self, tmp_path: Path) -> None:
        def reward(completions: list, index: list[int], **kwargs: Any) -> list[float]:
            return [float("inf") if k == 2 else 1.0 for k in index]

        data = with_broken(tiny.dataset())
        run = trainer(tmp_path, train_dataset=data, reward_funcs=reward, unusable_rows="leave_out", **BATCH)
        with pytest.raises(ValueError, match="'reward' returned inf for a completion of row 2:"):
            run.train()


class TestSFT:
    def test_rows_are_left_out_and_the_others_keep_their_places(self, tmp_path: Path) -> None:
        tokens = tiny.tokenizer()
        tokens.chat_template = REFUSING
        data = tiny.sft_dataset(conversational=True)
        rows = list(data)
        rows[4]["messages"], rows[11]["messages"] = [], [{"role": "user", "content": "x"}]
        given = {"train_dataset": Dataset.from_list(rows), "processing_class": tokens}
        with pytest.raises(ValueError, match=r"`messages` is an empty conversation \(row 4\)"):
            sft_trainer(tmp_path, **given)
        given["train_dataset"] = Dataset.from_list(rows)
        run = sft_run(tmp_path, **given, unusable_rows="leave_out", max_steps=10)
        assert sorted(set(run.history()["row"])) == sorted(set(range(40)) - {4, 11})
        refused = Dataset.from_list(rows[5:])
        with pytest.raises(ValueError, match=r"the chat template refuses it: no x here \(row 6\)"):
            sft_trainer(tmp_path, train_dataset=refused, processing_class=tokens)

    def test_rows_of_evaluations(self, tmp_path: Path) -> None:
        broken = Dataset.from_list([*tiny.sft_dataset(4), {**tiny.sft_dataset(1)[0], "completion": None}])
        with pytest.raises(ValueError, match=r"the evaluation dataset cannot be used: `completion` is null \(row 4\)"):
            sft_trainer(tmp_path, eval_dataset=broken)
        assert len(sft_trainer(tmp_path, eval_dataset=broken, unusable_rows="leave_out").eval_dataset) == 4

    def test_no_message_to_train_on(self, tmp_path: Path) -> None:
        tokens = tiny.tokenizer()
        tokens.chat_template = tiny.TRAINING_TEMPLATE
        rows = list(tiny.sft_dataset(8, conversational=True))
        rows[2]["messages"] = rows[2]["messages"][:1]
        with pytest.raises(ValueError, match=r"it has no message of the assistant.* \(row 2\)"):
            sft_trainer(
                tmp_path, train_dataset=Dataset.from_list(rows), processing_class=tokens, assistant_only_loss=True
            )

    def test_a_prompt_without_a_completion(self, tmp_path: Path) -> None:
        data = tiny.sft_dataset(8, conversational=True).add_column("prompt", list("abcdefgh"))
        with pytest.raises(ValueError, match="a column 'prompt' and no 'completion'"):
            sft_trainer(tmp_path, train_dataset=data)


PROBE = {"prefix_entropy": {"length": 2, "quick_answer": None}}
SWITCH = (
    "{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}{{ tools[0]['function']['name'] if tools }}"
)


def seen_by(run: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Token ids of the prompts that a probe measures."""
    found: list[list[int]] = []
    from trl_curriculum.trainers import probing

    def note(prompts: list[list[int]], *args: Any, **kwargs: Any) -> Any:
        found.extend(prompts)
        raise StopIteration

    monkeypatch.setattr(probing, "prefix_entropy", note)
    with pytest.raises(StopIteration):
        run.probe.measure("prefix_entropy", np.arange(run.pool.size))
    return found


class TestAProbeMeasuresWhatIsTrained:
    @pytest.mark.parametrize("conversational", [False, True])
    def test_prompts_are_the_ids_that_rollouts_start_from(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversational: bool
    ) -> None:
        def add(a: int, b: int) -> int:
            """
            Adds two numbers.

            Args:
                a: First number.
                b: Second number.
            """
            return a + b

        tokens = tiny.tokenizer()
        options: dict[str, Any] = {}
        if conversational:
            tokens.chat_template = SWITCH + tiny.TEMPLATE
            options = {"chat_template_kwargs": {"enable_thinking": True}}
        data = tiny.dataset(8, conversational=conversational)
        run = trainer(
            tmp_path,
            train_dataset=data,
            processing_class=tokens,
            curriculum={"edco": {"rounds": 1}},
            probe=PROBE,
            arms=None,
            **options,
        )
        if conversational:
            run.tools = [add]
        expected = [list(ids) for ids in run._tokenize_prompts(data["prompt"][:])[0]]
        assert seen_by(run, monkeypatch) == expected
        if conversational:
            assert "Trueadd" in tokens.decode(expected[0]).replace(" ", "").replace("[unk]rue", "True")

    def test_sft_measures_prompts_as_they_are_cut(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = sft_trainer(
            tmp_path,
            curriculum={"edco": {"rounds": 1}},
            probe=PROBE,
            max_length=8,
            truncation_mode="keep_end",
        )
        expected = [[t for t, label in zip(*row, strict=True) if label == -100] for row in tokens_of(run)]
        assert seen_by(run, monkeypatch) == expected
        assert len({len(ids) for ids in expected}) > 1

    def test_sft_hands_a_rows_own_options_to_the_template(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tokens = tiny.tokenizer()
        tokens.chat_template = "{{ mood }}:" + tiny.TEMPLATE
        data = tiny.sft_dataset(8, conversational=True)
        data = data.add_column("chat_template_kwargs", [{"mood": "abcd"[k % 4]} for k in range(8)])
        run = sft_trainer(
            tmp_path, train_dataset=data, processing_class=tokens, curriculum={"edco": {"rounds": 1}}, probe=PROBE
        )
        probed, trained = seen_by(run, monkeypatch), [ids for ids, _ in tokens_of(run)]
        for k, (prompt, whole) in enumerate(zip(probed, trained, strict=True)):
            assert tokens.decode(prompt[:1]) == "abcd"[k % 4] and whole[: len(prompt) - 11] == prompt[:-11]


def tokens_of(run: Any) -> list[tuple[list[int], list[int]]]:
    return [(row["input_ids"], row["labels"]) for row in run.rows.dataset]
