"""The head of a model on a CPU reads contiguous hidden states, and computes what it would from a slice."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from harness import trainer
from peft import LoraConfig, get_peft_model

from trl_curriculum.lm.cpu import contiguous_head
from trl_curriculum.scripts.train import train_and_save


def reads_contiguous(model: torch.nn.Module) -> tuple[bool, torch.Tensor]:
    """Whether the head's input is contiguous where the logits of the last tokens are asked for, and these logits."""
    seen: list[bool] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda *args: seen.append(args[1][0].is_contiguous()))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]]), logits_to_keep=2).logits
    hook.remove()
    return seen == [True], logits


@pytest.mark.parametrize("lora", [False, True])
def test_same_logits_from_a_contiguous_input(lora: bool) -> None:
    model: Any = tiny.model()
    if lora:
        model = get_peft_model(model, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    before, logits = reads_contiguous(model)
    contiguous_head(model)
    after, same = reads_contiguous(model)
    assert (before, after) == (False, True)
    torch.testing.assert_close(same, logits)


def test_a_recipe_on_a_cpu_trains_so(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=1)
    assert not reads_contiguous(run.model)[0]
    train_and_save(run, run.args, None)
    assert reads_contiguous(run.model)[0]
