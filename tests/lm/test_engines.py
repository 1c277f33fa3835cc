"""Engines: texts and entropies from transformers and vLLM, the same again, and without a trace."""

import random
import sys
import typing
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from trl_curriculum.lm.engines import Completion, Sampling, TokenEntropy
from trl_curriculum.lm.generate import read
from trl_curriculum.lm.load import ENGINES
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.lm.vllm_engine import TrainerVLLMEngine, VLLMEngine
from trl_curriculum.probes import PrefixEntropy


@pytest.fixture(scope="module")
def engine(tiny_path: str) -> TransformersEngine:
    return TransformersEngine.load(tiny_path)


def test_texts_of_the_same_seed(engine: TransformersEngine) -> None:
    prompts = [engine.encode(text) for text in ("question: a", "question: abc")]
    prompts.append(engine.encode([{"role": "user", "content": "a"}]))
    assert engine.tokenizer.decode(prompts[2]).replace(" ", "") == "<user:a><assistant:"
    sampling = Sampling(max_new_tokens=20)
    torch.manual_seed(5)
    before, numbers = torch.get_rng_state(), (np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    config = engine.model.generation_config
    engine.model.train()
    one, same, other = (engine.complete(prompts, sampling, [seed, 0, 0]) for seed in (1, 1, 2))
    assert one == same != other
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numbers[0], np.random.get_state()[1]) and numbers[1] == random.getstate()  # noqa: NPY002
    assert engine.model.generation_config is config and engine.model.training
    assert all(text.tokens <= 20 and (text.ended or text.tokens == 20) for text in one)
    greedy = Sampling(temperature=0, max_new_tokens=20)
    alone = [engine.complete([ids], greedy, [0])[0] for ids in prompts]
    assert alone == engine.complete(prompts, greedy, [0] * 3)  # padding changes nothing


def test_stops(engine: TransformersEngine) -> None:
    prompts = [engine.encode("question: a")] * 8
    free = engine.complete(prompts, Sampling(max_new_tokens=40), [3] * 8)
    stop = next(text.text.replace(" ", "")[4:5] for text in free)
    stopped = engine.complete(prompts, Sampling(max_new_tokens=40), [3] * 8, (stop,))
    assert all(stop not in text.text for text in stopped)
    assert stopped[0].ended and stopped[0].tokens <= 6
    assert free[0].text.startswith(stopped[0].text)


def test_vllm_is_asked_with_a_seed_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def generate(prompts: Any, sampling: Any, use_tqdm: bool) -> list[Any]:
        asked.extend(zip(prompts, sampling, strict=True))
        reasons = ("stop", "length")
        made = [SimpleNamespace(text="x", token_ids=[1, 2], finish_reason=reason) for reason in reasons]
        return [SimpleNamespace(outputs=[one]) for one in made]

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=lambda **options: options))
    config = SimpleNamespace(max_model_len=64, model="somewhere", revision=None)
    llm = SimpleNamespace(get_tokenizer=tiny.tokenizer, model_config=config, generate=generate)
    engine = VLLMEngine(llm)
    texts = engine.complete([[1], [2]], Sampling(0.5, 0.9, 7), [3, 4], ("\n\n",))
    assert texts == [Completion("x", 2, True), Completion("x", 2, False)]
    assert [one[0]["prompt_token_ids"] for one in asked] == [[1], [2]] and [one[1]["seed"] for one in asked] == [3, 4]
    assert asked[0][1] == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "stop": ["\n\n"], "seed": 3}
    assert engine.window == 64 and engine.identity() == VLLMEngine(llm).identity()


class TestEntropies:
    def test_come_with_the_same_texts(self, engine: TransformersEngine) -> None:
        prompts = [engine.encode(text) for text in ("question: a", "question: abc")]
        for sampling in (Sampling(0.0, max_new_tokens=12), Sampling(0.7, 0.9, 12)):
            plain = engine.complete(prompts, sampling, [3, 0])
            both = engine.complete(prompts, sampling, [3, 0], entropy=TokenEntropy())
            assert [one.text for one in both] == [one.text for one in plain]
            for one in both:
                assert one.entropies is not None and one.tokens <= len(one.entropies) <= 12
                assert (one.entropies > 0).all() and (one.entropies < np.log(tiny.SIZES["vocab_size"])).all()
            assert all(one.entropies is None for one in plain)

    def test_of_the_most_probable_tokens(self, engine: TransformersEngine) -> None:
        prompts, sampling = [engine.encode("question: a")], Sampling(0.0, max_new_tokens=8)
        low, exact, high = (
            engine.complete(prompts, sampling, [0], entropy=wanted)[0].entropies
            for wanted in (TokenEntropy(5, "lower"), TokenEntropy(), TokenEntropy(5, "upper"))
        )
        assert (low < exact).all() and (exact < high).all()

    def test_up_to_a_stop(self, engine: TransformersEngine) -> None:
        prompts, sampling = [engine.encode("question: a")] * 4, Sampling(max_new_tokens=30)
        free = engine.complete(prompts, sampling, [3] * 4)
        stop = free[0].text.replace(" ", "")[4]
        for one in engine.complete(prompts, sampling, [3] * 4, (stop,), TokenEntropy()):
            assert stop not in one.text and one.entropies is not None and len(one.entropies) == one.tokens


