"""Candidates that SmolLM2 writes through a real vLLM engine, which all tests here share."""

import ast
import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM
from vllm_runs import save_model

from trl_curriculum.data.smollm2 import smollm2
from trl_curriculum.generators import (
    Agreement,
    Candidate,
    LanguageModelGenerator,
    OpenQuestion,
    Sampling,
)
from trl_curriculum.lm.engines import Completion
from trl_curriculum.lm.vllm_engine import VLLMEngine
from trl_curriculum.rewards.answers import same_answer


CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Egypt": "Cairo", "Norway": "Oslo", "Peru": "Lima"}
EXAMPLES = [Candidate(f"What is the capital of {land}?", city) for land, city in CAPITALS.items()]
SAMPLING = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=24)


@pytest.fixture(scope="module")
def engine() -> VLLMEngine:
    try:
        folder = smollm2()
    except ImportError as error:
        pytest.skip(str(error))
    return VLLMEngine.load(
        folder, dtype="float32", max_model_len=256, max_num_seqs=16, enforce_eager=True, gpu_memory_utilization=0.3
    )


class Watched(VLLMEngine):
    """The same engine, which is asked so many times and not once more."""

    def __init__(self, engine: VLLMEngine, most: int | None = None) -> None:
        super().__init__(engine.llm)
        self.calls, self.most = 0, most

    def complete(self, *args: Any, **kwargs: Any) -> list[Completion]:
        if self.calls == self.most:
            raise KeyboardInterrupt
        self.calls += 1
        return super().complete(*args, **kwargs)


def generator(engine: VLLMEngine, agreement: Agreement | None = None) -> LanguageModelGenerator:
    return LanguageModelGenerator(
        engine, OpenQuestion(), EXAMPLES, 4, SAMPLING, agreement, batch_size=8, attempts=32, source="smollm2"
    )


def test_the_same_seed_writes_the_same(engine: VLLMEngine) -> None:
    batch = generator(engine).generate(8, disable_tqdm=True)
    assert batch.accepted and {one.source for one in batch.accepted} == {"smollm2"}
    for one in batch.accepted:
        assert one.answer and "\n" not in one.response and one.question not in {known.question for known in EXAMPLES}
    again = generator(engine).generate(8, disable_tqdm=True)
    assert (again.accepted, again.rejected, again.tokens) == (batch.accepted, batch.rejected, batch.tokens)
    assert generator(engine).generate(8, seed=1, disable_tqdm=True).accepted != batch.accepted


def test_each_text_is_its_own_seeds(engine: VLLMEngine) -> None:
    prompts = [engine.encode(OpenQuestion().build(EXAMPLES[k : k + 3])) for k in range(4)]
    together = engine.complete(prompts, SAMPLING, [1, 2, 3, 4])
    assert together[::-1] == engine.complete(prompts[::-1], SAMPLING, [4, 3, 2, 1])
    alone = [engine.complete([prompts[0]], SAMPLING, [seed])[0].text for seed in (1, 2, 2)]
    assert alone[0] == together[0].text and alone[0] != alone[1] == alone[2]


def test_stops(engine: VLLMEngine) -> None:
    prompts = [engine.encode(OpenQuestion().build(EXAMPLES[:4]))] * 8
    free = engine.complete(prompts, SAMPLING, range(8))
    stopped = engine.complete(prompts, SAMPLING, range(8), ("\n\n",))
    assert any("\n\n" in one.text for one in free)
    for one, whole in zip(stopped, free, strict=True):
        assert "\n\n" not in one.text and one.tokens <= whole.tokens <= SAMPLING.max_new_tokens
        assert one.text == whole.text.split("\n\n")[0]
        assert one.ended == ("\n\n" in whole.text or whole.ended)
    assert {one.ended for one in engine.complete(prompts, Sampling(max_new_tokens=2), range(8), ("\n\n",))} == {False}
    chat = engine.encode([{"role": "user", "content": "Say yes."}])
    assert "Say yes." in engine.tokenizer.decode(chat) and len(chat) < 60
    ends = engine.complete([chat] * 4, Sampling(0.0, max_new_tokens=64), [0] * 4)
    assert all(one == ends[0] for one in ends) and "<|im_end|>" not in ends[0].text


def test_answers_agree(engine: VLLMEngine, tmp_path: Path) -> None:
    agreement = Agreement(answers=3, share=0.6, sampling=Sampling(0.5, max_new_tokens=12))
    batch = generator(engine, agreement).generate(6, folder=tmp_path, disable_tqdm=True)
    refused = [one for one in batch.rejected if one.stage == "agreement"]
    assert batch.accepted and refused
    (file,) = tmp_path.iterdir()
    kept = {name: record["texts"] for name, record in map(json.loads, file.read_text().splitlines())}
    assert batch.tokens == sum(text["tokens"] for texts in kept.values() for text in texts)
    answers = [text["text"] for name, texts in kept.items() if name.startswith("answers") for text in texts]
    groups = [answers[k : k + 3] for k in range(0, len(answers), 3)]
    assert len(groups) == len(batch.accepted) + len(refused) + batch.counts().get("surplus: more than asked for", 0)
    for one in batch.accepted:
        assert any(sum(same_answer(str(one.answer), other) for other in group) >= 2 for group in groups), one
    for rejected in refused:
        row = OpenQuestion().parse(rejected.text)
        others = [other for other in ast.literal_eval(rejected.detail.removeprefix("other answers: ")) if other]
        assert isinstance(row, Candidate) and sum(same_answer(str(row.answer), other) for other in others) < 2, (
            rejected
        )


def test_after_a_kill_the_engine_is_asked_for_the_rest_only(engine: VLLMEngine, tmp_path: Path) -> None:
    whole = Watched(engine)
    batch = generator(whole).generate(12, disable_tqdm=True)
    assert whole.calls >= 2
    with pytest.raises(KeyboardInterrupt):
        generator(Watched(engine, most=1)).generate(12, folder=tmp_path, disable_tqdm=True)
    rest = Watched(engine)
    resumed = generator(rest).generate(12, folder=tmp_path, disable_tqdm=True)
    assert rest.calls == whole.calls - 1
    assert (resumed.accepted, resumed.rejected) == (batch.accepted, batch.rejected)
    nothing = Watched(engine, most=0)
    assert generator(nothing).generate(12, folder=tmp_path, disable_tqdm=True).accepted == batch.accepted


def test_other_weights_are_another_identity(engine: VLLMEngine, tmp_path: Path) -> None:
    def of(folder: str) -> str:
        config = copy.copy(engine.llm.model_config)  # the engine's own, of another model
        config.model = folder
        return VLLMEngine(SimpleNamespace(get_tokenizer=tiny.tokenizer, model_config=config)).identity()

    assert engine.identity() == of(str(smollm2()))
    saved = [save_model(tmp_path / str(tied), tied) for tied in (False, True)]
    assert len({engine.identity(), *map(of, saved)}) == 3
    before = of(saved[0])
    assert before == of(saved[0])
    model = AutoModelForCausalLM.from_pretrained(saved[0])
    with torch.no_grad():
        model.lm_head.weight *= 2
    model.save_pretrained(saved[0])  # trained further and saved to the same folder
    assert before != of(saved[0])
