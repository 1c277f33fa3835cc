"""Prompt entropies: those of a plain forward at every token, in every trainer, without a trace."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import plain_forward, sft_trainer, trainer
from peft import LoraConfig

from trl_curriculum.lm.losses import fused_head
from trl_curriculum.probes import PromptEntropy
from trl_curriculum.probes.prompt_entropy import prompt_entropy


TEXTS = ["1:abc#", "22:fedc#", "k", "some longer question: what comes after abcdef?", "1:abc#"]


def ids(texts: Any = TEXTS) -> list[list[int]]:
    return [list(one) for one in tiny.tokenizer()(list(texts))["input_ids"]]


def plain(model: Any, prompt: list[int]) -> list[float]:
    """Entropies at each token of a prompt, by a forward of it alone, with any token behind it."""
    return plain_forward(model, [*prompt, 5], [True] * (len(prompt) + 1))[1].tolist()


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_are_those_of_a_plain_forward_in_any_batch(batch_tokens: int) -> None:
    model = tiny.model()
    found = prompt_entropy(ids(), model, PromptEntropy(batch_tokens=1), batch_tokens=batch_tokens, disable_tqdm=True)
    expected = [np.mean(plain(model, prompt)) for prompt in ids()]
    assert found.value == pytest.approx(expected, abs=1e-5)
    assert found.tokens.tolist() == [6, 8, 1, 46, 0], "equal prompts are read once"
    assert "forward" not in vars(model), "the model is what it was"


def test_a_share_of_the_tokens_and_bits() -> None:
    model = tiny.model()
    spec = PromptEntropy(token_share=0.5, unit="bits")
    found = prompt_entropy(ids(TEXTS[:2]), model, spec, disable_tqdm=True)
    largest = [np.sort(plain(model, prompt))[-len(prompt) // 2 :].mean() for prompt in ids(TEXTS[:2])]
    assert found.value == pytest.approx(np.array(largest) / math.log(2), abs=1e-5)


def test_uniform_logits_have_the_entropy_of_the_vocabulary() -> None:
    model = tiny.model()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    found = prompt_entropy(ids(), model, PromptEntropy(), disable_tqdm=True)
    assert found.value == pytest.approx(np.full(5, math.log(tiny.SIZES["vocab_size"])))


def test_what_has_no_entropy_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    prompts = [[], ids()[0], [7] * 129]
    found = prompt_entropy(prompts, tiny.model(), PromptEntropy(), disable_tqdm=True)
    assert np.isnan(found.value).tolist() == [True, False, True] and found.missing == {"empty": 1, "too long": 1}
    assert (
        "2 of 3 prompts have no prompt entropy (1 empty, 1 too long; a prompt must fit into 128 tokens)" in caplog.text
    )
    with pytest.raises(FloatingPointError, match="None of 1 prompts has a prompt entropy"):
        prompt_entropy([[]], tiny.model(), PromptEntropy(), disable_tqdm=True)


class TestInATrainer:
    def check(self, run: Any, prompts: list[list[int]]) -> None:
        forward, training = run.model.forward, run.model.training
        rows = np.arange(len(prompts))
        value, scores = run.probe.measure("prompt_entropy", rows)
        model = run.model
        assert value == pytest.approx([np.mean(plain(model, prompt)) for prompt in prompts], abs=1e-5)
        assert run.probe.tokens == sum(map(len, prompts)) == scores.tokens.sum()
        assert run.model.forward == forward and run.model.training == training
        assert all(parameter.grad is None for parameter in run.model.parameters())

    def test_grpo_at_the_models_own_temperature(self, tmp_path: Path) -> None:
        run = trainer(tmp_path, curriculum={"hive": {"candidates": 8}}, arms=None, temperature=0.3)
        self.check(run, ids(tiny.dataset()["prompt"]))

    def test_with_an_adapter(self, tmp_path: Path) -> None:
        lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        run = trainer(tmp_path, curriculum="hive", arms=None, peft_config=lora)
        self.check(run, ids(tiny.dataset()["prompt"]))

    def test_a_run_reads_its_candidates_before_each_draw(self, tmp_path: Path) -> None:
        run = trainer(tmp_path, curriculum={"hive": {"candidates": 6}}, arms=None, max_steps=3)
        asked: list[tuple[int, list[int]]] = []
        measure = run.conductor.measure
        assert measure is not None

        def look(kind: str, rows: Any) -> Any:
            assert kind == "prompt_entropy"
            asked.append((run.state.global_step, rows.tolist()))
            return measure(kind, rows)

        run.conductor.measure = look
        run.train()
        assert [step for step, _ in asked] == [0, 1, 2] and all(len(rows) == 6 for _, rows in asked)
        drawn = run.history()["row"].tolist()
        assert len(drawn) == 3 and all(row in rows for row, (_, rows) in zip(drawn, asked, strict=True))
        read = sum(len(ids([tiny.dataset()["prompt"][row]])[0]) for _, rows in asked for row in rows)
        logged = [entry.get("curriculum/probe_tokens", 0) for entry in run.state.log_history]
        assert max(logged) == read

    def test_sft_reads_the_prompts_alone(self, tmp_path: Path) -> None:
        run = sft_trainer(tmp_path)
        run.probe.spec = PromptEntropy()
        self.check(run, ids(tiny.sft_dataset()["prompt"]))


def test_a_head_is_put_back_after_an_error() -> None:
    model = tiny.model()
    with pytest.raises(KeyError), fused_head(model):
        assert "forward" in vars(model)
        raise KeyError
    assert "forward" not in vars(model)
