"""
What a curriculum costs in SFT: this trainer under `uniform` and `evo_curate` against stock SFTTrainer.

    python evals/speed/sft_overhead.py                 # tiny model and SmolLM2-135M, about 8 minutes on 2 cores
    python evals/speed/sft_overhead.py --models tiny   # about 3 minutes

As in `overhead.py`: the trainers take turns in one process, ratios go round by round. Padded and padding-free, all
rows are equally long, so that every step does the same work. Packed, lengths vary, and tokens per second are compared
with TRL's own bfd packing of the same rows.
"""

import argparse
import json
import os
import platform
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_progress_bars
from overhead import ROOT, Clock, make_model, make_tokenizer, measure, table
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from trl_curriculum import CurriculumSFTConfig, CurriculumSFTTrainer
from trl_curriculum.data.smollm2 import smollm2


VARIANTS = ("stock", "uniform", "evo_curate")
MODES: dict[str, dict[str, Any]] = {
    "padded": {},
    "padding-free": {"padding_free": True, "max_length": None},
    "packed": {"packing": True},
}


def rows(n: int, length: int, vary: bool, vocabulary: int) -> Dataset:
    """Random tokens: what is timed does not depend on them."""
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.lognormal(np.log(length / 3), 0.7, n), 4, length).astype(int) if vary else np.full(n, length)
    tokens = [rng.integers(2, vocabulary, size).tolist() for size in sizes]
    return Dataset.from_dict({"input_ids": tokens, "labels": tokens})


def make(variant: str, folder: str, model: str, mode: str, steps: int) -> tuple[SFTTrainer, Clock]:
    length = 48 if model == "tiny" else 32
    options: dict[str, Any] = {
        "output_dir": f"{folder}/{variant}",
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": (1 if mode == "packed" else 8)
        if model == "tiny"
        else (2 if mode == "packed" else 4),
        "max_length": length if mode != "packed" else 4 * length,
        "max_steps": steps,
        "learning_rate": 1e-6,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        **MODES[mode],
    }
    if model == "tiny":
        made, tokenizer = make_model(0), make_tokenizer()
    else:
        made, tokenizer = AutoModelForCausalLM.from_pretrained(smollm2()), AutoTokenizer.from_pretrained(smollm2())
    data = rows(2000, length if mode != "packed" else 4 * length, mode == "packed", made.config.vocab_size)
    clock = Clock(lambda: trainer._total_train_tokens)
    arguments: dict[str, Any] = {"model": made, "processing_class": tokenizer, "train_dataset": data}
    if model != "tiny":
        arguments["peft_config"] = LoraConfig(r=16, target_modules="all-linear")
    trainer: SFTTrainer
    if variant == "stock":
        trainer = SFTTrainer(args=SFTConfig(**options), callbacks=[clock], **arguments)
    else:
        args = CurriculumSFTConfig(**options, curriculum=variant)
        trainer = CurriculumSFTTrainer(args=args, callbacks=[clock], **arguments)
    return trainer, clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny", "smollm2-135m"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--rounds", type=int, default=3, help="on SmolLM2; six times as many on the tiny model")
    args = parser.parse_args()
    disable_progress_bars()
    results: dict[str, Any] = {}
    for model in args.models:
        rounds, steps = (6 * args.rounds, 31) if model == "tiny" else (args.rounds, 5)
        for mode in args.modes:
            name = f"{model}, {mode}"
            results[name] = measure(partial(make, model=model, mode=mode, steps=steps), VARIANTS, rounds, steps)
            print(table({name: results[name]}), flush=True)
    folder = ROOT / "docs" / "results" / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    where = f"{os.cpu_count()} cores, {platform.machine()}, no accelerator"
    rounds = ", ".join(f"{result['rounds']} on {name}" for name, result in results.items())
    note = f"`python evals/speed/sft_overhead.py`, {where}. Rounds, after one to warm up: {rounds}.\n\n"
    packed = "".join(
        f"\n{name}: {variant} trains on {result[variant]['tokens_ratio']:.3f} of the tokens per second of TRL's."
        for name, result in results.items()
        for variant in VARIANTS[1:]
        if "packed" in name
    )
    (Path(folder) / "sft_overhead.md").write_text(
        f"# Overhead over stock SFTTrainer\n\n{note}{table(results)}\n{packed}\n"
    )
    (Path(folder) / "sft_overhead.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
