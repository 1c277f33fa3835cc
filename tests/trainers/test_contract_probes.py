"""One test a hook of probes and of EDCO: what they rely on in TRL and transformers. A red one names what changed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from contracts import changed, parameters, source
from harness import sft_trainer, trainer
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, Trainer
from trl import GRPOTrainer
from trl.generation.vllm_client import parse_logprobs
from trl.generation.vllm_generation import VLLMGeneration, extract_logprobs
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import add_fused_lm_head, shuffle_sequence_dict, split_tensor_dict


def test_unwrap_model_for_generation(tmp_path: Path) -> None:
    found = parameters(unwrap_model_for_generation)
    wanted = {"gather_deepspeed3_params", "gradient_checkpointing_kwargs"}
    assert found[:2] == ["model", "accelerator"] and wanted < set(found), changed(
        f"unwrap_model_for_generation takes {found}"
    )
    for run in (trainer(tmp_path), sft_trainer(tmp_path)):
        with unwrap_model_for_generation(run.model_wrapped, run.accelerator, gather_deepspeed3_params=True) as model:
            assert hasattr(model, "generate"), changed("what unwrap_model_for_generation gives cannot generate")


def test_entropies_come_second_and_once_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = parameters(GRPOTrainer._get_per_token_logps_and_entropies)
    assert "compute_entropy" in names, changed("_get_per_token_logps_and_entropies has no compute_entropy any more")
    run = trainer(tmp_path, max_steps=1, steps_per_generation=2, gradient_accumulation_steps=2, num_iterations=2)
    calls: list[tuple[bool, Any]] = []
    losses: list[int] = []
    stock = GRPOTrainer._get_per_token_logps_and_entropies

    def look(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = stock(self, *args, **kwargs)
        calls.append((kwargs.get("compute_entropy", False), result))
        return result

    compute = GRPOTrainer.compute_loss

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = len(calls)
        loss = compute(self, *args, **kwargs)
        losses.append(len(calls) - before)
        return loss

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", look)
    monkeypatch.setattr(GRPOTrainer, "compute_loss", counted)
    run.train()
    assert losses == [1, 1], changed(f"a loss asks for log-probabilities {losses} times, not once")
    of_losses = [result for with_entropy, result in calls if with_entropy]
    assert len(of_losses) == 2, changed("entropies are asked for elsewhere than once in each loss")
    for result in of_losses:
        assert isinstance(result, tuple) and result[1].shape == result[0].shape, changed(
            "entropies are no longer the second of what _get_per_token_logps_and_entropies returns"
        )
        assert result[1].requires_grad and (result[1] >= 0).all(), changed("entropies have no gradient any more")
    for with_entropy, result in calls:
        assert with_entropy or result[1] is None, changed("entropies are computed where nobody asked for them")


def test_more_tensors_survive_shuffle_and_split() -> None:
    n = 12
    batch = {"completion_ids": torch.arange(n * 2).reshape(n, 2), "none": None, "curriculum_row": torch.arange(n)}
    batch["curriculum_draw"] = torch.arange(n) + 100
    mixed = shuffle_sequence_dict(batch)
    parts = split_tensor_dict(mixed, 3)
    assert len(parts) == 3, changed("split_tensor_dict")
    rows = torch.cat([part["curriculum_row"] for part in parts])
    assert rows.dtype == torch.long and sorted(rows.tolist()) == list(range(n)), changed(
        "rollouts or tensors of the generation batch are lost between generation and loss"
    )
    for part in parts:
        assert torch.equal(part["curriculum_draw"], part["curriculum_row"] + 100), changed(
            "tensors part in the shuffle"
        )
        assert torch.equal(part["completion_ids"][:, 0], part["curriculum_row"] * 2), changed(
            "the shuffle of rollouts"
        )
    text = source(GRPOTrainer._prepare_inputs)
    order = [text.find(f"{name}(") for name in ("_generate_and_score_completions", "shuffle_sequence_dict", "split_tensor_dict")]  # fmt: skip  # noqa: E501
    assert -1 not in order and order == sorted(order), changed("what happens to rollouts in _prepare_inputs")


def test_the_first_pass_over_a_window_are_its_first_micro_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "gradient_state._set_sync_gradients(do_sync_step)" in source(Trainer._run_epoch), changed(
        "who says when gradients are synchronized"
    )
    text = source(GRPOTrainer._prepare_inputs)
    for words in (
        "generate_every = self.args.steps_per_generation * self.num_iterations",
        "self._buffered_inputs[self._step % self.args.steps_per_generation]",
    ):
        assert words in text, changed(f"{words!r} is gone from _prepare_inputs")
    options = {"steps_per_generation": 4, "gradient_accumulation_steps": 2, "num_iterations": 2}
    run = trainer(tmp_path, max_steps=5, **options)
    seen: list[tuple[int, bool, bytes]] = []
    compute = GRPOTrainer.compute_loss

    def look(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((self._step, self.accelerator.sync_gradients, inputs["completion_ids"].numpy().tobytes()))
        return compute(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "compute_loss", look)
    run.train()
    assert [step for step, _, _ in seen] == list(range(10)), changed("_step no longer counts micro-steps from 0")
    batches = [batch for _, _, batch in seen]
    assert batches[:4] == batches[4:8] and len(set(batches[:4])) == 4, changed("which rollouts a micro-step trains on")
    assert not set(batches[8:]) & set(batches[:4]), changed("when rollouts are generated anew")
    assert [sync for _, sync, _ in seen] == [False, True] * 5, changed(
        "accelerator.sync_gradients is not true exactly in the last micro-step of an optimizer step"
    )


class Look(LogitsProcessor):
    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.seen.append(scores.clone())
        return scores


def test_custom_logits_processors_see_the_models_own_distribution(tiny_path: str) -> None:
    import tiny

    made = tiny.model().eval()
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        logits = made(input_ids=ids).logits[0, -1].float().log_softmax(-1)
    sampling = {"do_sample": True, "temperature": 0.3, "top_p": 0.4, "top_k": 3}
    config = GenerationConfig(max_new_tokens=1, pad_token_id=0, eos_token_id=1, **sampling)
    seen = Look()
    made.generation_config = config
    made.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        generation_config=config,
        logits_processor=LogitsProcessorList([seen]),
    )
    assert len(seen.seen) == 1 and torch.allclose(seen.seen[0][0].log_softmax(-1), logits, atol=1e-5), changed(
        "generate applies temperature or top_p before the caller's logits processors, so entropies would be of those"
    )


def test_log_probabilities_of_vllm_come_sorted() -> None:
    parsed, ids = parse_logprobs(
        [
            {
                "tokens": ["token_id:9", "token_id:4"],
                "token_logprobs": [-5.0, -0.5],
                "top_logprobs": [{"token_id:2": -2.0, "token_id:1": -1.0}, {"token_id:4": -0.5, "token_id:3": -1.5}],
            }
        ]
    )
    assert parsed == [[[-1.0, -2.0, -5.0], [-0.5, -1.5]]] and ids == [[[1, 2, 9], [4, 3]]], changed(
        "parse_logprobs no longer sorts, or no longer adds the sampled token"
    )
    assert parse_logprobs([None]) == (None, None), changed("parse_logprobs without log-probabilities")
    nan = {"tokens": ["token_id:1"], "token_logprobs": [float("nan")], "top_logprobs": [None]}
    assert parse_logprobs([nan])[0] == [[[None]]], changed("parse_logprobs on NaN")

    def one(value: float, rank: int) -> Any:
        return SimpleNamespace(logprob=value, rank=rank)

    answer = SimpleNamespace(logprobs=[{7: one(-3.0, 30), 5: one(-1.0, 1), 6: one(float("nan"), 2)}])
    values, ids = extract_logprobs([SimpleNamespace(outputs=[answer])])
    assert values == [[[-1.0, None, -3.0]]] and ids == [[[5, 6, 7]]], changed(
        "extract_logprobs no longer sorts by rank"
    )


def test_settings_of_vllm_are_read_when_it_generates() -> None:
    text = source(VLLMGeneration.generate)
    names = ("max_completion_length", "logprobs", "temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    for name in (*names, "structured_outputs_regex", "generation_kwargs"):
        assert f"self.{name}" in text or f"self.{name}" in source(VLLMGeneration), changed(f"{name} of VLLMGeneration")
    assert parameters(VLLMGeneration.generate)[:4] == ["self", "prompts", "images", "num_generations"], changed(
        f"VLLMGeneration.generate takes {parameters(VLLMGeneration.generate)}"
    )
    assert parameters(VLLMGeneration.sync_weights) == ["self"], changed("VLLMGeneration.sync_weights")


def test_a_fused_head_can_be_made_at_another_temperature(tmp_path: Path) -> None:
    assert {"temperature", "cast_lm_head_to_fp32", "outputs"} < set(parameters(add_fused_lm_head)), changed(
        f"add_fused_lm_head takes {parameters(add_fused_lm_head)}"
    )
    run = trainer(tmp_path, temperature=0.5)
    assert run.temperature == 0.5, changed("the name of the rollouts' temperature in GRPOTrainer")
    ids = torch.tensor([[3, 9, 5, 30]])
    with torch.no_grad():
        own = run.model(input_ids=ids).logits[0, :-1].float()
        forward = run.model.forward
        add_fused_lm_head(run.model, outputs=("log_probs", "entropy"))
        head = run.model(input_ids=ids, labels=ids, fused_lm_head=True)
        run.model.forward = forward
        scaled = run.model(input_ids=ids, labels=ids, fused_lm_head=True)
    at = torch.arange(3), ids[0, 1:]
    assert torch.allclose(head.log_probs[0], own.log_softmax(-1)[at], atol=1e-5), changed("add_fused_lm_head")
    assert torch.allclose(scaled.log_probs[0], (own / 0.5).log_softmax(-1)[at], atol=1e-5), changed(
        "GRPO's fused head no longer divides by the rollouts' temperature"
    )


def test_a_fused_head_scores_labels_that_are_shifted_already_at_every_position(tmp_path: Path) -> None:
    for run in (trainer(tmp_path), sft_trainer(tmp_path)):
        ids = torch.tensor([[3, 9, 5, 30], [4, 7, 0, 0]])
        labels = torch.tensor([[1, 1, 1, 1], [1, 1, -100, -100]])  # any: entropies do not depend on them
        with torch.no_grad():
            log_p = run.model(input_ids=ids, attention_mask=(labels > 0).long()).logits.float().log_softmax(-1)
            head = run.model(
                input_ids=ids,
                attention_mask=(labels > 0).long(),
                shift_labels=labels,
                fused_lm_head=True,
                use_cache=False,
            )
        assert head.entropy.shape == (2, 4), changed("shift_labels are shifted once more")
        own = -(log_p.exp() * log_p).sum(-1).where(labels > 0, 0)
        assert torch.allclose(head.entropy, own, atol=1e-4), changed("entropies of a fused head with shift_labels")


def test_an_optimizers_state_can_be_cleared_where_the_trainer_holds_it(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=1)
    run.train()
    inner = getattr(run.optimizer, "optimizer", run.optimizer)
    assert len(inner.state) > 0 and len(run.optimizer.state) == len(inner.state), changed(
        "the prepared optimizer's state"
    )
    run.optimizer.state.clear()
    assert len(inner.state) == 0, changed(
        "clearing the prepared optimizer's state no longer clears that of the inner one"
    )
