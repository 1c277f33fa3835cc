"""Which rows of a generated pool to train on? EvoSelect and its rivals on SmolLM2-135M, a pool whose rows are known.

    python evals/learning/selection.py --jobs 2                           # everything that is reported: about an hour
    python evals/learning/selection.py --methods random tsds --pools 900 --seeds 1   # a look, with another pool

Each run is one JSON in `runs/selection_pool/`, written when it is finished; a run that is there is not made again, so
an interrupted experiment continues. The tables and the figure go to `docs/results/selection_pool/`.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from selection_report import write_report
from selection_task import KINDS, TASKS, make_pool, make_test


ROOT = Path(__file__).resolve().parents[2]
POOLS, SEEDS = (201, 202, 203), (1, 2)
KEEP, STEPS, BATCH, LEARNING_RATE = 120, 24, 8, 1e-3
WARM_UP_STEPS = 8  # of the proxy, with the same batch and learning rate, as the library's default
BATCH_TOKENS = 1024  # of gradients and losses; for speed on a CPU, no number depends on it


@dataclass(frozen=True)
class Method:
    """One line of the table."""

    title: str
    kwargs: dict = field(default_factory=dict)


METHODS = {
    "random": Method("random"),
    "attribution": Method("attribution"),
    "diversity": Method("diversity"),
    "attr_div": Method("attribution, diversity"),
    "tsds": Method("TSDS (sigma .6, scale 1)", {"sigma": 0.6, "scale": 1.0}),  # what unit norm asks for
    "evoselect": Method("EvoSelect"),
    "all": Method("all of the pool"),
    "oracle": Method("oracle: the clean rows"),
}


@dataclass(frozen=True)
class SetUp:
    """What is done to the pool before a method selects, the same for all methods."""

    title: str
    distinct: float | None = None
    check: bool = False
    trained: Sequence[str] = ()


SELECTING = ("random", "attribution", "diversity", "attr_div", "tsds", "evoselect")
SET_UPS = {
    "pool": SetUp("the pool as it is", trained=tuple(METHODS)),
    "distinct": SetUp("near-duplicates removed", 0.6),
    "checked": SetUp("wrong answers and near-duplicates removed", 0.6, True, SELECTING),
}


def load_model() -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct in fp32 and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    from trl_curriculum.smollm2 import smollm2

    disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(smollm2()), AutoTokenizer.from_pretrained(smollm2())


def fine_tune(model: Any, tokenizer: Any, rows: list, steps: int, seed: int, schedule: str) -> tuple[Any, int]:
    """Trains a fresh adapter on the rows; returns the model and the tokens that were trained on, prompts included."""
    from peft import LoraConfig
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    from trl_curriculum.generators import to_dataset

    set_seed(seed)  # the adapter is drawn before the trainer sets it
    with tempfile.TemporaryDirectory() as output_dir:
        trainer = SFTTrainer(
            model,
            SFTConfig(
                output_dir=output_dir,
                seed=seed,
                max_steps=steps,
                per_device_train_batch_size=BATCH,
                dataloader_drop_last=True,
                learning_rate=LEARNING_RATE,
                lr_scheduler_type=schedule,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                logging_strategy="steps",
                logging_steps=steps,
                disable_tqdm=True,
            ),
            train_dataset=to_dataset(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        trainer.train()
        return trainer.model, int(trainer.state.log_history[0]["num_tokens"])


def prepare(pool: int, folder: str) -> str:
    """Proxy, features and every method's selection in every set-up of one pool."""
    from trl_curriculum.examples import losses, tokenize_examples
    from trl_curriculum.generators import to_dataset
    from trl_curriculum.gradients import Stored
    from trl_curriculum.selection import Features, Selection, distinct
    from trl_curriculum.selection.report import report
    from trl_curriculum.selection.rows import SelectionSettings, gradient_features, select_rows

    quiet()
    start = time.monotonic()
    made = make_pool(pool)
    kind, family, right = np.array(made.kind), np.array(made.family), np.array(made.right)
    model, tokenizer = load_model()
    before = {}
    for task, rows in make_test().items():
        before[task] = float(losses(model, tokenize_examples(to_dataset(rows), tokenizer), BATCH_TOKENS).mean())
    proxy, _ = fine_tune(model, tokenizer, made.seeds, WARM_UP_STEPS, pool, "linear")
    warm = time.monotonic()
    settings = SelectionSettings(dimension=4096, seed=pool, batch_tokens=BATCH_TOKENS)
    stored = {
        name: gradient_features(
            Path(folder) / name, tokenize_examples(to_dataset(rows), tokenizer), proxy, settings, disable_tqdm=True
        )
        for name, rows in (("candidates", made.rows), ("targets", made.validation))
    }
    computed = time.monotonic()
    candidates, targets = stored["candidates"], stored["targets"]
    tasks, task = np.unique([row.source for row in made.validation], return_inverse=True)
    if len(candidates.usable) < len(made.rows) or len(targets.usable) < len(made.validation):
        raise ValueError(f"Pool {pool} has rows without a gradient.")
    selections = []
    for set_up, stage in SET_UPS.items():
        rows = np.flatnonzero(right) if stage.check else np.arange(len(right))
        part = Stored(candidates.features[rows], candidates.norm[rows])
        features = torch.from_numpy(np.asarray(part.features))
        left = len(rows) if stage.distinct is None else len(distinct(features, stage.distinct))
        for name, method in METHODS.items():
            if name == "oracle" and set_up != "pool":
                continue
            began = time.monotonic()
            if name == "oracle":
                kept = np.flatnonzero(kind == "clean")
                known = Features(features, torch.from_numpy(np.asarray(targets.features)).float())
                told = report(known, Selection(kept, None, {}))
            else:
                choice = SelectionSettings(
                    name, method.kwargs, keep=min(KEEP, left), distinct=stage.distinct, dimension=4096, seed=pool
                )
                kept, told = select_rows(part, targets, choice, task=task)
            seconds = time.monotonic() - began
            kept = rows[kept]
            wanted = family[kept][kind[kept] != "off"]
            selections.append(
                {
                    "pool": pool,
                    "method": name,
                    "set_up": set_up,
                    "left": left,
                    "kinds": {one: float((kind[kept] == one).mean()) for one in KINDS},
                    "tasks": {one: float((wanted == one).mean()) if len(wanted) else 0.0 for one in TASKS},
                    "told": told,
                    "seconds": seconds,
                    "rows": kept.tolist(),
                }
            )
    whole = {
        "pool": pool,
        "before": before,
        "selections": selections,
        "seconds": {"proxy": warm - start, "features": computed - warm, "all": time.monotonic() - start},
    }
    write(Path(folder) / "selections.json", whole)
    return f"pool {pool}: features in {computed - warm:.0f} s, all in {whole['seconds']['all']:.0f} s"