@pytest.mark.parametrize(
    ("ids", "stop", "text", "tokens", "ended"),
    [
        ([3, 4, 1, 0, 0], (), "ab", 3, True),
        ([3, 4, 5], (), "abc", 3, False),
        ([3, 4, 5, 1], ("b",), "a", 4, True),
        ([3, 4, 5, 6], ("d", "c"), "ab", 4, True),
        ([1, 0], (), "", 1, True),
    ],
)
def test_what_was_generated_is_read(ids: list[int], stop: Any, text: str, tokens: int, ended: bool) -> None:
    tokenizer = SimpleNamespace(decode=lambda ids, skip_special_tokens: "".join("abcd"[k - 3] for k in ids))
    assert read(tokenizer, ids, {1}, stop) == Completion(text, tokens, ended)


def test_a_trainers_vllm_gives_texts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of TRL's generation only ids come back: the text is read from them, and settings are set back."""
    asked: list[dict[str, Any]] = []
    names = ("max_completion_length", "logprobs", "temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    settings = dict.fromkeys((*names, "structured_outputs_regex", "generation_kwargs"), "of the rollouts")

    def generate(prompts: Any, images: Any, num_generations: int) -> Any:
        asked.append({name: getattr(generation, name) for name in settings})
        return prompts, [[5, 6, 1], [5, 6, 7]], [[[-0.5, -1.0]] * 3] * 2, None

    generation = SimpleNamespace(mode="server", max_model_length=64, generate=generate, **settings)
    trainer = SimpleNamespace(
        vllm_generation=generation,
        model=tiny.model(),
        processing_class=tiny.tokenizer(),
        state=SimpleNamespace(global_step=3),
        accelerator=SimpleNamespace(device=torch.device("cpu")),
        _last_loaded_step=3,
    )
    engine = TrainerVLLMEngine(trainer)
    texts = engine.complete([[3], [4]], Sampling(0.5, 0.9, 3), [7, 7], ("zz",))
    decoded = [tiny.tokenizer().decode(ids) for ids in ([5, 6], [5, 6, 7])]
    assert texts == [Completion(decoded[0], 3, True), Completion(decoded[1], 3, False)]
    assert asked[0]["generation_kwargs"] == {"seed": 7, "stop": ["zz"]} and asked[0]["max_completion_length"] == 3
    assert {name: getattr(generation, name) for name in settings} == settings
    (one, _) = engine.complete([[3], [4]], Sampling(0.0, max_new_tokens=3), [7, 7], entropy=TokenEntropy(2))
    p = np.exp([-0.5, -1.0]) / np.exp([-0.5, -1.0]).sum()
    assert one.entropies == pytest.approx([-(p * np.log(p)).sum()] * 3)
    assert asked[1]["generation_kwargs"] == {"seed": 7} and asked[1]["logprobs"] == 2
    before = engine.identity()
    with torch.no_grad():
        trainer.model.lm_head.weight += 1e-3
    assert engine.identity() != before


def test_weights_are_an_identity(engine: TransformersEngine) -> None:
    other = TransformersEngine(tiny.model(seed=1), tiny.tokenizer())
    assert engine.window == 128 and engine.identity() == engine.identity() != other.identity()


def test_messages_need_a_chat_template(engine: TransformersEngine) -> None:
    plain = tiny.tokenizer()
    plain.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        TransformersEngine(engine.model, plain).encode([{"role": "user", "content": "a"}])


def test_engines_by_name(tiny_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(ENGINES) == ["transformers", "vllm", "server"]
    assert typing.get_args(typing.get_type_hints(PrefixEntropy)["back_end"]) == ("auto", *ENGINES)
    assert PrefixEntropy(back_end="server", back_end_options={"url": "x", "retries": 2}).back_end_options is not None
    assert ENGINES["server"].missing({"retries": 1}) == ["url"] and ENGINES["vllm"].missing(None) == []
    assert isinstance(ENGINES["transformers"].load(tiny_path, dtype=torch.float32), TransformersEngine)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ImportError, match=r"engine vllm needs vLLM: run `pip install 'trl_curriculum\[vllm\]'`"):
        ENGINES["vllm"].load(tiny_path)
