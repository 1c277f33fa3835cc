"""FSDP2, ZeRO-2 and ZeRO-3 on two processes against DDP; `make ranks` runs all cases under all engines."""

import json
from pathlib import Path

import cpu_shim
import engines
import pytest
import tiny
import torch
from engines import CASES, ENGINES, STEPS, measure, run
from processes import together
from safetensors.torch import load_file


WITH_DEEPSPEED = pytest.mark.skipif(not cpu_shim.HAS_DEEPSPEED, reason="deepspeed is not installed")
# What runs with every change; `make ranks` has the rest.
FEW = [("zero2", "sft accumulated"), ("zero3", "sft accumulated"), ("fsdp2", "grpo lora")]
SHARDED = ("fsdp2", "zero3")


def parameters(engine: str, case: str, mark: tuple[pytest.MarkDecorator, ...] = ()) -> object:
    marks = (*mark, WITH_DEEPSPEED) if engine.startswith("zero") else mark
    return pytest.param(engine, case, marks=marks, id=f"{engine}-{case.replace(' ', '_')}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


EVERY = [
    parameters(engine, case, () if (engine, case) in FEW else (pytest.mark.slow,))
    for case in CASES
    for engine in ENGINES
    if engine != "ddp"
]


@pytest.mark.parametrize(("engine", "case"), EVERY)
def test_an_engine_does_as_ddp(folder: Path, engine: str, case: str) -> None:
    if not (folder / f"ddp {case}").exists():
        run(folder, "ddp", case)
    run(folder, engine, case)
    found = measure(folder, engine, case)
    assert found["distributed_type"] == ("FSDP" if engine == "fsdp2" else "DEEPSPEED")
    assert (found["sharded_parameters"] > 0) == (engine in SHARDED)
    assert found["rows_drawn"] >= 2 * STEPS and found["draws_as_under_ddp"]
    assert found["weights_from_ddp"] < 1e-5
    assert found["resume_draws_the_same"] and found["resume_weights_apart"] == 0
    saved = load_file(folder / f"{engine} {case}" / "saved" / found["saved"][0])
    assert max((p - begun(case, name)).abs().max() for name, p in saved.items()) > 1e-4, "nothing was learned"
    shown = (folder / f"{engine} {case}" / ".process-0/.stderr").read_text()
    assert "was not tried" not in shown and "leaves shards" not in shown


def begun(case: str, name: str) -> torch.Tensor:
    """A weight as training begins: that of the tiny model, or an adapter's, of which B is 0."""
    if "lora" not in name:
        return (tiny.eager_model() if CASES[case][1].get("eager") else tiny.model()).state_dict()[name]
    return torch.zeros(()) if ".lora_B." in name else torch.tensor(float("inf"))


def test_shards_of_fsdp_are_saved_as_a_whole_model(tmp_path: Path) -> None:
    """Where `state_dict_type` is a sharded one checkpoints are, and `save_model` would leave no model."""
    (tmp_path / "resumed").mkdir()
    changes = engines.fsdp2("SHARDED_STATE_DICT")
    done = together(lambda _: engines.train("sft", tmp_path, changes), tmp_path)
    assert [one.code for one in done] == [0, 0], done[0].err + done[1].err
    assert list((tmp_path / f"checkpoint-{STEPS}").glob("pytorch_model_fsdp_0/*.distcp"))
    saved, whole = load_file(tmp_path / "saved/model.safetensors"), torch.load(tmp_path / "weights.pt")
    assert saved and all(torch.equal(value, whole[name]) for name, value in saved.items())


@WITH_DEEPSPEED
def test_zero_3_that_would_leave_no_model_says_so(tmp_path: Path) -> None:
    changes = json.loads(json.dumps(engines.zero(3)))
    changes["deepspeed"]["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = False
    done = together(lambda _: engines.trainer("sft", tmp_path, changes) and 0, tmp_path)
    assert [one.code for one in done] == [0, 0], done[0].err
    assert "ZeRO-3 leaves shards in place of a model" in done[0].err
