"""Do curricula help where the answer is known? Every method on the sorting ladder, against uniform and a placebo.

    python evals/learning/ladder.py             # all methods, 5 seeds; about half a minute of one core a run
    python evals/learning/ladder.py --smoke     # 3 seeds x 80 steps, uniform and SEC; fails when the effect is gone

Each (method, seed) is one JSON in `runs/ladder/`, written when it is finished; a run that is there is not made again,
so an interrupted experiment continues. The tables and the figure go to `docs/results/ladder/`.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ladder_report import smoke_verdict, write_report
from ladder_task import ARMS, EOS, ExactPass, auc, hard, make_base, make_rows, make_tokenizer


ROOT = Path(__file__).resolve().parents[2]
PROMPTS, ROLLOUTS, EVERY = 8, 8, 20  # a step, a prompt, steps between two measurements
WARM_UP_SEED = 20261


@dataclass(frozen=True)
class Method:
    """One line of the table: a curriculum and the pool that it draws from."""

    title: str
    curriculum: str
    kwargs: dict = field(default_factory=dict)
    baseline: str = "uniform"  # what it is compared with: uniform on the same pool
    rows_per_arm: int = 0  # 0: so many that no row comes twice, as if prompts were generated on the fly
    labels: bool | None = True  # whether the curriculum may see the arms; `None`: it estimates arms of its own
    coin: bool = False  # whether one impossible arm pays by a coin flip
    rollouts: tuple[str, ...] = ()  # methods of making rollouts
    shaping: Callable[[int], Any] | None = None  # shapers for a seed; then entropies and pass@8 are kept as well


FLIP, FINITE = {"baseline": "coin_uniform", "coin": True}, {"baseline": "finite_uniform", "rows_per_arm": 40}
SHARP = {"alpha": 0.5, "tau": 0.2}
ESTIMATED = {"success_rate": {"bins": 5, "every": 5}}
METHODS = {
    "uniform": Method("uniform", "uniform"),
    "sec": Method("SEC, tau .2", "sec", SHARP),
    "placebo": Method("placebo: SEC, Q shuffled over arms", "placebo", SHARP),
    "oracle": Method("oracle: arm nearest p = 1/2", "oracle"),
    "easy_to_hard": Method("easy to hard", "order", {"mode": "easy_to_hard"}),
    "dump": Method("DUMP", "dump"),
    "sec_paper": Method("SEC, tau 1 (the paper's)", "sec", {"alpha": 0.5, "tau": 1.0}),
    "coin_uniform": Method("coin flip: uniform", "uniform", **FLIP),
    "coin_sec": Method("coin flip: SEC, tau .2", "sec", SHARP, **FLIP),
    "finite_uniform": Method("480 rows: uniform", "uniform", **FINITE),
    "finite_estimated": Method(
        "480 rows: SEC, tau .2, arms estimated",
        "sec",
        SHARP,
        labels=None,
        **FINITE,
    ),
    "finite_estimated_uniform": Method(
        "480 rows: SEC, tau .2, arms estimated, prior uniform",
        "sec",
        SHARP | {"prior": "uniform"},
        labels=None,
        **FINITE,
    ),
    "finite_sec": Method("480 rows: SEC, tau .2, arms given", "sec", SHARP, **FINITE),
}
HIDDEN = {"baseline": "hidden_uniform", "rows_per_arm": 40, "labels": False}
LABELS_HIDDEN = {  # of evals/learning/hidden_labels.py
    "hidden_uniform": Method("uniform", "uniform", **HIDDEN),
    "hidden_placebo": Method("MoPPS's placebo", "placebo_of_mopps", **HIDDEN),
    "hidden_estimated": Method("SEC, tau .2, arms estimated", "sec", SHARP, **HIDDEN | {"labels": None}),
    "hidden_mopps": Method("MoPPS", "mopps", **HIDDEN),
    "hidden_lilo": Method("LILO", "lilo", **HIDDEN),
    "hidden_greso": Method("GRESO", "greso", **HIDDEN),
    "hidden_cures": Method("CurES", "cures", **HIDDEN),
    "hidden_lze": Method("LZE", "lze", **HIDDEN),
    "hidden_refill": Method("refill", "uniform", **HIDDEN, rollouts=("refill",)),
    "hidden_refill_mopps": Method("refill + MoPPS", "mopps", **HIDDEN, rollouts=("refill",)),
    "hidden_sec": Method("SEC, tau .2, labels given", "sec", SHARP, **HIDDEN | {"labels": True}),
}


def control(name: str, options: dict[str, Any]) -> Any:
    """A curriculum that exists only to be compared with; made late, so that the report needs no trainer."""
    from trl_curriculum.curricula import SEC, ArmCurriculum

    class Placebo(SEC):
        """SEC whose beliefs are shuffled over the arms at each draw: as uneven as SEC, and as blind as uniform."""

    class PlaceboCurriculum(ArmCurriculum, of=Placebo):
        def _pick(self, n):
            if self.drawn == 0:
                self.shuffler = np.random.default_rng([self.seed, 1])
            self.shuffled = self.shuffler.permutation(len(self.arm_names))
            return super()._pick(n)

        def probabilities(self):
            return super().probabilities()[getattr(self, "shuffled", slice(None))]

    class Oracle(SEC):
        """Always the arm whose exact pass@1, which no real method knows, was last measured nearest to one half."""

    class OracleCurriculum(ArmCurriculum, of=Oracle):
        passed: dict[str, float]

        def probabilities(self):
            distance = [abs(self.passed[arm] - 0.5) for arm in self.arm_names]
            return np.eye(len(distance))[int(np.argmin(distance))]

    return {"placebo": Placebo, "oracle": Oracle}[name](**options)


def curriculum(name: str, options: dict[str, Any]) -> Any:
    """What a trainer is given as its curriculum."""
    if name in ("placebo", "oracle"):
        return control(name, options)
    return {"placebo": {"of": name.removeprefix("placebo_of_")}} if "_of_" in name else {name: options}


def run(name: str, method: Method, seed: int, steps: int, base: str, file: str) -> str:
    """Trains one method with one seed and writes what was measured."""
    from datasets import Dataset
    from transformers import LlamaForCausalLM, PrinterCallback, TrainerCallback

    from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer
    from trl_curriculum.disk.state import write_json

    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)  # the trainer's, once a step
    tokenizer = make_tokenizer()
    rows = make_rows(ARMS, method.rows_per_arm or steps * PROMPTS, [seed, 3])
    measure, curve, coin = ExactPass(tokenizer), {}, np.random.default_rng([seed, 2])
    more: dict[int, dict[str, float]] = {}  # pass@8

    def exact(completion_ids, answer, arm, **_):
        right = [list(ids) == tokenizer(a + EOS).input_ids for ids, a in zip(completion_ids, answer, strict=True)]
        flip = [method.coin and a == "hash5" for a in arm]
        return [float(coin.random() < 0.5) if f else float(r) for r, f in zip(right, flip, strict=True)]

    class Measure(TrainerCallback):
        def on_train_begin(self, args, state, control, model=None, **_):
            if state.global_step % EVERY == 0:
                curve[state.global_step] = trainer.curriculum.passed = measure(model)  # only the oracle reads it
                if method.shaping is not None:
                    more[state.global_step] = measure(model, k=8)

        on_step_end = on_train_begin

    kwargs = method.kwargs | ({"total_draws": steps * PROMPTS} if method.curriculum == "order" else {})
    with tempfile.TemporaryDirectory() as output_dir:
        args = CurriculumGRPOConfig(
            output_dir=output_dir,
            seed=seed,
            max_steps=steps,
            per_device_train_batch_size=PROMPTS * ROLLOUTS,
            num_generations=ROLLOUTS,
            max_completion_length=20,
            learning_rate=3e-4,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            beta=0.0,
            temperature=1.0,
            loss_type="dapo",
            scale_rewards="group",
            arms={True: "arm", False: None, None: ESTIMATED}[method.labels],
            rollouts=list(method.rollouts) or None,
            difficulty_column="difficulty" if method.curriculum == "order" else None,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no" if method.shaping is None else "steps",
            logging_steps=1,
            disable_tqdm=True,
        )
        trainer = CurriculumGRPOTrainer(
            LlamaForCausalLM.from_pretrained(base),
            reward_funcs=[exact],
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[Measure()],
            curriculum=curriculum(method.curriculum, kwargs),
            shaping=None if method.shaping is None else method.shaping(seed),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        history = trainer.history()

    at = list(curve)
    heights = [hard(passed) for passed in curve.values()]
    arm = np.array([ARMS.index(rows[row]["arm"]) for row in history["row"]])
    spent = np.zeros((steps // EVERY, len(ARMS)), int)
    np.add.at(spent, (history["step"].to_numpy() // EVERY, arm), 1)
    step, group = history["step"].to_numpy(), history["length"].to_numpy() * ROLLOUTS
    result = {
        "method": name,
        "seed": seed,
        "steps": steps,
        "base": Path(base).name,
        "auc": auc(at, heights),
        "final": heights[-1],
        "disagree": float((history["advantage"] > 0).mean()),  # groups, hence rollouts, with non-zero advantage
        "at": at,
        "rollouts": [int(ROLLOUTS * (step < k).sum()) for k in at],  # made until then, discarded ones included
        "tokens": [float(group[step < k].sum()) for k in at],
        "pass": list(curve.values()),
        "spent": spent.tolist(),  # prompts per arm in each interval between two measurements
    }
    if method.shaping is not None:
        result["pass8"] = list(more.values())
        result["entropy"] = [entry["entropy"] for entry in trainer.state.log_history if "entropy" in entry]
    write_json(Path(file), result)
    return f"{name:17} seed {seed}: AUC {result['auc']:.3f}, final {result['final']:.3f}"


def run_all(methods, seeds, steps: int, jobs: int, folder: Path, known=None) -> tuple[list[dict], dict]:
    """
    Makes the missing runs of some methods, by name, seed by seed so that what an interruption leaves is balanced;
    returns all that exist.
    """
    known = METHODS | LABELS_HIDDEN if known is None else known
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    base, gate = make_base(folder, WARM_UP_SEED)
    files = {
        (m, s): folder / f"{m}-{s}-{steps}-{base.name}.json"
        for s in seeds
        for m in dict.fromkeys([*METHODS, *methods])
    }
    missing = [key for key, file in files.items() if key[0] in methods and not file.exists()]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run, m, known[m], s, steps, str(base), str(files[m, s])) for m, s in missing]
        for i, future in enumerate(as_completed(futures)):
            print(f"[{i + 1}/{len(futures)}]", future.result(), flush=True)
    return [json.loads(file.read_text()) for file in files.values() if file.exists()], gate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), help="what to run now; default: all"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102, 103, 104, 105])
    parser.add_argument("--steps", type=int, default=140, help=f"optimizer steps a run, a multiple of {EVERY}")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one core each")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "ladder", help="where finished runs are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "ladder", help="where the report goes")
    parser.add_argument("--smoke", action="store_true", help="3 seeds x 80 steps, uniform and SEC, always afresh")
    args = parser.parse_args()
    if args.steps % EVERY:
        parser.error(f"--steps {args.steps} is not a multiple of {EVERY}.")
    # One thread a run, or two runs at once slow each other down; nothing here is on a hub.
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if args.smoke:
        with tempfile.TemporaryDirectory() as folder:
            results, _ = run_all(["uniform", "sec"], [1, 2, 3], 80, args.jobs, Path(folder))
        return smoke_verdict(results)
    results, gate = run_all(args.methods, args.seeds, args.steps, args.jobs, args.runs)
    print(write_report(args.out, results, gate, METHODS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