def run(pool: int, set_up: str, name: str, seed: int, folder: str, file: str) -> str:
    """Trains on one selection with one seed and writes the losses on the test rows."""
    from trl_curriculum.examples import losses, tokenize_examples
    from trl_curriculum.generators import to_dataset

    quiet()
    start = time.monotonic()
    chosen = json.loads((Path(folder) / "selections.json").read_text())["selections"]
    (rows,) = (one["rows"] for one in chosen if (one["set_up"], one["method"]) == (set_up, name))
    candidates = make_pool(pool).rows
    model, tokenizer = load_model()
    loaded = time.monotonic()
    model, tokens = fine_tune(model, tokenizer, [candidates[k] for k in rows], STEPS, seed, "constant")
    trained = time.monotonic()
    loss = {}
    for task, test in make_test().items():
        loss[task] = float(losses(model, tokenize_examples(to_dataset(test), tokenizer), BATCH_TOKENS).mean())
    result = {
        "pool": pool,
        "set_up": set_up,
        "method": name,
        "seed": seed,
        "loss": loss,  # nats per answer token
        "mean": float(np.mean(list(loss.values()))),
        "tokens": tokens,
        "steps": STEPS,
        "seconds": {"load": loaded - start, "train": trained - loaded, "test": time.monotonic() - trained},
    }
    write(Path(file), result)
    spent = " + ".join(f"{seconds:.0f}" for seconds in result["seconds"].values())
    return f"pool {pool}, {set_up:8} {name:11} seed {seed}: {result['mean']:.3f} ({spent} s)"


def quiet() -> None:
    from datasets import disable_progress_bars

    torch.set_num_threads(1)
    disable_progress_bars()
    warnings.simplefilter("ignore", FutureWarning)


def write(file: Path, value: dict) -> None:
    draft = file.with_suffix(".tmp")
    draft.write_text(json.dumps(value))
    draft.replace(file)


def run_all(pools: list[int], names: list[str], seeds: list[int], jobs: int, folder: Path) -> dict[str, Any]:
    """Makes the missing runs, a pool's as soon as its selections are there; returns all that were asked for."""
    keys = [(s, m, seed) for seed in seeds for s, stage in SET_UPS.items() for m in names if m in stage.trained]
    homes = {pool: folder / f"pool-{pool}" for pool in pools}
    files = {(pool, *key): homes[pool] / f"{'-'.join(map(str, key))}.json" for pool in pools for key in keys}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as workers:
        preparing, running = {}, set()

        def train(pool: int) -> None:
            for (of, *key), file in files.items():
                if of == pool and not file.exists():
                    running.add(workers.submit(run, pool, *key, str(homes[pool]), str(file)))

        for pool, home in homes.items():
            home.mkdir(parents=True, exist_ok=True)
            if (home / "selections.json").exists():
                train(pool)
            else:
                preparing[workers.submit(prepare, pool, str(home))] = pool
        while preparing or running:
            done, _ = wait([*preparing, *running], return_when=FIRST_COMPLETED)
            for future in done:
                print(future.result(), flush=True)
                if future in preparing:
                    train(preparing.pop(future))
                running.discard(future)
    prepared = [json.loads((home / "selections.json").read_text()) for home in homes.values()]
    return {"pools": prepared, "runs": [json.loads(file.read_text()) for file in files.values()]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="what is trained")
    parser.add_argument("--pools", nargs="+", type=int, default=list(POOLS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="of the training")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one core each")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "selection_pool", help="where runs are kept")
    parser.add_argument("--out", type=Path, help="where the report goes; default: docs/results if all was run")
    args = parser.parse_args()
    # One thread a run, or two runs at once slow each other down; nothing here is on a hub.
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    results = run_all(args.pools, args.methods, args.seeds, args.jobs, args.runs)
    whole = (tuple(args.methods), tuple(args.pools), tuple(args.seeds)) == (tuple(METHODS), POOLS, SEEDS)
    out = args.out or (ROOT / "docs" / "results" / "selection_pool" if whole else None)
    print(write_report(out, results, METHODS, SET_UPS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
