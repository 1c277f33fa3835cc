"""One test a seam of shaping and refilling: what they rely on in TRL. A red one names what changed."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from contracts import changed, parameters, source
from harness import sft_trainer, trainer
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.utils import FusedCausalLMOutput, shuffle_sequence_dict, split_tensor_dict

from trl_curriculum.trainers.joining import COMPLETION, PROMPT
from trl_curriculum.trainers.shaping import CLIPPED_LOSSES


def one_batch(folder: Path, **changes: Any) -> tuple[Any, dict[str, Any]]:
    run = trainer(folder, per_device_train_batch_size=8, max_steps=1, **changes)
    run.train()
    return run, run._buffered_inputs[0]


def test_advantages_are_read_after_the_forward() -> None:
    text = source(GRPOTrainer._compute_loss)
    forward, read = (
        text.find("self._get_per_token_logps_and_entropies("),
        text.find('advantages = inputs["advantages"]'),
    )
    assert 0 < forward < read, changed("_compute_loss no longer reads the advantages after its forward")
    assert text.count("self._get_per_token_logps_and_entropies(") == 1, changed("_compute_loss makes another forward")
    assert "compute_entropy=True" in text, changed("the training forward no longer computes entropies")
    old = text.find('old_per_token_logps = inputs.get("old_per_token_logps")')
    assert forward < old, changed("_compute_loss no longer reads the old log-probabilities after its forward")
    assert "per_token_logps.detach() if old_per_token_logps is None" in text, changed("the ratio without old ones")
    assert parameters(GRPOTrainer._compute_loss) == ["self", "model", "inputs"], changed("_compute_loss")
    assert "return self._compute_loss(model, inputs)" in source(GRPOTrainer.compute_loss), changed("compute_loss")


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"])
def test_advantages_may_be_one_a_token(tmp_path: Path, loss_type: str) -> None:
    run, batch = one_batch(tmp_path, loss_type=loss_type)
    run.current_gradient_accumulation_steps = 1
    wide = batch | {"advantages": batch["advantages"][:, None].repeat(1, batch["completion_ids"].shape[1])}
    losses = [GRPOTrainer._compute_loss(run, run.model, dict(given)) for given in (batch, wide)]
    assert torch.equal(*losses), changed(f"advantages of shape (B, T) make another {loss_type} loss")
    half = GRPOTrainer._compute_loss(run, run.model, wide | {"advantages": wide["advantages"] * 0.5})
    assert half.item() == pytest.approx(losses[0].item() / 2), changed(
        f"{loss_type} is no longer in proportion to the advantages"
    )


def test_the_forward_over_completions() -> None:
    names = parameters(GRPOTrainer._get_per_token_logps_and_entropies)
    assert names[:6] == ["self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"], changed(
        "the signature of _get_per_token_logps_and_entropies"
    )
    assert "compute_entropy" in names, changed("_get_per_token_logps_and_entropies computes no entropies")
    text = source(GRPOTrainer._get_per_token_logps_and_entropies)
    assert "return logps, entropies, aux_loss" in text, changed("what _get_per_token_logps_and_entropies returns")


def test_the_policys_pass_comes_before_the_references() -> None:
    text = source(GRPOTrainer._generate_and_score_completions)
    policy, reference = (
        text.find("old_per_token_logps, _, _ = self._get"),
        text.find("ref_per_token_logps, _, _ = self"),
    )
    assert 0 < policy < reference, changed("the order of the passes over completions")
    assert 'output["old_per_token_logps"] = old_per_token_logps' in text, changed("old_per_token_logps")
    assert text.find("with torch.no_grad(), disable_gradient_checkpointing(") < policy, changed(
        "the pass has a gradient"
    )


def test_other_tensors_are_shuffled_and_split_along() -> None:
    batch = {
        "prompt_ids": torch.arange(8)[:, None],
        "curriculum_row": torch.arange(8),
        "num_items_in_batch": torch.tensor(3),
    }
    parts = split_tensor_dict(shuffle_sequence_dict(batch), 2)
    for part in parts:
        assert torch.equal(part["prompt_ids"][:, 0], part["curriculum_row"]), changed("shuffle or split of rollouts")
        assert part["num_items_in_batch"] == 3, changed("split_tensor_dict treats scalars otherwise")


@pytest.mark.parametrize("options", [{}, {"num_iterations": 2, "mask_truncated_completions": True}])
def test_all_tensors_of_a_rollout_are_known(tmp_path: Path, options: dict[str, Any]) -> None:
    _, batch = one_batch(tmp_path, **options)
    wide = {name for name, value in batch.items() if value.ndim > 1}
    assert wide <= {*PROMPT, *COMPLETION}, changed(f"rollouts have {wide - {*PROMPT, *COMPLETION}}")
    assert all(torch.is_tensor(value) for value in batch.values()), changed("rollouts hold more than tensors")
    text = source(GRPOTrainer._generate_and_score_completions)
    for words in ("tool_mask, padding_value=1,", "prompt_mask, padding_value=0, padding_side=\"left\"",
                  "completion_mask, padding_value=0, padding_side=\"right\""):  # fmt: skip
        assert words in text, changed(f"how rollouts are padded: {words!r} is gone")
    assert "num_items_in_batch = self.accelerator.gather(loss_mask.sum()).sum()" in text, changed("num_items_in_batch")


def test_ppos_clip() -> None:
    text = source(GRPOTrainer._compute_loss)
    assert 'self.loss_type in ["grpo", "bnpo", "dr_grpo", "dapo", "luspo"]' in text, changed(
        "which losses are clipped"
    )
    assert set(CLIPPED_LOSSES) == {"grpo", "bnpo", "dr_grpo", "dapo", "luspo"}
    assert "torch.clamp(coef_1, 1 - self.epsilon_low, 1 + self.epsilon_high)" in text, changed("PPO's clip")


def test_scoring_takes_any_number_of_groups(tmp_path: Path) -> None:
    run = trainer(tmp_path, per_device_train_batch_size=8)
    run.model.train()
    rows = [run.train_dataset[i // 4] for i in range(12)]
    output = GRPOTrainer._generate_and_score_completions(run, rows)
    assert output["advantages"].shape == (12,), changed("scoring takes one number of rows only")


def test_loss_terms_are_divided_by_the_accumulation() -> None:
    text = source(GRPOTrainer._compute_loss)
    assert "accumulation_factor = self.current_gradient_accumulation_steps" in text, changed("scaling of loss terms")


def test_options_that_shapers_ask_for(tmp_path: Path) -> None:
    args = GRPOConfig(str(tmp_path), use_cpu=True)
    assert args.multi_objective_aggregation == "sum_then_normalize", changed("multi_objective_aggregation")
    assert args.entropy_coef == 0.0 and args.use_adaptive_entropy is False, changed("TRL's entropy control")
    assert args.importance_sampling_level == "token" and args.epsilon == 0.2, changed("importance sampling")
    assert SFTConfig(str(tmp_path), use_cpu=True).label_smoothing_factor == 0, changed("label smoothing")


def test_sft_makes_its_loss_of_the_heads_log_probabilities(tmp_path: Path) -> None:
    assert is_dataclass(FusedCausalLMOutput), changed("the fused head's output")
    assert {"log_probs", "entropy", "label_mask"} <= set(FusedCausalLMOutput.__dataclass_fields__), changed(
        "its fields"
    )
    text = source(SFTTrainer.compute_loss)
    for words in ("outputs = model(**inputs, fused_lm_head=True)", "per_token_loss = -outputs.log_probs"):
        assert words in text, changed(f"SFT's loss: {words!r} is gone")
    run = sft_trainer(tmp_path)
    seen = []

    class Half:
        def __call__(self, **inputs: Any) -> Any:
            output = run.model(**inputs)
            seen.append(output)
            return type(output)(**{**output, "log_probs": output.log_probs * 0.5})

    batch = run.data_collator([run.train_dataset[0]])
    whole, half = (SFTTrainer.compute_loss(run, model, dict(batch)) for model in (run.model, Half()))
    assert half.item() == pytest.approx(whole.item() / 2) and len(seen) == 1, changed(
        "SFT's loss no longer follows log_probs"
    )
