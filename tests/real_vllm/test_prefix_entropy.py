"""Prefix entropies through a real vLLM: in a trainer, in an engine of one's own and in a server on loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import sft_trainer, weights
from transformers import AutoModelForCausalLM, AutoTokenizer
from vllm_runs import differences, on_cpu, peaked_model

from trl_curriculum.lm.engines import Sampling
from trl_curriculum.lm.server_engine import ServerEngine
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.lm.vllm_engine import TrainerVLLMEngine, VLLMEngine
from trl_curriculum.probes.prefix_entropy import PrefixEntropy, prefix_entropy


Make = Callable[..., Any]
EDCO: dict[str, Any] = {"edco": {"rounds": 3, "top_n": 12}}
PREFIX: dict[str, Any] = {"length": 6, "quick_answer": None, "unit": "nats"}
ROUNDS = {"curriculum": EDCO, "probe": {"prefix_entropy": PREFIX}}  # instead of the default of `options`
PROMPTS = ["1:abc#", "22:fedc#", "k", "some longer question: what comes after abcdef?", "1:abc#"]


def ids() -> list[list[int]]:
    return [list(one) for one in tiny.tokenizer()(PROMPTS)["input_ids"]]


def entropies(engine: Any, prompts: list[list[int]], spec: PrefixEntropy) -> list[np.ndarray]:
    made = engine.complete(prompts, spec.sampling, [spec.seed] * len(prompts), entropy=spec.token_entropy)
    return [one.entropies for one in made]


def tokens(run: Any, rows: Any) -> list[list[int]]:
    return run.probe._tokenize(rows, run.probe.spec)


def of_transformers(model: Any, spec: PrefixEntropy) -> np.ndarray:
    return prefix_entropy(ids(), TransformersEngine(model, tiny.tokenizer()), spec, disable_tqdm=True).value


@pytest.fixture(scope="module")
def peaked(tmp_path_factory: pytest.TempPathFactory) -> str:
    return peaked_model(tmp_path_factory.mktemp("peaked"))


class TestInATrainer:
    @pytest.mark.parametrize("model", ["untied", "tied"])
    def test_the_first_token_lies_between_the_bounds(self, colocated: Make, model: str) -> None:
        run = colocated(model, **ROUNDS, max_steps=3)
        run.train()  # so that vLLM needs other weights than it was started with
        exact = of_transformers(run.model, PrefixEntropy(length=1, unit="nats"))
        found = {
            missing: prefix_entropy(
                ids(), run.probe.engine, PrefixEntropy(length=1, unit="nats", logprobs=10, missing=missing)
            ).value
            for missing in ("lower", "renormalize", "upper")
        }
        rounding = 0.02  # vLLM computes in bfloat16 here
        assert (found["lower"] - rounding <= exact).all() and (exact <= found["upper"] + rounding).all()
        assert (found["renormalize"] < exact).all() and (found["upper"] - found["lower"] > 0.05).all()

    def test_rounds_follow_the_weights(self, colocated: Make) -> None:
        run = colocated(**ROUNDS, max_steps=6)
        told = []
        observe = run.curriculum.observe_probe

        def look(row: Any, value: Any, measured: Any) -> None:
            prompts = tokens(run, row)
            plain = entropies(TransformersEngine.of(run), prompts, PrefixEntropy(length=1))
            own = entropies(run.probe.engine, prompts, PrefixEntropy(length=1, missing="upper"))
            told.append((np.concatenate(own), np.concatenate(plain)))
            observe(row, value, measured)

        run.curriculum.observe_probe = look
        run.train()
        assert len(told) == 3
        for own, plain in told:
            np.testing.assert_allclose(own, plain, atol=0.05)
        assert np.abs(told[0][1] - told[2][1]).mean() > 0.1, "the weights did not change enough to tell"
        assert max(differences(run)) < 0.005

    def test_changes_nothing_of_the_rollouts(self, colocated: Make) -> None:
        ended = []
        for probes in (False, True):
            run = colocated(max_steps=4, overwrite_output_dir=probes)
            if probes:
                self.probe_before_every_draw(run)
            before = dict(vars(run.vllm_generation))
            run.train()
            after = dict(vars(run.vllm_generation))
            assert {k: v for k, v in after.items() if before[k] is not v and before[k] != v} == {}
            assert max(differences(run)) < 0.005
            ended.append((run.history()["row"].tolist(), weights(run)))
        assert ended[0][0][: len(ended[0][0]) // 4] == ended[1][0][: len(ended[1][0]) // 4]
        if on_cpu():  # vLLM samples from torch's own generator there
            assert ended[0][0] == ended[1][0] and torch.equal(ended[0][1], ended[1][1])

    @staticmethod
    def probe_before_every_draw(run: Any) -> None:
        draw, engine = run.conductor.draw, TrainerVLLMEngine(run)

        def probed(n: int) -> Any:
            for spec in (PrefixEntropy(length=5), PrefixEntropy(length=5, temperature=1.0, samples=2)):
                assert np.isfinite(prefix_entropy(ids(), engine, spec, disable_tqdm=True).value).all()
            return draw(n)

        run.conductor.draw = probed

    def test_samples_are_the_same_again(self, colocated: Make) -> None:
        run = colocated(**ROUNDS)
        spec = PrefixEntropy(length=8, temperature=1.0, samples=2)
        first, second = (prefix_entropy(ids(), run.probe.engine, spec).value for _ in range(2))
        np.testing.assert_allclose(first, second, atol=0.02)
        other = prefix_entropy(ids(), run.probe.engine, PrefixEntropy(length=8, temperature=1.0, seed=5)).value
        assert np.abs(first - other).max() > 1e-6

    def test_says_what_it_cannot_do(self, colocated: Make) -> None:
        engine = colocated(**ROUNDS).probe.engine
        with pytest.raises(ValueError, match=r"logprobs=30: TRL starts the colocated vLLM with at most 20"):
            entropies(engine, ids(), PrefixEntropy(logprobs=30))
        with pytest.raises(ValueError, match=r"temperature=0.7 and top_p=0.7: vLLM runs with logprobs_mode 'proc"):
            entropies(engine, ids(), PrefixEntropy(temperature=0.7, top_p=0.7))
        assert engine.window == 64
        long = prefix_entropy([[5] * 60, [5] * 61, []], engine, PrefixEntropy(length=4))
        assert np.isfinite(long.value).tolist() == [True, False, False] and long.missing == {"too long": 1, "empty": 1}

    def test_resume(self, colocated: Make, tmp_path: Path) -> None:
        changes = ROUNDS | {"max_steps": 6, "save_strategy": "steps", "save_steps": 1}
        whole = colocated(**changes)
        whole.train()
        rows = whole.history()["row"].tolist()
        for step in (2, 3):  # between and inside rounds
            after = colocated(**changes)
            after.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
            assert after.history()["row"].tolist()[: step + 1] == rows[: step + 1]
            if on_cpu():
                assert after.history()["row"].tolist() == rows and weights(after).equal(weights(whole))

    def test_an_engine_for_sft(self, colocated: Make, saved: dict[str, str], tmp_path: Path) -> None:
        run = sft_trainer(
            tmp_path,
            model=saved["untied"],
            curriculum=EDCO,
            probe={"prefix_entropy": PREFIX | {"back_end": "vllm", "back_end_options": {"max_model_length": 64}}},
            max_steps=6,
            use_cpu=on_cpu(),
        )
        run.train()
        assert run.history()["row"].nunique() <= 36 and run.curriculum.round == 3
        exact = of_transformers(run.model, PrefixEntropy(length=1, unit="nats"))
        found = prefix_entropy(ids(), run.probe.engine, PrefixEntropy(length=1, unit="nats", missing="upper")).value
        np.testing.assert_allclose(found, exact, atol=0.05)


class TestInAnEngine:
    def test_the_same_as_transformers(self, peaked: str) -> None:
        from vllm import LLM

        engine = VLLMEngine(
            LLM(peaked, dtype="float32", max_model_len=96, enforce_eager=True, gpu_memory_utilization=0.3)
        )
        model = AutoModelForCausalLM.from_pretrained(peaked, dtype=torch.float32)
        for spec in (PrefixEntropy(length=12, logprobs=5), PrefixEntropy(length=12, logprobs=20, token_share=1.0)):
            np.testing.assert_allclose(
                prefix_entropy(ids(), engine, spec).value, of_transformers(model, spec), atol=2e-3
            )
        exact = of_transformers(model, PrefixEntropy(length=12))
        low, high = (
            prefix_entropy(ids(), engine, PrefixEntropy(length=12, logprobs=5, missing=missing)).value
            for missing in ("lower", "upper")
        )
        assert (low - 2e-3 <= exact).all() and (exact <= high + 2e-3).all() and (high > low).all()
        # The engine returns the model's own distribution (raw_logprobs), so sampling may be EDCO's.
        sampled = PrefixEntropy(length=12, temperature=0.7, top_p=0.7)
        assert np.isfinite(prefix_entropy(ids(), engine, sampled).value).all()
        with pytest.raises(ValueError, match="logprobs=25, but the engine returns at most 20"):
            entropies(engine, ids(), PrefixEntropy(logprobs=25))


@pytest.fixture(scope="module")
def server(peaked: str) -> Iterator[tuple[str, subprocess.Popen]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", peaked, "--port", str(port)]
    options = ["--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-model-len", "96"]
    options += ["--logprobs-mode", "processed_logprobs"]
    environment = os.environ | {"VLLM_SERVER_DEV_MODE": "1", "HF_HUB_OFFLINE": "1"}
    environment = {k: v for k, v in environment.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "PYTHONPATH")}
    process = subprocess.Popen([*command, *options], env=environment, start_new_session=True)
    try:
        for _ in range(180):
            assert process.poll() is None, "the server did not start"
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1)
                break
            except OSError:
                time.sleep(1)
        yield url, process
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait(30)


class TestWithAServer:
    def test_the_same_as_transformers(self, server: tuple[str, Any], peaked: str) -> None:
        engine = ServerEngine(server[0], model=peaked, vocabulary=tiny.SIZES["vocab_size"])
        assert engine.window == 96 and engine.logprobs_mode == "processed_logprobs"
        model = AutoModelForCausalLM.from_pretrained(peaked, dtype=torch.float32)
        spec = PrefixEntropy(length=12, logprobs=5)
        np.testing.assert_allclose(prefix_entropy(ids(), engine, spec).value, of_transformers(model, spec), atol=2e-3)

    def test_texts_and_tokens_of_prompts(self, server: tuple[str, Any], peaked: str) -> None:
        engine = ServerEngine(server[0], model=peaked)
        here = TransformersEngine(
            AutoModelForCausalLM.from_pretrained(peaked, dtype=torch.float32), AutoTokenizer.from_pretrained(peaked)
        )
        messages = [{"role": "user", "content": "ab"}]
        for prompt in ("1:abc#", messages):
            assert engine.encode(prompt) == here.encode(prompt)
        greedy = Sampling(0.0, max_new_tokens=12)
        stop = here.complete(ids(), greedy, [0] * 5)[1].text[2]
        for stops in ((), (stop,)):
            found, expected = (one.complete(ids(), greedy, [0, 1, 0, 2, 0], stops) for one in (engine, here))
            assert [(one.text.strip(), one.ended) for one in found] == [(x.text.strip(), x.ended) for x in expected]
        sampled = Sampling(1.0, max_new_tokens=12)
        twice = [engine.complete([ids()[3]] * 4, sampled, seeds) for seeds in ([1, 2, 3, 4], [4, 3, 2, 1])]
        assert twice[0] == twice[1][::-1] and len({one.text for one in twice[0]}) > 1

    def test_what_it_refuses_is_passed_on(self, server: tuple[str, Any]) -> None:
        engine = ServerEngine(server[0])
        with pytest.raises(ValueError, match=r"refuses /v1/completions \(400\).*logprobs of 30.*20"):
            entropies(engine, ids(), PrefixEntropy(length=4, logprobs=30))
        with pytest.raises(ValueError, match=r"serves .*peaked.*, but 'another' is needed"):
            ServerEngine(server[0], model="another")

    @pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
    def test_it_gets_new_weights_in_every_round(
        self, server: tuple[str, Any], peaked: str, tmp_path: Path, adapter: bool
    ) -> None:
        from peft import LoraConfig

        lora = {"peft_config": LoraConfig(r=8, lora_alpha=64, target_modules=["q_proj", "v_proj", "down_proj"])}
        run = sft_trainer(
            tmp_path,
            model=peaked,
            **(lora | {"learning_rate": 5e-2} if adapter else {}),
            curriculum=EDCO,
            probe={"prefix_entropy": PREFIX | {"back_end": "server", "back_end_options": {"url": server[0]}}},
            max_steps=6,
            use_cpu=on_cpu(),
        )
        told = []
        observe = run.curriculum.observe_probe

        def look(row: Any, value: Any, measured: Any) -> None:
            spec = PrefixEntropy(**PREFIX, logprobs=20)
            prompts = tokens(run, row)
            told.append((value, prefix_entropy(prompts, TransformersEngine.of(run), spec).value))
            observe(row, value, measured)

        run.curriculum.observe_probe = look  # type: ignore[method-assign]
        run.train()
        assert len(told) == 3 and run.curriculum.round == 3
        for of_server, plain in told:
            np.testing.assert_allclose(of_server, plain, atol=5e-3)
        assert np.abs(told[0][1] - told[2][1]).mean() > 0.05, "the weights did not change enough to tell"

    def test_a_server_that_dies(self, server: tuple[str, Any], tmp_path: Path) -> None:
        engine = ServerEngine(server[0], retries=2, backoff=0.1)
        batches: list[int] = []
        complete = engine.complete

        def counted(prompts: Any, *rest: Any, **options: Any) -> Any:
            batches.append(len(prompts))
            if len(batches) == 3:
                stop(server[1])
            return complete(prompts, *rest, **options)

        engine.complete = counted  # type: ignore[method-assign]
        with pytest.raises(ConnectionError, match=r"did not answer /v1/completions in 3 tries"):
            prefix_entropy(ids(), engine, PrefixEntropy(length=4), batch_tokens=1, folder=tmp_path)
        with np.load(tmp_path / "prefix_entropy-0.npz") as kept:
            assert kept["done"] == 2 and np.isfinite(kept["value"][:2]).all()
        with pytest.raises(ConnectionError, match="did not answer /v1/models in 1 tries"):
            ServerEngine(server[0], retries=0)
