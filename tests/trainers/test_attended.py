"""Attention entropy on a tiny model, end to end, and what it relies on in transformers."""

import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from contracts import changed
from harness import trainer, weights
from peft import LoraConfig, get_peft_model
from test_shaped_runs import TWO_STEPS, Gradient, count_passes, gradient_of, logged, odd
from transformers import GPT2Config, GPT2LMHeadModel

from trl_curriculum.shaping import AttentionEntropy
from trl_curriculum.trainers.attended import attention_layers


def entropies(model: Any, ids: torch.Tensor, mask: torch.Tensor, n: int) -> torch.Tensor:
    """Of the attention from which each of the last `n` tokens is predicted, token by token."""
    with torch.no_grad():
        attention = model(input_ids=ids, attention_mask=mask, output_attentions=True).attentions[1].mean(1)
    made = torch.zeros(len(ids), n)
    for row in range(len(ids)):
        for k in range(n):
            query = ids.shape[1] - n + k - 1
            kept = attention[row, query, : query + 1][mask[row, : query + 1] > 0]
            positive = kept[kept > 0]
            made[row, k] = -(positive * positive.log()).sum() / math.log(len(kept))
    return made


def test_the_gradient_is_that_of_weighed_tokens(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "gradient_accumulation_steps": 3,
        "max_steps": 1,
        "per_device_train_batch_size": 8,
        "max_grad_norm": 0.0,
    }
    run = trainer(tmp_path / "ours", model=tiny.eager_model(), shaping=[AttentionEntropy(start=-3.0)], **options)
    model, gradient = tiny.eager_model(), Gradient(run)
    run.train()
    total, spread = torch.tensor(0.0), []
    for batch in run._buffered_inputs:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        tokens, trained = batch["completion_ids"], batch["completion_mask"].bool()
        h = entropies(model, ids, mask, tokens.shape[1])
        logits = model(input_ids=ids, attention_mask=mask).logits[:, -tokens.shape[1] - 1 : -1]
        logp = logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]
        for row in range(len(ids)):
            raw = (-3.0 * h[row][trained[row]]).exp()
            weight = raw / raw.mean()
            spread.append(weight.std(correction=0).item())
            each = -weight * batch["advantages"][row] * (logp[row] - logp[row].detach()).exp()[trained[row]]
            total = total + each.sum() / (batch["num_items_in_batch"] / 3) / 3
    assert max(spread) > 0.1, "all weights are near 1"
    torch.testing.assert_close(gradient.value, gradient_of(total, model), atol=1e-6, rtol=1e-4)
    plain = trainer(tmp_path / "plain", model=tiny.eager_model(), **options)
    unshaped = Gradient(plain)
    plain.train()
    assert (gradient.value - unshaped.value).norm() > 0.02 * unshaped.value.norm()


def test_with_equal_weights_a_run_is_that_without(tmp_path: Path) -> None:
    runs = []
    for name, shaping in (("ours", [AttentionEntropy(start=0.0, end=0.0)]), ("stock", None)):
        runs.append(trainer(tmp_path / name, model=tiny.eager_model(), shaping=shaping, max_steps=3, **TWO_STEPS))
        runs[-1].train()
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert runs[0].history().equals(runs[1].history())
    assert logged(runs[0], "loss") == logged(runs[1], "loss")


def test_it_makes_no_forward_more_and_works_in_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = count_passes(monkeypatch)
    adapter = LoraConfig(r=4, target_modules="all-linear")
    options = {"reward_funcs": odd, "max_steps": 2, "peft_config": adapter}
    run = trainer(tmp_path, model=tiny.eager_model(), shaping=["attention_entropy"], **options)
    run.train()
    assert passes == [True, True]
    assert all(0 < value < 1 for value in logged(run, "shaping/attention_entropy/entropy"))
    assert all(0 < value < 0.5 for value in logged(run, "shaping/attention_entropy/spread"))
    assert any(logged(run, "shaping/attention_entropy/changed"))


def test_a_resume_in_the_middle_of_a_window_is_exact(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "reward_funcs": odd,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "num_iterations": 2,
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    runs = []
    for name, resume in (("whole", None), ("resumed", str(tmp_path / "whole" / "checkpoint-1"))):
        runs.append(trainer(tmp_path / name, model=tiny.eager_model(), shaping=["attention_entropy"], **options))
        runs[-1].train(resume_from_checkpoint=resume)
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert any(logged(runs[0], "shaping/attention_entropy/changed"))


def test_a_model_without_eager_attention_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    shaping = ["attention_entropy"]
    with pytest.raises(
        ValueError, match="which attn_implementation='sdpa' does not give: set attn_implementation: ea"
    ):
        trainer(tmp_path, shaping=shaping)
    with pytest.raises(ValueError, match="which the default attn_implementation does not give"):
        trainer(tmp_path, model="no/such", shaping=shaping)
    with pytest.raises(ValueError, match="which attn_implementation='flash_attention_2' does not give"):
        kwargs = {"attn_implementation": "flash_attention_2"}
        trainer(tmp_path, model="no/such", shaping=shaping, model_init_kwargs=kwargs)


def test_transformers_names_the_layers_with_attention() -> None:
    model = tiny.eager_model()
    for made in (model, get_peft_model(tiny.eager_model(), LoraConfig(r=2, target_modules="all-linear"))):
        found = attention_layers(made)
        assert [(type(one).__name__, index) for one, index in found] == [("LlamaAttention", 1)] * 2, changed(
            "can_record_outputs"
        )
        assert [one.layer_idx for one, _ in found] == [0, 1], changed("the order of the layers")
    sizes = {"n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 9, "n_positions": 8}
    crossed = GPT2LMHeadModel(GPT2Config(**sizes, add_cross_attention=True))
    assert [one.is_cross_attention for one, _ in attention_layers(crossed)] == [False, False], changed(
        "can_record_outputs of a model with cross-attention"
    )
    outputs: list[Any] = []
    model.model.layers[0].self_attn.register_forward_hook(lambda module, args, output: outputs.append(output))
    model(input_ids=torch.ones(3, 5, dtype=torch.long))
    shown = outputs[0][1]
    assert shown.shape == (3, 2, 5, 5), changed("what eager attention returns")
    torch.testing.assert_close(shown.sum(-1), torch.ones(3, 2, 5), msg=changed("the weights of eager attention"))
