"""
Tests that run a real vLLM: its CPU build in an environment of its own, which `make test` makes, or vLLM on GPUs, where
`pip install '.[vllm]' pytest` and `pytest tests/real_vllm` run the same tests and those that need GPUs.

The folder must not be called vllm: tests/ is on the path, and TRL would take it for the package.
"""

import os
import shutil


os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB an engine
os.environ.setdefault("VLLM_CPU_CI_ENV", "1")  # traces the model but does not compile it, which can take a minute
if shutil.which(os.environ.get("CXX", "g++")) is None:
    os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")  # vLLM's sampler is compiled all the same

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import trainer
from vllm_runs import GPUS, has_vllm, on_cpu, options, save_model


if GPUS and has_vllm():
    # With several GPUs in sight one process takes DataParallel, which TRL refuses.
    os.environ["CUDA_VISIBLE_DEVICES"] = GPUS[0]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpus(n): needs n GPUs, and a vLLM that uses them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        needed = max((mark.args[0] for mark in item.iter_markers("gpus")), default=0)
        if not has_vllm():
            reason = "vLLM is not installed here; `make test` runs this in an environment of its own, .venv-vllm"
        elif needed > len(GPUS) or (needed and on_cpu()):
            reason = f"needs {needed} GPUs and a vLLM that uses them; {len(GPUS)} are in sight"
        else:
            continue
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of the tiny model, with a head of its own and with one that is tied to the embeddings."""
    return {name: save_model(tmp_path_factory.mktemp(name), name == "tied") for name in ("untied", "tied")}


@pytest.fixture(scope="session")
def engines() -> Iterator[dict[str, Any]]:
    from vllm.v1.engine import core

    with pytest.MonkeyPatch.context() as patch:
        # An engine that is collected would take down process groups that the others in this process use.
        patch.setattr(core, "cleanup_dist_env_and_memory", lambda: None)
        yield {}


@pytest.fixture
def colocated(
    tmp_path: Path, saved: dict[str, str], engines: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """
    Makes trainers with vLLM in this process. Those of the same model share an engine, since one takes many seconds to
    start; each trainer loads its own weights into it before its first rollouts.
    """
    from trl.generation import vllm_generation

    start = vllm_generation.LLM

    def engine(model: str, **arguments: Any) -> Any:
        # What a test that failed has left in an engine would be waited for without end.
        if model not in engines or engines[model].llm_engine.has_unfinished_requests():
            engines[model] = start(model, **arguments | {"max_num_seqs": 64, "block_size": 32})
        return engines[model]

    def make(model: str = "untied", **changes: Any) -> Any:
        before = dict(os.environ)
        try:
            return trainer(changes.pop("output_dir", tmp_path), model=saved[model], **options(**changes))
        finally:  # TRL leaves RANK and the like behind, and the next trainer would take itself for one of several
            os.environ.clear()
            os.environ.update(before)

    with monkeypatch.context() as patch:
        patch.setattr(vllm_generation, "LLM", engine)
        yield make
