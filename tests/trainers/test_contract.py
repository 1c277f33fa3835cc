"""One test a hook: what this package relies on in TRL and transformers. A red one names what changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contracts import changed, parameters, source
from datasets import IterableDataset
from harness import PACKED, sft_trainer, trainer
from transformers import Trainer, get_cosine_schedule_with_warmup
from transformers.trainer import OPTIMIZER_NAME, SAFE_WEIGHTS_NAME, SCHEDULER_NAME
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling


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


def test_a_completion_that_ends_in_no_end_or_pad_token_is_cut_off() -> None:
    text = source(GRPOTrainer._generate)
    assert "eos_and_pad = [*self.eos_token_ids, self._tokenizer.pad_token_id]" in text, changed(
        "which tokens end a completion"
    )
    assert "ids[-1] not in eos_and_pad for ids in completion_ids" in text, changed("what clipped_ratio counts")


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
    assert parameters(Trainer.save_model)[:2] == ["self", "output_dir"], changed("the signature of save_model")
    files = (SAFE_WEIGHTS_NAME, OPTIMIZER_NAME, SCHEDULER_NAME)
    assert files == ("model.safetensors", "optimizer.pt", "scheduler.pt"), changed("the files of a checkpoint")


def test_vllm_weights_are_synchronised_once_a_step() -> None:
    assert "self._last_loaded_step" in source(GRPOTrainer._generate_single_turn), changed("when vLLM gets new weights")


def test_options_that_are_refused_still_exist(tmp_path: Path) -> None:
    args = GRPOConfig(str(tmp_path), use_cpu=True)
    assert args.shuffle_dataset is True and args.train_sampling_strategy == "random", changed("defaults of the order")
    assert args.remove_unused_columns is False and args.auto_find_batch_size is False, changed("defaults")
    assert hasattr(args.accelerator_config, "dispatch_batches"), changed("accelerator_config")


def test_sft_constructor() -> None:
    assert parameters(SFTTrainer.__init__)[1:5] == ["model", "args", "data_collator", "train_dataset"], changed(
        "the order of SFTTrainer's first arguments"
    )


def test_sft_options_that_are_refused_or_needed_still_exist(tmp_path: Path) -> None:
    args = SFTConfig(str(tmp_path), use_cpu=True)
    assert args.shuffle_dataset is False and args.train_sampling_strategy == "random", changed("defaults of the order")
    assert args.packing_strategy == "bfd" and args.auto_find_batch_size is False, changed("defaults")
    text = source(SFTTrainer.__init__)
    assert 'args.packing_strategy in {"bfd", "bfd_split"}' in text, changed("when packing is padding-free")


def test_a_step_asks_for_its_batches_right_before_it() -> None:
    assert parameters(Trainer.get_batch_samples) == ["self", "epoch_iterator", "num_batches", "device"], changed(
        "the signature of get_batch_samples"
    )
    text = source(Trainer._run_epoch)
    words = [
        "for update_step in range(",
        "self.get_batch_samples(epoch_iterator, num_batches, self.args.device)",
        "for i, inputs in enumerate(batch_samples)",
        "self.optimizer.step()",
        "self.lr_scheduler.step()",
        "self.state.global_step += 1",
        "on_step_end(",
        "if self.control.should_epoch_stop or self.control.should_training_stop:",
    ]
    places = [text.find(word) for word in words]
    assert -1 not in places and places == sorted(places), changed("the order of an optimizer step in _run_epoch")
    assert "get_batch_samples" not in vars(SFTTrainer), changed("SFTTrainer now has a get_batch_samples of its own")


def test_a_training_set_is_prepared_through_prepare_dataset() -> None:
    names = ["self", "dataset", "processing_class", "args", "packing", "formatting_func", "dataset_name"]
    assert parameters(SFTTrainer._prepare_dataset) == names, changed("the arguments of _prepare_dataset")
    text = source(SFTTrainer._prepare_dataset)
    order = [text.find(words) for words in ("def tokenize_fn(", "def build_labels(", "def truncate(", "if packing:\n")]
    assert -1 not in order and order == sorted(order), changed("the order of preparation")
    assert "if args.max_length is not None and not packing:" in text, changed("when rows are truncated")
    signature = source(SFTTrainer._set_signature_columns_if_needed)
    assert '["input_ids", "labels", "seq_lengths"]' in signature, changed("the columns that a collator is given")


def test_a_stream_is_prepared_when_it_is_read_and_anew_each_time(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "completion": "b"}]

    def read() -> Any:
        yield from map(dict, rows)

    run = sft_trainer(tmp_path)
    given = (IterableDataset.from_generator(read), run.processing_class, run.args, False, None, "train")
    prepared = SFTTrainer._prepare_dataset(run, *given)
    assert isinstance(prepared, IterableDataset), changed("what a stream is prepared to")
    rows[:] = [{"prompt": "ab", "completion": "c"}, {"prompt": "d", "completion": "e"}]
    for _ in range(2):
        assert [len(row["input_ids"]) for row in prepared] == [4, 3], changed("when a stream is prepared")


class Seen(Exception):
    """Carries what a model was called with out of compute_loss."""


def test_compute_loss_calls_the_model_with_a_fused_head(tmp_path: Path) -> None:
    assert parameters(SFTTrainer.compute_loss) == [
        "self",
        "model",
        "inputs",
        "return_outputs",
        "num_items_in_batch",
    ], changed("the signature of compute_loss")
    run = sft_trainer(tmp_path)
    run.model.train()

    def model(*args: Any, **kwargs: Any) -> None:
        raise Seen(args, kwargs)

    with pytest.raises(Seen) as seen:
        SFTTrainer.compute_loss(run, model, run.collate(np.arange(3)), False, torch.tensor(4))
    args, kwargs = seen.value.args
    assert not args and kwargs.get("fused_lm_head") is True, changed(
        "compute_loss no longer passes fused_lm_head=True"
    )


@pytest.mark.parametrize("layout", [{}, PACKED], ids=["padded", "packed"])
def test_the_fused_head_tells_each_tokens_loss_and_entropy(tmp_path: Path, layout: dict) -> None:
    run = sft_trainer(tmp_path, **layout)
    batch = run.collate(np.array([0, 5, 17]))
    output = run.model(**batch, use_cache=False, fused_lm_head=True)
    rows, tokens = batch["input_ids"].shape
    trained = batch["labels"][:, 1:] != -100
    for name in ("log_probs", "entropy", "label_mask"):
        value = getattr(output, name, None)
        assert value is not None and value.shape == (rows, tokens - 1), changed(f"{name} of the fused head's output")
        assert not value[~trained].any(), changed(f"{name} is no longer zero where nothing is trained on")
    assert torch.equal(output.label_mask.bool(), trained), changed("label_mask")
    assert (output.log_probs[trained] < 0).all() and (output.entropy[trained] > 0).all(), changed("signs")


def test_the_collator_says_where_sequences_begin() -> None:
    collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    batch = collator([{"input_ids": [3, 4, 5]}, {"input_ids": [6, 7]}])
    assert {"cu_seq_lens_q", "seq_idx"} <= set(batch), changed("the keys of a padding-free batch")
    assert batch["cu_seq_lens_q"].tolist() == [0, 3, 5], changed("cu_seq_lens_q of a padding-free batch")
    assert batch["seq_idx"].tolist() == [[0, 0, 0, 1, 1]], changed("seq_idx of a padding-free batch")
    assert batch["labels"].tolist() == [[-100, 4, 5, -100, 7]], changed("labels at a sequence's first token")
    padded = DataCollatorForLanguageModeling(pad_token_id=0)([{"input_ids": [3, 4, 5]}, {"input_ids": [6, 7]}])
    assert padded["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]] and "seq_idx" not in padded, changed("padding")


def test_tokens_are_counted_in_total_train_tokens(tmp_path: Path) -> None:
    text = source(SFTTrainer.compute_loss)
    assert "self._total_train_tokens +=" in text and '["num_tokens"] = [self._total_train_tokens]' in text, changed(
        "where num_tokens is counted"
    )
    run = sft_trainer(tmp_path, max_steps=1)
    run.train()
    assert run._total_train_tokens == run.budget.tokens, changed("what num_tokens counts")


def test_a_scheduler_stands_where_last_epoch_says() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = get_cosine_schedule_with_warmup(optimizer, 10, 100)
    for tokens in (7, 40, 90):
        scheduler.last_epoch = tokens - 1
        optimizer.step()
        scheduler.step()
        expected = scheduler.lr_lambdas[0](tokens)
        assert optimizer.param_groups[0]["lr"] == expected, "torch changed: LambdaLR no longer follows last_epoch"
    text = source(Trainer.create_scheduler)
    assert parameters(Trainer.create_scheduler) == ["self", "num_training_steps", "optimizer"], changed(
        "the scheduler"
    )
    assert "get_warmup_steps(num_training_steps)" in text, changed("what a warm-up share is a share of")


def test_a_resume_loads_optimizer_and_scheduler_before_the_first_step() -> None:
    text = source(Trainer._inner_training_loop)
    order = [text.find(word) for word in ("get_train_dataloader()", "_init_training_state(", "_prepare_for_training(", "on_train_begin(", "self._run_epoch(")]  # fmt: skip  # noqa: E501
    assert -1 not in order and order == sorted(order), changed("the order in which a resume restores its parts")
    loading = source(Trainer._prepare_for_training)
    assert loading.find("self.create_scheduler(") < loading.find("self._load_optimizer_and_scheduler("), changed(
        "the scheduler is no longer made before its state is loaded"
    )


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
