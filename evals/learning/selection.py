"""Which rows of a generated pool to train on? EvoSelect and its rivals on SmolLM2-135M, a pool whose rows are known.

    python evals/learning/selection.py --jobs 2                           # everything that is reported: 40 minutes
    python evals/learning/selection.py --methods random tsds --pools 900 --seeds 1   # a look, with another pool

Each run is one JSON in `runs/selection_pool/`, written when it is finished; a run that is there is not made again, so
an interrupted experiment continues. The tables and the figure go to `docs/results/selection_pool/`.
"""

import argparse
import json
import multiprocessing
import os
import sys
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

from trl_curriculum.disk.state import write_json
from trl_curriculum.lm.batches import Row


ROOT = Path(__file__).resolve().parents[2]
POOLS, SEEDS = (201, 202, 203), (1, 2)
KEEP, STEPS, BATCH, LEARNING_RATE = 120, 20, 6, 1e-3  # 120 rows are seen once
WARM_UP_STEPS, WARM_UP_BATCH = 8, 8  # of the proxy, at the same learning rate: the library's defaults
BATCH_TOKENS = 1024  # of gradients; for the memory, no number depends on it


@dataclass(frozen=True)
class Method:
    """One line of the table."""

    title: str
    options: dict = field(default_factory=dict)


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

    from trl_curriculum.data.smollm2 import smollm2

    disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(smollm2()), AutoTokenizer.from_pretrained(smollm2())


def answer_loss(model: Any, rows: list[Row]) -> torch.Tensor:
    """Loss in nats per answer token, the mean over all of them; the rows are joined and attend to themselves only."""
    ids = torch.tensor([token for row in rows for token in row["input_ids"]])
    labels = torch.tensor([label for row in rows for label in row["labels"]])
    length = torch.tensor([len(row["input_ids"]) for row in rows])
    position = torch.cat([torch.arange(n) for n in length.tolist()])
    of = torch.repeat_interleave(torch.arange(len(rows)), length)
    mask = (of[:, None] == of).tril()
    hidden = model.model(
        input_ids=ids[None], position_ids=position[None], attention_mask=mask[None, None], use_cache=False
    ).last_hidden_state[0]
    answer = torch.nonzero(labels != -100)[:, 0]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[answer - 1]), labels[answer])


