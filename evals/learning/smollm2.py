"""A small real model on a pool that is mostly dead: uniform, SEC, DUMP, refill and a placebo at equal cost.

    python evals/learning/smollm2.py --jobs 2     # 25 runs; a finished run is not made again

SmolLM2-135M-Instruct learns the demo's twelve arms of reasoning-gym by GRPO with LoRA; seven are out of its reach. A
short SFT on the form of an answer comes first, once, and all runs start from its model. `trl-curriculum compare` makes
the runs and compares them by the reward of held-out rows of all arms, at equal optimizer steps and at equal generated
tokens, seed by seed. What it writes goes to `docs/results/smollm2/`.

Sizes were set before any of the runs was made, by the time that a step takes; nothing was tried on their seeds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


ROOT = Path(__file__).resolve().parents[2]
SEEDS = (0, 1, 2, 3, 4)
MATCHES = ("steps", "generated_tokens")
POOL_SEED = 100  # of the rows, which all runs share, and of the first model
HELD_OUT = 16  # rows of each arm
SHARP = {"alpha": 0.3, "tau": 0.2}


def prepare(folder: Path) -> dict[str, Any]:
    """Makes the first model and the rows, unless they are there; returns the recipe that all runs share."""
    if not (folder / "base" / "tokenizer.json").exists():  # what is written last
        from transformers import AutoTokenizer

        from trl_curriculum.data.smollm2 import smollm2
        from trl_curriculum.recipes.demo import warm_up
        from trl_curriculum.recipes.demo_pool import ARMS, problems

        tokenizer = AutoTokenizer.from_pretrained(smollm2())
        train, held_out = problems(POOL_SEED, ARMS, HELD_OUT)
        (folder / "rows").mkdir(parents=True, exist_ok=True)
        train.to_json(folder / "rows" / "train.jsonl")
        held_out.to_json(folder / "rows" / "test.jsonl")
        warm_up(train, tokenizer, folder, POOL_SEED)
        tokenizer.save_pretrained(folder / "base")
    return {
        "model_name_or_path": str(folder / "base"),
        "dtype": "bfloat16",
        "dataset_name": str(folder / "rows"),
        "arms": "arm",
        "reward_funcs": ["reasoning_gym_accuracy"],
        "use_peft": True,
        "lora_r": 16,
        "lora_alpha": 32,
        "lora_target_modules": ["q_proj", "v_proj"],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "num_processes": 1,
        "num_cpu_threads_per_process": 1,
        "per_device_train_batch_size": 32,
        "num_generations": 8,
        "max_completion_length": 6,
        "learning_rate": 5e-4,
        "lr_scheduler_type": "constant",
        "beta": 0.0,
        "temperature": 1.0,
        "top_k": 0,
        "eval_strategy": "steps",
        "num_generations_eval": 2,
        "per_device_eval_batch_size": 64,
        "eval_on_start": True,
        "logging_steps": 1,
        "report_to": "none",
    }


def grid(folder: Path, steps: int, seeds: list[int], jobs: int, match: str) -> Path:
    """The comparison as a file."""
    base = prepare(folder) | {"max_steps": steps, "eval_steps": max(1, steps // 2)}
    methods = [{"sec": SHARP}, "dump", {"name": "refill", "rollouts": "refill"}, {"placebo": {"of": {"sec": SHARP}}}]
    made = {"command": "grpo", "base": base, "output_dir": str(folder / "runs"), "methods": methods}
    file = folder / f"{match}.yaml"
    file.write_text(yaml.safe_dump(made | {"seeds": seeds, "jobs": jobs, "match": match}, sort_keys=False))
    return file


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps a run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one core each")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "smollm2")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "smollm2")
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    args.out.mkdir(parents=True, exist_ok=True)
    for match in MATCHES:  # the runs are made once: the second comparison finds them
        config = grid(args.runs, args.steps, args.seeds, args.jobs, match)
        command = [str(Path(sys.executable).with_name("trl-curriculum")), "compare", "--config", str(config)]
        if (code := subprocess.run(command).returncode) != 0:
            return code
        shutil.copy(args.runs / "runs" / "comparison.md", args.out / f"{match}.md")
        shutil.copy(args.runs / "runs" / "results.parquet", args.out / "results.parquet")
    (args.out / "sizes.json").write_text(json.dumps({"steps": args.steps, "seeds": args.seeds}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
