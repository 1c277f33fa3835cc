"""One test a hook: what this package relies on in TRL and transformers. A red one names what changed."""

import inspect
from pathlib import Path
from typing import Any

import torch
import trl
from harness import trainer
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(function: Any) -> str:
    return inspect.getsource(inspect.unwrap(function))


def changed(what: str) -> str:
    return f"TRL {trl.__version__} changed under trl_curriculum: {what}"


def test_constructor() -> None:
    assert parameters(GRPOTrainer.__init__)[1:5] == ["model", "reward_funcs", "args", "train_dataset"], changed(
        "the order of GRPOTrainer's first arguments"
    )


def test_generation_takes_a_list_of_rows_and_returns_tensors_in_their_order(tmp_path: Path) -> None:
    assert parameters(GRPOTrainer._generate_and_score_completions) == ["self", "inputs"], changed(
        "the signature of _generate_and_score_completions"
    )
    run = trainer(tmp_path)
    run.model.train()
    rows = [run.train_dataset[i] for i in (0, 0, 0, 0)]
    output = GRPOTrainer._generate_and_score_completions(run, rows)
    assert output["advantages"].shape == (4,), changed("advantages are no longer one number per row")
    assert output["completion_mask"].shape[0] == 4, changed(
        "the completion mask is no longer in the order of the rows"
    )


def test_rewards_are_gathered_before_they_are_used(tmp_path: Path) -> None:
    assert "gather(rewards_per_func)" in source(GRPOTrainer._calculate_rewards), changed(
        "_calculate_rewards no longer gathers over processes"
    )
    assert "self._calculate_rewards(" in source(GRPOTrainer._generate_and_score_completions), changed(
        "rewards are no longer calculated through _calculate_rewards"
    )


def test_unscorable_rollouts_get_advantage_zero() -> None:
    assert "nan_to_num(advantages, nan=0.0)" in source(GRPOTrainer._generate_and_score_completions), changed(
        "how rollouts without a reward are treated"
    )


def test_generation_window() -> None:
    text = source(GRPOTrainer._prepare_inputs)
    for words in ("self._step % generate_every == 0", "self._buffered_inputs is None", "steps_per_generation"):
        assert words in text, changed(f"the generation window: {words!r} is gone from _prepare_inputs")
    assert "self._step += 1" in source(GRPOTrainer.training_step), changed("who counts micro-steps")


def test_buffered_rollouts_are_dicts_of_tensors(tmp_path: Path) -> None:
    run = trainer(tmp_path, steps_per_generation=2, max_steps=1)
    run.train()
    assert isinstance(run._buffered_inputs, list) and len(run._buffered_inputs) == 2, changed("the rollout buffer")
    for batch in run._buffered_inputs:
        kinds = {type(value) for value in batch.values()}
        assert kinds <= {torch.Tensor, type(None)}, changed(f"the rollout buffer holds {kinds}")


def test_dataloader_is_built_from_train_dataset() -> None:
    assert "self.train_dataset" in source(GRPOTrainer.get_train_dataloader), changed("get_train_dataloader")
    sampler = source(GRPOTrainer._get_train_sampler)
    assert "RepeatSampler(" in sampler and "data_source=dataset" in sampler, changed("the sampler over the dataset")


def test_metrics_and_log() -> None:
    assert parameters(Trainer.log) == ["self", "logs", "start_time"], changed("the signature of Trainer.log")
    text = source(GRPOTrainer.log)
    assert 'f"eval_{key}"' in text and "self._metrics[mode]" in text, changed("how evaluation metrics are named")


def test_checkpoint_hooks_and_their_order() -> None:
    assert parameters(Trainer._save_checkpoint) == ["self", "model", "trial"], changed("_save_checkpoint")
    assert parameters(Trainer._load_optimizer_and_scheduler) == ["self", "checkpoint"], changed(
        "_load_optimizer_and_scheduler"
    )
    text = source(Trainer._save_checkpoint)
    order = [text.index(word) for word in ("self.save_model(", "_save_rng_state(", "save_to_json(", "_push_from_checkpoint(", "rotate_checkpoints(")]  # fmt: skip  # noqa: E501
    assert order == sorted(order), changed("trainer_state.json is no longer written last, before push and rotation")
    assert parameters(Trainer.train)[:2] == ["self", "resume_from_checkpoint"], changed("the signature of train")


def test_vllm_weights_are_synchronised_once_a_step() -> None:
    assert "self._last_loaded_step" in source(GRPOTrainer._generate_single_turn), changed("when vLLM gets new weights")


def test_options_that_are_refused_still_exist(tmp_path: Path) -> None:
    args = GRPOConfig(str(tmp_path), use_cpu=True)
    assert args.shuffle_dataset is True and args.train_sampling_strategy == "random", changed("defaults of the order")
    assert args.remove_unused_columns is False and args.auto_find_batch_size is False, changed("defaults")
    assert hasattr(args.accelerator_config, "dispatch_batches"), changed("accelerator_config")


def test_command_line_helpers() -> None:
    from trl.cli.accelerate_config import resolve_accelerate_config_argument
    from trl.cli.commands.training import _subtract_subsequence

    assert _subtract_subsequence(["a", "b", "c"], ["b"]) == ["a", "c"], changed(
        "_subtract_subsequence of TRL's command line"
    )
    resolved = resolve_accelerate_config_argument(["--accelerate_config", "zero2"])
    assert resolved[0] == "--config_file" and Path(resolved[1]).exists(), changed(
        "the named accelerate configurations"
    )
