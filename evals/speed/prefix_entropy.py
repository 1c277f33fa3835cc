"""
Does the entropy of an answer's first tokens rank prompts as that of whole answers does, and what does it save?

    python evals/speed/prefix_entropy.py             # everything: about 50 minutes on 2 cores
    python evals/speed/prefix_entropy.py --analyse   # tables and figure again from what is in runs/prefix_entropy/

SmolLM2-135M-Instruct (bfloat16) answers two pools of fresh prompts, up to 256 tokens each: one of eight tasks, one of
a single task. A prefix is only ever compared with whole answers of *another* run. All settings were chosen on other
prompts before the reported ones were looked at. Results go to `docs/results/prefix_entropy/`.
"""

import argparse
import ctypes
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any


os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from datasets import disable_progress_bars
from prefix_entropy_data import LEARNED, TASKS, WHOLE, answers, questions, tokenize
from prefix_entropy_report import write_report
from prefix_entropy_scores import LENGTHS, Pool
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from trl_curriculum.data.smollm2 import smollm2
from trl_curriculum.disk.state import write_json
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.probes.prefix_entropy import PrefixEntropy, prefix_entropy
from trl_curriculum.probes.prompt_entropy import PromptEntropy, prompt_entropy


ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "runs" / "prefix_entropy"
MIXED, QUICK, ONE, ONE_TASK = 26, 13, 160, "open questions"  # prompts a task, of them with the quick-answer prompt too
ROWS, PASSES, SEED = 20, 2, 11  # of an arm, and how often each is drawn in the run with GRPO
TIMED, ROUNDS = 2, 3  # prompts a task that are timed, and how often


def keep_memory() -> None:
    """Lets glibc keep what it frees, since most of generation on a CPU is page faults otherwise."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass  # another C library: slower, and the same numbers


def make_pools(model: Any, tokenizer: Any) -> list[Pool]:
    """The pools; without a model from what is cached. The quick-answer prompt is tried on a part of the mixed one."""
    mixed = [(task, text) for task in TASKS for text in questions(task, MIXED, seed=2)]
    one = [(ONE_TASK, text) for text in questions(ONE_TASK, ONE, seed=4)]

    def pool(name: str, rows: list[tuple[str, str]], prompt: str, seed: int) -> Pool:
        tokens = tokenize([text for _, text in rows], tokenizer, prompt == "quick")
        found = answers(model, tokenizer, tokens, seed, CACHE / f"{name}-{prompt}")
        read = cached(f"{name}-{prompt}-read", lambda: reading(tokens, model), model is None)
        task, length = np.array([task for task, _ in rows]), np.array([len(t) for t in tokens])
        return Pool(name, task, length, {prompt: found}, None if read is None else np.array(read))

    pools = [pool("mixed", mixed, "plain", 1), pool("one", one, "plain", 3)]
    part = np.arange(len(mixed)) % MIXED < QUICK  # every task has as many rows
    quick = pool("mixed", [row for row, chosen in zip(mixed, part, strict=True) if chosen], "quick", 2)
    quick.found["plain"] = [[one for one, chosen in zip(run, part, strict=True) if chosen]
                            for run in pools[0].found["plain"]]  # fmt: skip
    return [*pools, quick]


def reading(prompts: list[list[int]], model: Any) -> list[float]:
    """Prompt entropies, for which nothing is generated."""
    return prompt_entropy(prompts, model, PromptEntropy(), disable_tqdm=True).value.tolist()


def timing(model: Any, tokenizer: Any) -> dict[str, list[float]]:
    """Seconds of the library's probe on some of the mixed prompts, each length in turn, `WHOLE` for whole answers."""
    prompts = tokenize([text for task in TASKS for text in questions(task, TIMED, seed=2)], tokenizer, False)
    end = TransformersEngine(model, tokenizer)
    seconds: dict[str, list[float]] = {str(length): [] for length in (0, 4, *LENGTHS, WHOLE)}  # 0: prompt entropies
    prefix_entropy(prompts, end, PrefixEntropy(length=2, quick_answer=None), disable_tqdm=True)  # to warm up
    for _ in range(ROUNDS):
        seconds["0"].append(prompt_entropy(prompts, model, PromptEntropy(), disable_tqdm=True).seconds)
        for length in (4, *LENGTHS, WHOLE):
            spec = PrefixEntropy(length=length, quick_answer=None)
            found = prefix_entropy(prompts, end, spec, disable_tqdm=True)
            seconds[str(length)].append(found.seconds)
            print(length, round(found.seconds, 1), flush=True)
    return seconds


