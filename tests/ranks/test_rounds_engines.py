"""`select` and `evolve` on two processes: under FSDP2 and ZeRO-2 as under DDP, refused under ZeRO-3."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import cpu_shim
import engines
import pytest
import test_evolve_recipe
import tiny
from commands import Done
from processes import together
from safetensors.torch import load_file

import trl_curriculum.rounds  # noqa: F401
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.generators import load
from trl_curriculum.scripts.launch import run_script


WITH_DEEPSPEED = pytest.mark.skipif(not cpu_shim.HAS_DEEPSPEED, reason="deepspeed is not installed")
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",  # of which no model is saved by itself
    "ACCELERATE_MIXED_PRECISION": "no",
}


def zero(stage: int) -> dict[str, str]:
    settings = {"ZERO_STAGE": stage, "OFFLOAD_OPTIMIZER_DEVICE": "none", "OFFLOAD_PARAM_DEVICE": "none"}
    sharded = {"ZERO3_INIT": str(stage == 3).lower(), "ZERO3_SAVE_16BIT_MODEL": str(stage == 3).lower()}
    named = {f"ACCELERATE_DEEPSPEED_{name}": str(value) for name, value in (settings | sharded).items()}
    return named | {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_MIXED_PRECISION": "no"}


# As `accelerate launch` says it to the processes.
LAUNCHED: dict[str, dict[str, str]] = {"ddp": {}, "fsdp2": FSDP, "zero2": zero(2), "zero3": zero(3)}


def run(folder: Path, engine: str, argv: list[str], given: bool = False) -> list[Done]:
    """A script on two processes, under an engine of the launcher or, with `given`, of the training arguments."""
    more = ["--use_cpu"] if engine == "ddp" else []
    if given:
        more += ["--deepspeed", json.dumps(engines.ENGINES[engine]["deepspeed"])]

    def body(rank: int) -> None:
        if engine != "ddp":
            cpu_shim.install(deepspeed=engine.startswith("zero"))
        if not given:
            os.environ.update(LAUNCHED[engine])
        script = load_recipe(argv[0])
        sys.argv = [str(script.__file__), *argv[1:], *more]
        run_script(script.main, script.make_parser())

    return together(body, folder)


def selection(folder: Path) -> list[str]:
    pool = [{"prompt": f"{i}:{'abcdef'[i % 6]}{'fed'[i % 3]}#", "completion": "gh" * (1 + i % 3)} for i in range(40)]
    targets = [{"prompt": f"{i}:{'abc'[i % 3] * 3}#", "completion": "gh" * (1 + i % 3)} for i in range(6)]
    for name, rows in (("pool", pool), ("targets", targets)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options: dict[str, Any] = {
        "candidates": folder / "pool.jsonl",
        "targets": folder / "targets.jsonl",
        "keep": 0.25,
        "features": '{"dimension": 128}',
        "proxy": '{"steps": 2, "adam": true}',
        "model_name_or_path": tiny.saved_model(folder / "model"),
        "output_dir": folder / "out",
        "dtype": "float32",
        "bf16": "false",
        "gradient_checkpointing": "false",
        "disable_tqdm": "true",
    }
    return ["select_rows", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]


def kept(folder: Path) -> list[Any]:
    return load(folder / "out/evoselect/selected.parquet")


@pytest.fixture(scope="module")
def under_ddp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ddp")
    done = run(folder, "ddp", selection(folder))
    assert [one.code for one in done] == [0, 0], done[0].err
    return folder


@pytest.mark.parametrize("engine", ["fsdp2", pytest.param("zero2", marks=WITH_DEEPSPEED)])
def test_select_takes_the_same_rows(under_ddp: Path, tmp_path: Path, engine: str) -> None:
    done = run(tmp_path, engine, selection(tmp_path))
    assert [one.code for one in done] == [0, 0], done[0].err + done[1].err
    assert kept(tmp_path) == kept(under_ddp) and len(kept(tmp_path)) == 10
    ours, theirs = (load_file(folder / "out/proxy/moments.safetensors") for folder in (tmp_path, under_ddp))
    assert ours.keys() == theirs.keys()
    assert all(abs_max(ours[name] - theirs[name]) <= 1e-3 * abs_max(theirs[name]) for name in ours)
    assert all(abs_max(value) > 0 for value in theirs.values())


def abs_max(tensor: Any) -> float:
    return tensor.abs().max().item()


@WITH_DEEPSPEED
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("script", ["select_rows", "evolve"])
def test_zero_3_is_refused_before_any_work(tmp_path: Path, script: str, given: bool) -> None:
    argv = selection(tmp_path) if script == "select_rows" else evolution(tmp_path)
    first, second = run(tmp_path, "zero3", argv, given)
    assert first.sentence == (
        f"{script}.py: Rounds and selections work with whole weights, which ZeRO-3 shards among the processes: launch "
        "them with DDP, FSDP2 or ZeRO-2 (accelerate_config: multi_gpu, fsdp2 or zero2)."
    )
    assert second.code == 1 and not second.traceback
    assert not any((tmp_path / ("out" if script == "select_rows" else "run")).iterdir())


def evolution(folder: Path) -> list[str]:
    changes = {"use_cpu": False, "bf16": False, "gradient_checkpointing": False, "rounds": 2}
    path = tiny.saved_model(folder / "model")
    return ["evolve", "--config", test_evolve_recipe.recipe(folder, path, **changes)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "given"),
    [
        ("ddp", False),
        ("fsdp2", False),
        *(pytest.param("zero2", given, marks=WITH_DEEPSPEED) for given in (False, True)),
    ],
)
def test_evolve(tmp_path: Path, engine: str, given: bool) -> None:
    done = run(tmp_path, engine, evolution(tmp_path), given)
    assert [one.code for one in done] == [0, 0], done[0].err + done[1].err
    for number in range(2):
        adapter = load_file(tmp_path / f"run/round-{number}/adapter/adapter_model.safetensors")
        assert any(abs_max(value) > 0 for name, value in adapter.items() if "lora_B" in name)
