"""Does EVO-Curate help where rows are of unequal value? Its variants on two SFT mixtures, against uniform.

    python evals/learning/mixture.py --jobs 2             # everything that is reported: 260 runs of some 10 seconds
    python evals/learning/mixture.py --methods uniform free_none --seeds 1 2   # a look, with other seeds

Each run is one JSON in `runs/mixture/`, written when it is finished; a run that is there is not made again, so an
interrupted experiment continues. The tables and the figure go to `docs/results/mixture/`.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mixture_report import write_report
from mixture_task import KINDS, ExactMatch, make_model, make_rows, make_test, make_tokenizer


ROOT = Path(__file__).resolve().parents[2]
ROWS, TOKENS, BATCH, SIXTHS = 4000, 250_000, 64, 6
SEEDS = (101, 102, 103, 104, 105)
MORE_SEEDS = (106, 107, 108, 109, 110)  # for what the rule compares


@dataclass(frozen=True)
class Method:
    """One line of the table."""

    title: str
    curriculum: str = "evo_curate"
    kwargs: dict = field(default_factory=dict)
    extra: float = 0.0  # more training tokens, as a share


PROBE, FREE = {"measure": "probe", "refresh_steps": 50}, {"measure": "free"}  # all else: the library's defaults
NAMES = {"none": "no variability", "std": "std", "std_after_first": "std after the first", "progress": "progress"}
METHODS = {
    "uniform": Method("uniform", "uniform"),
    **{f"probe_{v}": Method(f"EVO, probe: {NAMES[v]}", kwargs=PROBE | {"variability": v}) for v in NAMES},
    **{f"free_{v}": Method(f"EVO, free: {NAMES[v]}", kwargs=FREE | {"variability": v}) for v in NAMES},
    "placebo": Method("placebo: EVO, free, utilities shuffled over rows", "placebo", FREE),
    "easy_to_hard": Method("easy to hard by skill, one pass", "order"),
    "baby_steps": Method("easy to hard by skill, baby steps", "baby_steps", {"stages": 3}),
    "top_probe": Method("loss top 50 %, probe", "loss_top_k", PROBE),
    "top_free": Method("loss top 50 %, free", "loss_top_k", FREE | {"refresh_steps": 10}),
    "uniform_compute": Method("uniform with the tokens that six probes cost", "uniform", extra=0.41),
    "oracle": Method("oracle: clean rows, each once, skills balanced", "oracle"),
}


COMPARED = ("uniform", "free_none", "probe_none", "placebo")
CONFIRMED = (*COMPARED, "free_std", "free_progress", "top_free", "oracle")
WORLDS = {  # task and mixture: methods
    ("letters", "balanced"): tuple(METHODS),
    ("rotated", "balanced"): CONFIRMED,  # not looked at while anything was chosen
    ("letters", "easyheavy"): tuple(METHODS),
    ("digits", "balanced"): ("uniform", "free_none", "probe_none", "placebo"),
}


def control(name: str, options: dict) -> Any:
    """A curriculum that exists only to be compared with."""
    from trl_curriculum.curricula import Curriculum, CurriculumMethod, EVOCurate
    from trl_curriculum.curricula.parts.queues import Queues

    class Placebo(EVOCurate):
        """EVO-Curate whose utilities are shuffled over the rows: as uneven, and blind."""

        def utility(self, now):
            return np.random.default_rng([now.seed, now.refreshes]).permutation(super().utility(now))

    class Oracle(CurriculumMethod):
        """Draws only clean rows, copies once, and each skill as often: what no method can know."""

        name = "oracle"

    class OracleCurriculum(Curriculum, of=Oracle):
        def __init__(self, method, pool, seed=0):
            super().__init__(method, pool, seed)
            self.queues = Queues(pool.arm, pool.n_arms, self.rng)

        def _pick(self, n):
            names = list(self.pool.arm_names)
            arm = np.array([names.index(skill) for skill in ("easy", "medium", "hard")])[self.rng.integers(3, size=n)]
            return self.queues.pop(arm), arm, np.full(n, np.nan)

    return {"placebo": Placebo, "oracle": Oracle}[name](**options)


def run(task: str, mixture: str, name: str, seed: int, file: str) -> str:
    """Trains one method with one seed and writes what was measured."""
    from datasets import Dataset, disable_progress_bars

    from trl_curriculum import CurriculumSFTConfig, CurriculumSFTTrainer
    from trl_curriculum.disk.state import write_json

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    disable_progress_bars()
    warnings.simplefilter("ignore", FutureWarning)
    method, tokenizer = METHODS[name], make_tokenizer()
    test = make_test(task, 400)
    taken = {prompt for problems in test.values() for prompt, _ in problems}
    rows = make_rows(task, mixture, ROWS, seed, taken)
    measure = ExactMatch(tokenizer, test)
    tokens = round(TOKENS * (1 + method.extra))
    kwargs = dict(method.kwargs)
    if method.curriculum == "order":
        kwargs["total_draws"] = round(tokens / np.mean([len(r["prompt"] + r["completion"]) + 1 for r in rows]))
    with tempfile.TemporaryDirectory() as output_dir:
        trainer = CurriculumSFTTrainer(
            make_model(seed),
            CurriculumSFTConfig(
                output_dir=output_dir,
                seed=seed,
                max_tokens=tokens,
                per_device_train_batch_size=BATCH,
                learning_rate=3e-3,
                weight_decay=0.01,
                adam_beta1=0.9,
                adam_beta2=0.98,
                warmup_steps=0.05,
                lr_scheduler_type="cosine",
                max_grad_norm=1.0,
                arms="kind",
                difficulty_column="difficulty",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            curriculum=control(method.curriculum, kwargs)
            if method.curriculum in ("placebo", "oracle")
            else {method.curriculum: kwargs},
        )
        trainer.train()
        history = trainer.history()
    right = measure(trainer.model)
    kind = np.array([KINDS.index(rows[row]["kind"]) for row in history["row"]])
    sixth = history["step"].to_numpy() * SIXTHS // (history["step"].max() + 1)
    spent = np.zeros((SIXTHS, len(KINDS)), int)
    np.add.at(spent, (sixth, kind), 1)
    result = {
        "task": task,
        "mixture": mixture,
        "method": name,
        "seed": seed,
        "right": right,
        "macro": float(np.mean(list(right.values()))),
        "tokens": trainer.budget.tokens,
        "probe_tokens": trainer.probe.tokens,
        "steps": int(history["step"].max()) + 1,
        "spent": spent.tolist(),  # rows of each kind in each sixth of the training
    }
    write_json(Path(file), result)
    shown = " ".join(f"{skill} {value:.2f}" for skill, value in right.items())
    return f"{task}/{mixture} {name:20} seed {seed}: {result['macro']:.3f} ({shown})"


def run_all(keys: list[tuple[str, str, str, int]], jobs: int, folder: Path) -> list[dict]:
    """Makes the missing runs; returns all that were asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {key: folder / f"{'-'.join(map(str, key))}.json" for key in keys}
    missing = [key for key, file in files.items() if not file.exists()]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run, *key, str(files[key])) for key in missing]
        for i, future in enumerate(as_completed(futures)):
            print(f"[{i + 1}/{len(futures)}]", future.result(), flush=True)
    return [json.loads(file.read_text()) for file in files.values()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one core each")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "mixture", help="where finished runs are kept")
    parser.add_argument("--out", type=Path, help="where the report goes; default: docs/results/mixture if all was run")
    args = parser.parse_args()
    # One thread a run, or two runs at once slow each other down; nothing here is on a hub.
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    keys = []
    for world, known in WORLDS.items():
        keys += [(*world, m, s) for s in args.seeds for m in args.methods if m in known]
        if world in (("letters", "balanced"), ("rotated", "balanced")) and tuple(args.seeds) == SEEDS:
            keys += [(*world, m, s) for s in MORE_SEEDS for m in args.methods if m in COMPARED]
    results = run_all(keys, args.jobs, args.runs)
    whole = set(args.methods) == set(METHODS) and tuple(args.seeds) == SEEDS
    out = args.out or (ROOT / "docs" / "results" / "mixture" if whole else None)
    print(write_report(out, results, METHODS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