def fine_tune(model: Any, rows: list[Row], steps: int, batch: int, seed: int, decay: bool) -> tuple[Any, int]:
    """
    Trains a fresh adapter on rows, at a constant or a linearly decaying rate; returns the model and how many tokens
    passed through it, prompts included.

    What TRL's SFTTrainer does with its defaults (mean loss of a batch's answer tokens, AdamW, gradients clipped at 1),
    in a plain loop: without padding, the logits of prompts and the entropies a step on a CPU takes half as long.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(seed)
    model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, LEARNING_RATE, weight_decay=0.0)
    base, rng, queue, tokens = model.get_base_model(), np.random.default_rng(seed), np.array([], int), 0
    for step in range(steps):
        if len(queue) < batch:  # what is left of an epoch is dropped: all batches are equal
            queue = rng.permutation(len(rows))
        part, queue = [rows[k] for k in queue[:batch]], queue[batch:]
        answer_loss(base, part).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps if decay else 1)
        optimizer.step()
        optimizer.zero_grad()
        tokens += sum(len(row["input_ids"]) for row in part)
    return model, tokens


@torch.no_grad()
def test_loss(model: Any, test: dict[str, list[Row]]) -> dict[str, float]:
    """Loss of each task in nats per answer token."""
    return {task: float(answer_loss(model, rows)) for task, rows in test.items()}


def prepare(pool: int, folder: str) -> str:
    """Proxy, features and every method's selection in every set-up of one pool."""
    from trl_curriculum.generators import to_dataset
    from trl_curriculum.gradients import Stored
    from trl_curriculum.lm.losses import tokenize_examples
    from trl_curriculum.rounds.selection import FeatureSettings, SelectionSettings, gradient_features, select_rows
    from trl_curriculum.selection import SELECTION, Features, Selection, distinct
    from trl_curriculum.selection.report import report

    quiet()
    start = time.monotonic()
    made = make_pool(pool)
    kind, family, right = np.array(made.kind), np.array(made.family), np.array(made.right)
    model, tokenizer = load_model()
    texts = {"candidates": made.rows, "targets": made.validation, "seeds": made.seeds} | make_test()
    tokens = {name: tokenize_examples(to_dataset(rows), tokenizer) for name, rows in texts.items()}
    test = {name: tokens[name] for name in TASKS}
    before = test_loss(model, test)
    proxy, _ = fine_tune(model, tokens["seeds"], WARM_UP_STEPS, WARM_UP_BATCH, pool, decay=True)
    warm = time.monotonic()
    settings = FeatureSettings(dimension=4096, seed=pool, batch_tokens=BATCH_TOKENS)
    stored = {
        name: gradient_features(Path(folder) / name, tokens[name], proxy, settings, disable_tqdm=True)
        for name in ("candidates", "targets")
    }
    computed = time.monotonic()
    candidates, targets = stored["candidates"], stored["targets"]
    _, task = np.unique([row.source for row in made.validation], return_inverse=True)
    if len(candidates.usable) < len(made.rows) or len(targets.usable) < len(made.validation):
        raise ValueError(f"Pool {pool} has rows without a gradient.")
    selections = []
    for set_up, stage in SET_UPS.items():
        rows = np.flatnonzero(right) if stage.check else np.arange(len(right))
        part = Stored(candidates.features[rows], candidates.norm[rows])
        features = torch.from_numpy(part.features)
        left = len(rows) if stage.distinct is None else len(distinct(features, stage.distinct))
        for name, method in METHODS.items():
            if name == "oracle" and set_up != "pool":
                continue
            began = time.monotonic()
            if name == "oracle":
                kept = np.flatnonzero(kind == "clean")
                known = Features(features, torch.from_numpy(targets.features.astype(np.float32)))
                told = report(known, Selection(kept, None, {}))
            else:
                chosen = SELECTION.make({name: method.options}, seed=pool)
                choice = SelectionSettings(chosen, min(KEEP, left), stage.distinct)
                kept, _, told = select_rows(part, targets, choice, task=task)
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
    write_json(Path(folder) / "tokens.json", {"candidates": tokens["candidates"], "test": test})
    write_json(Path(folder) / "selections.json", whole)
    return f"pool {pool}: features in {computed - warm:.0f} s, all in {whole['seconds']['all']:.0f} s"


def run(pool: int, set_up: str, name: str, seed: int, folder: str, file: str) -> str:
    """Trains on one selection with one seed and writes the losses on the test rows."""
    quiet()
    start = time.monotonic()
    chosen = json.loads((Path(folder) / "selections.json").read_text())["selections"]
    (kept,) = (one["rows"] for one in chosen if (one["set_up"], one["method"]) == (set_up, name))
    tokens = json.loads((Path(folder) / "tokens.json").read_text())
    model, _ = load_model()
    loaded = time.monotonic()
    model, seen = fine_tune(model, [tokens["candidates"][k] for k in kept], STEPS, BATCH, seed, decay=False)
    trained = time.monotonic()
    loss = test_loss(model.get_base_model(), tokens["test"])
    result = {
        "pool": pool,
        "set_up": set_up,
        "method": name,
        "seed": seed,
        "loss": loss,  # nats per answer token
        "mean": float(np.mean(list(loss.values()))),
        "tokens": seen,
        "steps": STEPS,
        "seconds": {"load": loaded - start, "train": trained - loaded, "test": time.monotonic() - trained},
    }
    write_json(Path(file), result)
    spent = " + ".join(f"{seconds:.0f}" for seconds in result["seconds"].values())
    return f"pool {pool}, {set_up:8} {name:11} seed {seed}: {result['mean']:.3f} ({spent} s)"


def quiet() -> None:
    """One thread, and no bars and warnings of many processes."""
    from datasets import disable_progress_bars

    torch.set_num_threads(1)
    disable_progress_bars()
    warnings.simplefilter("ignore", FutureWarning)


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
