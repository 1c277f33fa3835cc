"""
What a curriculum costs: step times of this trainer under `uniform` and `sec` against stock GRPOTrainer.

    python evals/speed/overhead.py                 # tiny model and SmolLM2-135M, about 8 minutes on 2 cores
    python evals/speed/overhead.py --models tiny   # about a minute

The trainers take turns in one process, a few steps each, round after round. Prompts are equally long and completions
have a fixed length, so every step does the same work. Figures are medians over steps, ratios go round by round.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any


os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # steadier than two, which wait for each other
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "evals" / "learning"))

import numpy as np  # noqa: E402
from datasets import Dataset  # noqa: E402
from ladder_task import make_model, make_tokenizer  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer  # noqa: E402
from trl_curriculum.data.smollm2 import smollm2  # noqa: E402


VARIANTS = ("stock", "uniform", "sec")


class Clock(TrainerCallback):
    """Time from the end of one optimizer step to the end of the next: the dataloader and the log included."""

    def __init__(self, count_tokens: Callable[[], int] = lambda: 0) -> None:
        self.times: list[float] = []
        self.tokens: list[int] = []  # of the same steps, where the trainer counts them
        self.last = 0.0
        self.count_tokens, self.counted = count_tokens, 0

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.last = 0.0

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        now = time.perf_counter()
        if self.last:
            self.times.append(now - self.last)
            self.tokens.append(self.count_tokens() - self.counted)
        self.last, self.counted = now, self.count_tokens()


def rows(n: int) -> Dataset:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghij"), 8)) for _ in range(n)]
    return Dataset.from_list([{"prompt": f"{word}#", "arm": f"arm{i % 12}"} for i, word in enumerate(words)])


def reward(completions: list[str], **kwargs: Any) -> list[float]:
    return [float(sum(map(ord, text)) % 2) for text in completions]


def make(variant: str, folder: str, model: str, steps: int) -> tuple[GRPOTrainer, Clock]:
    tokens = 20 if model == "tiny" else 16
    options: dict[str, Any] = {
        "output_dir": f"{folder}/{variant}",
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": 8 if model == "tiny" else 16,
        "num_generations": 8,
        "max_completion_length": tokens,
        "generation_kwargs": {"min_new_tokens": tokens},
        "max_steps": steps,
        "learning_rate": 1e-6,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
    }
    arguments: dict[str, Any] = {"reward_funcs": reward, "train_dataset": rows(4800)}
    if model == "tiny":
        arguments |= {"model": make_model(0), "processing_class": make_tokenizer()}
    else:
        path = smollm2()
        arguments |= {
            "model": AutoModelForCausalLM.from_pretrained(path),
            "processing_class": AutoTokenizer.from_pretrained(path, padding_side="left"),
            "peft_config": LoraConfig(r=16, target_modules="all-linear"),
        }
    clock = Clock()
    if variant == "stock":
        return GRPOTrainer(args=GRPOConfig(**options), callbacks=[clock], **arguments), clock
    options |= {"curriculum": variant, "arms": ["arm"]}
    return CurriculumGRPOTrainer(args=CurriculumGRPOConfig(**options), callbacks=[clock], **arguments), clock


def measure(
    make: Callable[[str, str], tuple[Any, Clock]], variants: Sequence[str], rounds: int, steps: int
) -> dict[str, Any]:
    """Times of trainers that `make(variant, folder)` makes, the first variant being the one to compare with."""
    with tempfile.TemporaryDirectory() as folder:
        trainers = {variant: make(variant, folder) for variant in variants}
        medians: dict[str, list[float]] = {variant: [] for variant in variants}
        everything: dict[str, list[float]] = {variant: [] for variant in variants}
        rates: dict[str, list[float]] = {variant: [] for variant in variants}
        for turn in range(rounds + 1):
            for variant in np.roll(variants, turn):  # nobody always comes first
                trainer, clock = trainers[variant]
                clock.times, clock.tokens = [], []
                trainer.train()
                if turn:  # the first round warms up
                    medians[variant].append(float(np.median(clock.times)))
                    everything[variant] += clock.times
                    rates[variant].append(sum(clock.tokens) / sum(clock.times))
    result: dict[str, Any] = {"rounds": rounds, "steps": steps}
    for variant in variants:
        ratios = np.array(medians[variant]) / np.array(medians[variants[0]])
        more = 1000 * (np.array(medians[variant]) - np.array(medians[variants[0]]))
        result[variant] = {
            "median_ms": 1000 * float(np.median(everything[variant])),
            "ratio": {"min": ratios.min(), "median": float(np.median(ratios)), "max": ratios.max()},
            "ms_more": {"min": more.min(), "median": float(np.median(more)), "max": more.max()},
        }
        if all(rates[variants[0]]):
            relative = np.array(rates[variant]) / np.array(rates[variants[0]])
            result[variant]["tokens_per_second"] = float(np.median(rates[variant]))
            result[variant]["tokens_ratio"] = float(np.median(relative))
    return result


def table(results: dict[str, Any]) -> str:
    lines = [
        "| model | trainer | step, median ms | ratio to stock: median (min–max) | ms more: median (min–max) |",
        "|---|---|---|---|---|",
    ]
    for model, result in results.items():
        for variant in (name for name in result if isinstance(result[name], dict)):
            r = result[variant]
            ratio, more = r["ratio"], r["ms_more"]
            lines.append(
                f"| {model} | {variant} | {r['median_ms']:.1f} | {ratio['median']:.3f} "
                f"({ratio['min']:.3f}–{ratio['max']:.3f}) | {more['median']:+.2f} "
                f"({more['min']:+.2f}–{more['max']:+.2f}) |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny", "smollm2-135m"])
    parser.add_argument("--rounds", type=int, default=6, help="on SmolLM2; four times as many on the tiny model")
    args = parser.parse_args()
    results = {}
    for model in args.models:
        rounds, steps = (4 * args.rounds, 21) if model == "tiny" else (args.rounds, 4)
        results[model] = measure(partial(make, model=model, steps=steps), VARIANTS, rounds, steps)
        print(table({model: results[model]}), flush=True)
    folder = ROOT / "docs" / "results" / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    where = f"{os.cpu_count()} cores, {platform.machine()}, no accelerator"
    rounds = ", ".join(f"{result['rounds']} on {model}" for model, result in results.items())
    note = f"`python evals/speed/overhead.py`, {where}. Rounds, after one to warm up: {rounds}.\n\n"
    (folder / "overhead.md").write_text(f"# Overhead over stock GRPOTrainer\n\n{note}{table(results)}\n")
    (folder / "overhead.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
