"""GRPO with a curriculum on a tiny model, end to end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import Recorder, RecorderCurriculum, trainer, weights
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM

from trl_curriculum import read_history
from trl_curriculum.trainers.clock import ClockDataset


def train(tmp_path: Path, **changes: Any) -> tuple[Any, RecorderCurriculum]:
    run = trainer(tmp_path, curriculum=Recorder(tau=0.3), **changes)
    run.train()
    assert isinstance(run.curriculum, RecorderCurriculum)
    return run, run.curriculum


BATCHING = {
    "defaults": ({"gradient_accumulation_steps": 2}, 4, 2),
    "below accumulation": ({"gradient_accumulation_steps": 4, "steps_per_generation": 2}, 8, 2),
    "above accumulation": ({"gradient_accumulation_steps": 2, "steps_per_generation": 4}, 2, 4),
    "two iterations": ({"gradient_accumulation_steps": 2, "num_iterations": 2}, 2, 2),
    "two iterations, above": ({"steps_per_generation": 2, "num_iterations": 2}, 1, 2),
    "workers": ({"gradient_accumulation_steps": 2, "dataloader_num_workers": 2}, 4, 2),
}


class TestBinding:
    @pytest.mark.parametrize("case", BATCHING)
    def test_rows_are_drawn_after_all_feedback_and_observed_once(self, tmp_path: Path, case: str) -> None:
        options, generations, prompts = BATCHING[case]
        seen: list[list[int]] = []

        def reward(completions: list, letter: list, index: list[int], **kwargs: Any) -> list[float]:
            seen.append(index)
            return tiny.reward(completions, letter)

        run, recorder = train(tmp_path, reward_funcs=reward, **options)
        kinds = [type(event).__name__ for event in recorder.events]
        assert kinds == ["Draw", "Rollouts"] * generations
        assert [len(draw) for draw in recorder.draws] == [prompts] * generations
        assert seen == [np.repeat(draw.row, 4).tolist() for draw in recorder.draws]
        for draw, shown in zip(recorder.draws, recorder.feedbacks, strict=True):
            assert shown.row.tolist() == np.repeat(draw.row, 4).tolist()
            assert shown.draw.tolist() == np.repeat(draw.id, 4).tolist()
        logged = [entry["curriculum/staleness"] for entry in run.state.log_history if "curriculum/staleness" in entry]
        assert logged and set(logged) == {0.0}

    def test_feedback_is_what_the_trainer_used(self, tmp_path: Path) -> None:
        run, recorder = train(tmp_path, per_device_train_batch_size=16, max_steps=3)
        last = recorder.feedbacks[-1]
        assert last.advantage is not None and last.reward is not None and last.length is not None
        assert np.abs(last.advantage).max() > 0
        assert last.advantage.tolist() == pytest.approx(list(run._logs["advantages"])[-16:], rel=1e-5, abs=1e-5)
        texts = list(run._logs["completion"])[-16:]
        letters = [run.train_dataset[int(row)]["letter"] for row in last.row]
        assert last.reward.tolist() == tiny.reward(texts, letters)
        assert ((last.length >= 1) & (last.length <= 8)).all()

    def test_lengths_are_those_of_the_completions_also_where_trl_masks_truncated_ones(self, tmp_path: Path) -> None:
        _, recorder = train(tmp_path, mask_truncated_completions=True, per_device_train_batch_size=16)
        lengths = np.concatenate([shown.length for shown in recorder.feedbacks])  # type: ignore[misc]
        assert lengths.max() == 8 and lengths.min() >= 1

    @pytest.mark.parametrize("arms", ["arm", ["level", "kind"]])
    def test_conversational_prompts_and_joint_arms(self, tmp_path: Path, arms: Any) -> None:
        run, recorder = train(tmp_path, train_dataset=tiny.dataset(conversational=True), arms=arms)
        assert len(recorder.feedbacks) == 4 and run.pool.n_arms == 4

    def test_a_dataset_smaller_than_a_batch_repeats_rows_and_counts_them(self, tmp_path: Path) -> None:
        run, recorder = train(tmp_path, train_dataset=tiny.dataset(2), per_device_train_batch_size=16, max_steps=2)
        assert all(sorted(set(draw.row.tolist())) <= [0, 1] for draw in recorder.draws)
        assert any(entry.get("curriculum/repeated_rows", 0) >= 2 for entry in run.state.log_history)

    def test_an_epoch_has_as_many_steps_as_in_stock_trl(self, tmp_path: Path) -> None:
        run, recorder = train(tmp_path, max_steps=-1, num_train_epochs=2, per_device_train_batch_size=8)
        assert run.state.global_step == 40 and len(recorder.draws) == 40  # 40 rows, 2 prompts a step, 2 epochs

    def test_the_dataloader_reads_no_rows(self, tmp_path: Path) -> None:
        loader = trainer(tmp_path).get_train_dataloader()
        assert isinstance(loader.dataset, ClockDataset)
        assert next(iter(loader)) == [{}] * 4

    def test_uniform_trains_on_every_row_once_an_epoch(self, tmp_path: Path) -> None:
        run = trainer(tmp_path, curriculum="uniform", max_steps=40)
        run.train()
        assert sorted(run.history()["row"]) == list(range(40))


class TestRewards:
    def test_missing_rewards_are_not_observed_and_not_taken_for_solved(self, tmp_path: Path) -> None:
        def reward(completions: list, letter: list[str], **kwargs: Any) -> list[float | None]:
            scores = tiny.reward(completions, letter)
            return [None if x in "ab" else s for x, s in zip(letter, scores, strict=True)]

        run, recorder = train(tmp_path, reward_funcs=reward, max_steps=12, per_device_train_batch_size=8)
        arm_a = np.isin(recorder.pool.arm, [0, 1])
        for shown in recorder.feedbacks:
            assert shown.reward is not None and shown.advantage is not None
            assert np.isnan(shown.reward[arm_a[shown.row]]).all() and np.isnan(shown.advantage[arm_a[shown.row]]).all()
            assert np.isfinite(shown.reward[~arm_a[shown.row]]).all()
        assert recorder.belief().mean[:2].tolist() == [0, 0] and recorder.belief().count[:2].sum() > 0
        history = run.history()
        assert not history.loc[history["arm"].isin(["a", "b"]), "zero_variance"].any()
        assert sum(entry.get("curriculum/unobserved_rollouts", 0) for entry in run.state.log_history) > 0

    def test_a_rollout_without_a_scored_peer_shows_no_advantage(self, tmp_path: Path) -> None:
        def reward(completions: list, **kwargs: Any) -> list[float | None]:
            return [1.0 if i % 4 == 0 else None for i in range(len(completions))]

        _, recorder = train(tmp_path, reward_funcs=reward)
        assert all(np.isnan(shown.advantage).all() for shown in recorder.feedbacks)  # type: ignore[arg-type]
        assert all(np.isfinite(shown.reward[::4]).all() for shown in recorder.feedbacks)  # type: ignore[index]

    def test_several_rewards_are_summed_with_their_weights(self, tmp_path: Path) -> None:
        def one(completions: list, **kwargs: Any) -> list[float]:
            return [1.0] * len(completions)

        def maybe(completions: list, **kwargs: Any) -> list[float | None]:
            return [float(i % 2) if i % 4 else None for i in range(len(completions))]

        _, recorder = train(tmp_path, reward_funcs=[one, maybe], reward_weights=[0.5, 2.0])
        assert recorder.feedbacks[0].reward is not None
        assert recorder.feedbacks[0].reward.tolist() == [0.5, 2.5, 0.5, 2.5]

    def test_asynchronous_reward(self, tmp_path: Path) -> None:
        async def reward(completions: list, letter: list[str], **kwargs: Any) -> list[float]:
            return tiny.reward(completions, letter)

        _, recorder = train(tmp_path, reward_funcs=reward)
        assert all(np.isfinite(shown.reward).all() for shown in recorder.feedbacks)  # type: ignore[arg-type]

    def test_constant_rewards(self, tmp_path: Path) -> None:
        run, recorder = train(tmp_path, reward_funcs=lambda completions, **kw: [1.0] * len(completions))
        assert recorder.belief().mean.tolist() == [0] * 4
        assert run.history()["zero_variance"].all()


class TestWhatAPersonSees:
    def test_log_keys(self, tmp_path: Path) -> None:
        run, _ = train(tmp_path, max_steps=6, per_device_train_batch_size=16)
        keys = {key for entry in run.state.log_history for key in entry}
        for arm in "abcd":
            assert {f"curriculum/{what}/{arm}" for what in ("probability", "value", "pulls", "advantage")} <= keys
        for key in ("distribution_entropy", "frac_zero_variance", "staleness", "repeated_rows", "unobserved_rollouts"):
            assert f"curriculum/{key}" in keys
        entries = [entry for entry in run.state.log_history if "curriculum/probability/a" in entry]
        assert len(entries) == 6
        for entry in entries:
            assert sum(entry[f"curriculum/probability/{arm}"] for arm in "abcd") == pytest.approx(1)
            assert sum(entry.get(f"curriculum/pulls/{arm}", 0) for arm in "abcd") == 4

    def test_history_holds_every_draw(self, tmp_path: Path) -> None:
        run, recorder = train(tmp_path, max_steps=5, per_device_train_batch_size=8)
        history = read_history(tmp_path)
        assert history["draw"].tolist() == list(range(10))
        assert history["row"].tolist() == np.concatenate([draw.row for draw in recorder.draws]).tolist()
        assert history["step"].tolist() == np.repeat(range(5), 2).tolist()
        shown = recorder.feedbacks[-1]
        assert shown.reward is not None
        assert history["reward"].tolist()[-2:] == shown.reward.reshape(2, 4).mean(axis=1).tolist()
        assert history.equals(run.history())

    def test_a_closing_table_is_printed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        train(tmp_path, disable_tqdm=False)
        out = capsys.readouterr().out
        assert "Where the draws went (recorder)" in out and "mean |A|" in out

    def test_a_new_run_in_the_same_folder_keeps_the_old_history(self, tmp_path: Path) -> None:
        train(tmp_path)
        old = read_history(tmp_path)
        train(tmp_path, max_steps=2, overwrite_output_dir=True)
        assert len(read_history(tmp_path)) == 2
        (tmp_path / "x").mkdir()
        (tmp_path / "curriculum_history.1").rename(tmp_path / "x" / "curriculum_history")
        assert read_history(tmp_path / "x").equals(old)


class TestBesideTRLsOptions:
    def test_lora_and_default_gradient_checkpointing(self, tmp_path: Path) -> None:
        run, recorder = train(tmp_path, peft_config=LoraConfig(r=2, target_modules="all-linear"), max_steps=6)
        assert run.args.gradient_checkpointing and len(recorder.feedbacks) == 6
        moved = [p.abs().sum() for name, p in run.model.named_parameters() if "lora_B" in name]
        assert sum(moved) > 0

    def test_qlora(self, tmp_path: Path, tiny_path: str) -> None:
        from transformers import BitsAndBytesConfig

        run, recorder = train(
            tmp_path,
            model=tiny_path,
            quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32),
            peft_config=LoraConfig(r=2, target_modules="all-linear"),
            model_init_kwargs={"dtype": "float32"},
        )
        assert any(type(module).__name__ == "Linear4bit" for module in run.model.modules())
        assert len(recorder.feedbacks) == 4

    def test_mixture_of_experts(self, tmp_path: Path) -> None:
        _, recorder = train(tmp_path, model=tiny.moe_model())
        assert len(recorder.feedbacks) == 4

    def test_evaluation_is_untouched_and_may_be_one_set_per_arm(self, tmp_path: Path) -> None:
        held_out = tiny.dataset(16, seed=1)
        per_arm = {arm: held_out.filter(lambda row, arm=arm: row["arm"] == arm) for arm in "ab"}
        run, recorder = train(
            tmp_path, eval_dataset=per_arm, eval_strategy="steps", eval_steps=2, per_device_eval_batch_size=4
        )
        assert [type(event).__name__ for event in recorder.events] == ["Draw", "Rollouts"] * 4
        keys = {key for entry in run.state.log_history for key in entry}
        assert {"eval_a_reward", "eval_b_reward"} <= keys
        assert not any(key.startswith("eval") and "curriculum" in key for key in keys)

    def test_rollout_func(self, tmp_path: Path) -> None:
        def rollout(prompts: list[str], trainer: Any) -> dict[str, list]:
            ids = trainer.processing_class(prompts)["input_ids"]
            return {
                "prompt_ids": ids,
                "completion_ids": [[5 + i % 30, 6, 7] for i in range(len(prompts))],
                "logprobs": [[-1.0] * 3] * len(prompts),
                "note": [f"written by rollout {i}" for i in range(len(prompts))],
            }

        notes: list[str] = []

        def reward(completions: list, letter: list, note: list[str], **kwargs: Any) -> list[float]:
            notes.extend(note)
            return tiny.reward(completions, letter)

        run, recorder = train(tmp_path, rollout_func=rollout, reward_funcs=reward, per_device_train_batch_size=8)
        assert len(recorder.feedbacks) == 4 and "note" not in run.train_dataset.column_names
        assert notes[:8] == [f"written by rollout {i}" for i in range(8)]  # every rollout wrote into its own copy

    def test_train_again_continues_the_curriculum_and_not_the_window(self, tmp_path: Path) -> None:
        run = trainer(tmp_path, curriculum=Recorder(tau=0.3), steps_per_generation=8, max_steps=4)
        run.train()
        run.train()
        assert isinstance(run.curriculum, RecorderCurriculum)
        assert len(run.curriculum.draws) == 2 and run.curriculum.drawn == 16  # each train() opened its own window
        assert run.history()["draw"].tolist() == list(range(16))

    def test_same_seed_same_run(self, tmp_path: Path) -> None:
        first, _ = train(tmp_path / "a")
        second, _ = train(tmp_path / "b")
        assert torch.equal(weights(first), weights(second)) and first.history().equals(second.history())

    def test_tools(self, tmp_path: Path) -> None:
        import trl

        tokens = tiny.tokenizer()
        tokens.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()

        def multiply(a: int, b: int) -> int:
            """
            Multiplies two numbers.

            Args:
                a: First number.
                b: Second number.
            """
            return a * b

        data = tiny.dataset(conversational=True)
        model = LlamaForCausalLM(LlamaConfig(**tiny.SIZES | {"max_position_embeddings": 1024}))  # for the tool's text
        options = {"processing_class": tokens, "model": model, "max_steps": 2}
        run, recorder = train(tmp_path, tools=[multiply], train_dataset=data, **options)
        assert run.tools == [multiply] and len(recorder.feedbacks) == 2


def test_one_collective_a_generation_more_than_stock_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl_curriculum.trainers import late_entropy, mixin, open_window

    calls: list[torch.Size] = []

    def counted(tensor: torch.Tensor) -> torch.Tensor:
        calls.append(tensor.shape)
        return tensor

    monkeypatch.setattr("accelerate.utils.gather", counted)
    others = ((mixin, "broadcast_object_list"), (open_window, "gather_object"), (late_entropy, "gather"))
    for module, name in others:
        monkeypatch.setattr(module, name, lambda *args: pytest.fail("another collective during training"))
    run = trainer(tmp_path, max_steps=3)
    run.train()
    # rows, advantages, lengths and which were cut off of four rollouts, three generations
    assert calls == [torch.Size([4, 4])] * 3
