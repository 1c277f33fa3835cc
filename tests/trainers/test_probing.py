"""What a trainer does around a probe: weights for a server, engines that sleep, sharded weights, random numbers."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import sft_trainer
from peft import LoraConfig, get_peft_model

from trl_curriculum.disk.fingerprint import fingerprint
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.lm.vllm_engine import TrainerVLLMEngine
from trl_curriculum.lm.weights import whole_weights
from trl_curriculum.trainers.probing import _random_as_before


class TestWholeWeights:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_adapters_are_merged_and_the_model_is_left_to_the_bit(self, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        base = tiny.model().to(dtype)
        plain = {name: value.clone() for name, value in base.state_dict().items()}
        model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
        before = {name: value.clone() for name, value in model.state_dict().items()}
        for _ in range(3):
            weights = whole_weights(model)
        assert set(weights) == set(plain)
        changed = [name for name in plain if not torch.equal(weights[name], plain[name])]
        assert len(changed) == 14 and all("proj" in name for name in changed)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class TestServer:
    def run(self, tmp_path: Path, stale: bool) -> None:
        """A server that answers as the trainer does, or as the trainer did when it was asked first."""
        run = sft_trainer(
            tmp_path,
            curriculum={"edco": {"rounds": 3, "top_n": 12}},
            probe={"prefix_entropy": {"length": 2, "quick_answer": None}},
            max_steps=6,
            learning_rate=3e-2,
        )
        own = TransformersEngine.of(run)
        asked: list[Any] = []

        def complete(prompts: Any, sampling: Any, *args: Any, **kwargs: Any) -> Any:
            answer = own.complete(prompts, sampling, *args, **kwargs)
            if sampling.max_new_tokens > 1:
                return answer
            asked.append(answer)
            return asked[0] if stale else answer

        run.probe.engine = SimpleNamespace(  # type: ignore[assignment]
            name="server",
            window=None,
            complete=complete,
            identity=own.identity,
            load=lambda folder: None,
            forget=lambda: None,
        )
        run.train()
        assert len(asked) == 3 and not list(run.probe.folder.glob("weights*"))

    def test_that_takes_its_weights(self, tmp_path: Path) -> None:
        self.run(tmp_path, stale=False)

    def test_that_does_not(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="does not answer with the weights that it was given"):
            self.run(tmp_path, stale=True)


class Engine:
    """Records what TRL's sleeping engine is asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.model_config = SimpleNamespace(max_model_len=64)

    def wake_up(self, tags: list[str]) -> None:
        self.calls.append(f"wake {tags[0]}")

    def sleep(self, level: int) -> None:
        self.calls.append("sleep")


@pytest.mark.parametrize("fails", [False, True])
def test_a_sleeping_engine_is_woken_once_for_a_probe(fails: bool) -> None:
    engine = Engine()
    generation = SimpleNamespace(
        mode="colocate",
        max_model_length=None,
        enable_sleep_mode=True,
        _llm_weights_sleeping=True,
        llm=engine,
        sync_weights=lambda: engine.calls.append("weights"),
    )
    trainer = SimpleNamespace(
        vllm_generation=generation,
        model=tiny.model(),
        processing_class=tiny.tokenizer(),
        state=SimpleNamespace(global_step=3),
        _last_loaded_step=1,
    )
    try:
        with TrainerVLLMEngine(trainer).awake():
            assert not generation.enable_sleep_mode and trainer._last_loaded_step == 3
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert engine.calls == ["weights", "wake kv_cache", "sleep"]
    assert generation.enable_sleep_mode and generation._llm_weights_sleeping


def test_sharded_weights_have_a_fingerprint() -> None:
    from torch.distributed.fsdp import fully_shard

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
        fully_shard(model, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
        first = fingerprint((1,), model)
        with torch.no_grad():
            next(model.parameters()).add_(1.0)
        assert fingerprint((1,), model) != first
    finally:
        torch.distributed.destroy_process_group()


def test_random_numbers_are_those_of_before() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = draw()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    with _random_as_before():
        torch.manual_seed(9)
        random.seed(9)
        np.random.seed(9)  # noqa: NPY002
    assert draw() == expected