def usefulness(tokenizer: Any) -> dict[str, list]:
    """
    What rows turn out to be worth: mean |A| of each row's groups in a GRPO run that draws all rows alike, and scores
    by the model that the run starts from. The warm-up is that of `recipes/demo.py`.
    """
    sys.path.append(str(ROOT / "recipes"))
    import demo
    import demo_pool

    folder = CACHE / "grpo"
    pool = demo_pool.problems(SEED, LEARNED, 64)[0]
    frame = pool.to_pandas().drop_duplicates("prompt")
    chosen = frame.groupby("arm").head(ROWS).index
    rows = pool.select(chosen)
    rest = pool.select(np.setdiff1d(np.arange(len(pool)), chosen))
    rest = rest.filter(lambda prompt: prompt not in set(rows["prompt"]), input_columns="prompt")
    if not (folder / "base" / "model.safetensors").exists():
        demo.warm_up(rest, tokenizer, folder, SEED)
    model = demo.load(folder / "base").eval()
    end, prompts = TransformersEngine(model, tokenizer), tokenizer(list(rows["prompt"]))["input_ids"]
    scores = {"prompt entropy": reading(prompts, model)}
    for length in (1, 2, demo.NEW_TOKENS):
        spec = PrefixEntropy(length=length, token_share=1, quick_answer=None, unit="nats")
        scores[f"greedy, L = {length}"] = prefix_entropy(prompts, end, spec, disable_tqdm=True).value.tolist()
    spec = PrefixEntropy(demo.NEW_TOKENS, 1, quick_answer=None, unit="nats", temperature=1, samples=4)
    scores["whole, mean of 4 samples at T = 1"] = prefix_entropy(prompts, end, spec, disable_tqdm=True).value.tolist()
    steps = PASSES * len(rows) // demo.PROMPTS
    history = demo.learn("uniform", rows, tokenizer, folder, steps, SEED)[1].sort_values("draw")
    groups = history.groupby("row")["advantage"].apply(list).reindex(range(len(rows)))
    return {"arm": list(rows["arm"]), "advantage": groups.tolist(), "scores": scores}


def cached(name: str, make: Any, analyse: bool) -> Any:
    file = CACHE / f"{name}.json"
    if not file.exists():
        if analyse:
            return None
        result = make()
        write_json(file, result)
    return json.loads(file.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--analyse", action="store_true", help="only tables and figure, from what is cached")
    args = parser.parse_args()
    disable_progress_bars()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_flush_denormal(True)
    start = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(smollm2())
    useful = cached("useful", lambda: usefulness(tokenizer), args.analyse)
    keep_memory()
    model = None
    if not args.analyse:
        model = AutoModelForCausalLM.from_pretrained(smollm2(), dtype=torch.bfloat16).eval()
    pools = make_pools(model, tokenizer)
    seconds = cached("seconds", lambda: timing(model, tokenizer), args.analyse)
    setup = (
        f"{os.cpu_count()} cores, {platform.machine()}, no accelerator; {MIXED} prompts of each of {len(TASKS)} tasks"
        f"\n({', '.join(TASKS)}),\nand {ONE} of one ({ONE_TASK})"
    )
    print(write_report(ROOT / "docs" / "results" / "prefix_entropy", pools, seconds, useful, setup))
    print(f"{(time.monotonic() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
