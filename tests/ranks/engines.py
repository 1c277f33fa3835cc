"""
SFT and GRPO in two processes under DDP, FSDP2, ZeRO-2 and ZeRO-3: the same draws, the same weights, and exact resumes.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any


if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("", "trainers")]

import cpu_shim
import harness
import numpy as np
import pandas as pd
import peft
import tiny
import torch
from processes import together

from trl_curriculum.report.history import read_history


STEPS = 4


def fsdp2(state_dict_type: str = "FULL_STATE_DICT") -> dict[str, Any]:
    wrap = {"version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "state_dict_type": state_dict_type}
    return {"fsdp": True, "fsdp_config": wrap}


def zero(stage: int) -> dict[str, Any]:
    names = "train_micro_batch_size_per_gpu gradient_accumulation_steps train_batch_size gradient_clipping"
    sharding = {"stage": stage, "stage3_gather_16bit_weights_on_model_save": True}
    more = {"zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False}
    return {"deepspeed": {"zero_optimization": sharding, **dict.fromkeys(names.split(), "auto"), **more}}


ENGINES: dict[str, dict[str, Any]] = {"ddp": {}, "fsdp2": fsdp2(), "zero2": zero(2), "zero3": zero(3)}
EVO = {"curriculum": {"evo_curate": {"refresh_steps": 2}}}
PROBE = {"probe": {"prefix_entropy": {"length": 3, "quick_answer": None}}}


def edco(top_n: int) -> dict[str, Any]:  # a fresh optimizer a round is refused under DeepSpeed
    return {"curriculum": {"edco": {"rounds": 2, "top_n": top_n, "optimizer": "keep"}}} | PROBE


# A pass of the policy (pear), added rewards and a state a row (ceeh), advantages, and weights of tokens (the others).
SHAPED: dict[str, Any] = {
    "shaping": [
        {"pear": {"end": "|", "alpha": 0}},
        {"ceeh": {"length": 1.0}},
        {"puzzlecraft": {"gamma": 0}},
        "attention_entropy",
    ],
    "eager": True,
    "per_device_train_batch_size": 8,
    "train_dataset": tiny.dataset(6),
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", EVO),
    "sft accumulated": ("sft", EVO | {"gradient_accumulation_steps": 2}),
    "sft packed": ("sft", harness.PACKED),
    "sft lora": ("sft", EVO | {"lora": True}),
    "sft edco": ("sft", edco(8)),
    "grpo": ("grpo", {}),
    "grpo lora": ("grpo", {"lora": True}),
    "grpo edco": ("grpo", edco(4) | {"per_device_train_batch_size": 8}),
    "grpo several steps": ("grpo", {"steps_per_generation": 4}),
    "grpo shaped": ("grpo", SHAPED),
}


def trainer(kind: str, folder: Path, changes: dict[str, Any]) -> Any:
    """A trainer of the tiny model under the engine that `changes` name, which the shim makes run on a CPU."""
    changes = dict(changes)
    if {"fsdp", "deepspeed"} & set(changes):
        cpu_shim.install(deepspeed="deepspeed" in changes)
        changes["use_cpu"] = False
    if changes.pop("lora", False):
        torch.manual_seed(0)
        changes["peft_config"] = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    if changes.pop("eager", False):
        changes["model"] = tiny.eager_model()
    options = {"max_steps": STEPS, "save_strategy": "steps", "save_steps": 1, "learning_rate": 1e-3} | changes
    return (harness.sft_trainer if kind == "sft" else harness.trainer)(folder, **options)


def train(kind: str, folder: Path, changes: dict[str, Any], resume: bool = False) -> None:
    """One process of a run: trains, writes its whole weights into `weights.pt`, and saves the model in `saved`."""
    run = trainer(kind, folder, changes)
    run.train(resume_from_checkpoint=resume)
    accelerator = run.accelerator
    sharded = sum(type(p).__name__ == "DTensor" or hasattr(p, "ds_id") for p in run.model.parameters())
    weights = accelerator.get_state_dict(run.model_wrapped)
    if accelerator.is_main_process:
        whole = {k: (v.full_tensor() if hasattr(v, "full_tensor") else v) for k, v in weights.items()}
        torch.save({k: v.detach().float().cpu() for k, v in whole.items()}, folder / "weights.pt")
        (folder / "engine.json").write_text(json.dumps([str(accelerator.distributed_type), sharded]))
    run.save_model(str(folder / "saved"))
    accelerator.wait_for_everyone()


def run(folder: Path, engine: str, case: str) -> Path:
    """A run of a case under an engine, and in `resumed` the same from the checkpoint in its middle."""
    kind, changes = CASES[case]
    whole, resumed = folder / f"{engine} {case}", folder / f"{engine} {case}" / "resumed"
    for into, resume in ((whole, False), (resumed, True)):
        if resume:
            shutil.copytree(whole, into, ignore=shutil.ignore_patterns(f"checkpoint-[{STEPS - 1}{STEPS}]", "resumed"))
        done = together(lambda _, into=into, resume=resume: train(kind, into, changes | ENGINES[engine], resume), into)
        assert [one.code for one in done] == [0, 0], "\n".join(one.said[-3000:] for one in done)
    return whole


def apart(one: Path, other: Path) -> float:
    """The largest difference between the weights of two runs."""
    a, b = (torch.load(folder / "weights.pt") for folder in (one, other))
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def draws(folder: Path) -> pd.DataFrame:
    return read_history(folder)[["step", "row", "draw"]]


def measure(folder: Path, engine: str, case: str) -> dict[str, Any]:
    """What is asked of a case under an engine, as numbers."""
    whole, ddp = folder / f"{engine} {case}", folder / f"ddp {case}"
    kind, sharded = json.loads((whole / "engine.json").read_text())
    return {
        "engine": engine,
        "case": case,
        "distributed_type": kind.rpartition(".")[2],
        "sharded_parameters": sharded,
        "rows_drawn": len(draws(whole)),
        "draws_as_under_ddp": bool(np.array_equal(draws(whole)["row"], draws(ddp)["row"])),
        "weights_from_ddp": apart(whole, ddp),
        "resume_draws_the_same": draws(whole).equals(draws(whole / "resumed")),
        "resume_weights_apart": apart(whole, whole / "resumed"),
        "saved": sorted(path.name for path in (whole / "saved").glob("*.safetensors")),
    }


def main() -> None:
    """Every case under every engine, as a table in JSON lines."""
    with tempfile.TemporaryDirectory() as folder, open(sys.argv[1], "w") as table:
        for case in CASES:
            for engine in ENGINES:
                run(Path(folder), engine, case)
                line = json.dumps(measure(Path(folder), engine, case))
                print(line, flush=True)
                table.write(line + "\n")


if __name__ == "__main__":
    main()
