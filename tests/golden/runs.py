"""
Golden runs of the tiny model: what each drew, what it trained on, and where its weights ended.

    git worktree add --detach /elsewhere PINNED
    PYTHONPATH=/elsewhere python /elsewhere/tests/golden/runs.py /tmp/then
    PYTHONPATH=$PWD python tests/golden/runs.py /tmp/now
    python tests/golden/runs.py --compare /tmp/then /tmp/now    # all of this: make golden PINNED=<commit>

Weights are compared bit for bit, so only with those of the same machine; draws depend on it less, and are committed in
draws.json. To replace them on purpose, run all cases and copy the file. Options are spelled in `CASES` only.
"""

import os


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

import trl_curriculum
from trl_curriculum import (
    CurriculumGRPOConfig,
    CurriculumGRPOTrainer,
    CurriculumSFTConfig,
    CurriculumSFTTrainer,
    read_history,
)
from trl_curriculum.generators import Candidate, FileGenerator, load, save
from trl_curriculum.rounds import Evolve, Job


ROOT = Path(__file__).parents[2]
Drawn = dict[str, list[Any]]
Weights = dict[str, torch.Tensor]

COMMON: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "learning_rate": 1e-2,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
}
SFT: dict[str, Any] = COMMON | {"per_device_train_batch_size": 4}
# Two prompts of four rollouts a step, four in a generation window of two steps.
GRPO: dict[str, Any] = COMMON | {
    "per_device_train_batch_size": 8,
    "steps_per_generation": 2,
    "gradient_accumulation_steps": 1,
    "num_generations": 4,
    "max_completion_length": 8,
}
EVOLVE: dict[str, Any] = {"rounds": 2, "candidates": 40, "near_duplicates": 1.0, "max_answer_tokens": 4}

CASES: dict[str, dict[str, Any]] = {
    "sec": {
        "by": "grpo",
        "args": GRPO | {"curriculum": {"sec": {"tau": 0.3}}, "arms": "arm", "max_steps": 8},
    },
    "sec_estimated": {
        "by": "grpo",
        "args": GRPO
        | {
            "curriculum": {"sec": {"tau": 0.3}},
            "arms": {"success_rate": {"bins": 3, "every": 1}},
            "max_steps": 8,
        },
    },
    "dump": {
        "by": "grpo",
        "args": GRPO | {"curriculum": "dump", "arms": ["level", "kind"], "max_steps": 8},
    },
    "uniform": {"by": "grpo", "args": GRPO | {"curriculum": "uniform", "max_steps": 4}},
    "edco": {
        "by": "grpo",
        "rows": 16,
        "peaked": True,
        "args": GRPO
        | {
            "curriculum": {"edco": {"rounds": 3, "top_n": 4}},
            "probe": {"prefix_entropy": {"length": 3, "quick_answer": None, "back_end": "transformers"}},
            "max_steps": 6,
        },
    },
    "edco_uncertain": {
        "by": "sft",
        "rows": 80,
        "peaked": True,
        "args": SFT
        | {
            "curriculum": {"edco": {"rounds": 3, "top_n": 6, "reprobe": "uncertain"}},
            "probe": {"prefix_entropy": {"length": 3, "quick_answer": None}},
            "arms": "arm",
            "max_steps": 6,
        },
    },
    "uniform_sft": {"by": "sft", "args": SFT | {"curriculum": "uniform", "max_steps": 12}},  # into the second epoch
    "evo_curate": {
        "by": "sft",
        "args": SFT
        | {
            "curriculum": {"evo_curate": {"refresh_steps": 2, "kappa": 0.3, "variability": "std"}},
            "packing": True,
            "max_length": 32,
            "per_device_train_batch_size": 2,
            "max_steps": 12,
        },
    },
    "evo_curate_probe": {
        "by": "sft",
        "args": SFT
        | {
            "curriculum": {
                "evo_curate": {
                    "measure": "probe",
                    "probe_share": 0.5,
                    "refresh_steps": 3,
                    "variability": "progress",
                    "diversity": 0.2,
                    "replacement": False,
                }
            },
            "arms": "arm",
            "padding_free": True,
            "max_length": None,
            "max_steps": 9,
        },
    },
    "mixture": {
        "by": "grpo",
        "args": GRPO
        | {
            "curriculum": {"mixture": {"weights": {"a": 4, "b": 2, "c": 1, "d": 1}}},
            "arms": "arm",
            "max_steps": 4,
        },
    },
    "ucb1": {
        "by": "grpo",
        "args": GRPO | {"curriculum": {"ucb1": {"round_batches": 1}}, "arms": "arm", "max_steps": 12},
    },
    "order": {
        "by": "sft",
        "args": SFT
        | {
            "curriculum": {"order": {"mode": "interleaved"}},
            "arms": "arm",
            "difficulty_column": "index",
            "max_steps": 6,
        },
    },
    "baby_steps": {
        "by": "sft",
        "args": SFT | {"curriculum": {"baby_steps": {"stages": 3, "difficulty": "probe"}}, "max_steps": 12},
    },
    "competence": {
        "by": "sft",
        "args": SFT
        | {
            "curriculum": {"competence": {"initial": 0.1}},
            "difficulty_column": "index",
            "max_steps": 8,
        },
    },
    "self_paced": {
        "by": "sft",
        "args": SFT | {"curriculum": {"self_paced": {"refresh_steps": 2}}, "max_steps": 14},
    },
    "loss_top_k": {
        "by": "sft",
        "args": SFT
        | {
            "curriculum": {"loss_top_k": {"share": 0.3, "measure": "probe", "refresh_steps": 2}},
            "max_steps": 6,
        },
    },
    "data_maps": {
        "by": "sft",
        "rows": 12,
        "args": SFT | {"curriculum": {"data_maps": {"refresh_steps": 2}}, "max_steps": 12},
    },
    "cyclical": {
        "by": "sft",
        "rows": 12,
        "args": SFT | {"curriculum": {"cyclical": {"start": 0.5}}, "max_steps": 12},
    },
    "evolve": {
        "by": "evolve",
        "settings": EVOLVE,
        "selection": {"selection": "evoselect", "keep": 0.3, "features": {"dimension": 128}},
        "proxy": {"steps": 2},
        "args": SFT | {"curriculum": "uniform", "max_steps": 3},
    },
    "evolve_by_grpo": {
        "by": "evolve",
        "settings": EVOLVE,
        "selection": {"selection": {"tsds": {"sigma": 0.6}}, "keep": 0.3, "features": {"dimension": 64}},
        "proxy": {"steps": 2, "adam": True},
        "args": GRPO | {"curriculum": "uniform", "max_steps": 3, "num_generations": 2},
        "rewarded": True,
    },
}


def run(case: str, folder: Path) -> tuple[Drawn, Weights]:
    """What a case drew and trained on, and its last weights."""
    return (evolve if CASES[case]["by"] == "evolve" else train)(folder, **CASES[case])


def train(folder: Path, by: str, args: dict[str, Any], rows: int = 40, peaked: bool = False) -> tuple[Drawn, Weights]:
    model = tiny.model()
    if peaked:  # prefers some tokens by far, which others it is being asked about
        with torch.no_grad():
            model.lm_head.weight *= 30.0
    given: list[list[int]] = []
    model.register_forward_pre_hook(lambda module, _, batch: look(module, batch, given, by), with_kwargs=True)
    trainer: Any
    if by == "grpo":
        trainer = CurriculumGRPOTrainer(
            model=model,
            reward_funcs=tiny.reward,
            args=CurriculumGRPOConfig(str(folder), **args),
            train_dataset=tiny.dataset(rows),
            processing_class=tiny.tokenizer(),
        )
    else:
        trainer = CurriculumSFTTrainer(
            model=model,
            args=CurriculumSFTConfig(str(folder), **args),
            train_dataset=tiny.sft_dataset(rows),
            processing_class=tiny.tokenizer(),
        )
    trainer.train()
    return drawn(trainer.history()) | {"given": given}, trainer.model.state_dict()


def drawn(history: Any) -> Drawn:
    """Rows and their probabilities, in the order of training."""
    probability = [None if np.isnan(p) else float(f"{p:.6g}") for p in history["probability"]]
    return {"rows": history["row"].tolist(), "draws": history["draw"].tolist(), "probability": probability}


def look(module: Any, batch: dict[str, Any], given: list[list[int]], by: str) -> None:
    """Notes which rows a training forward is given, by the numbers that their prompts begin with."""
    if not (module.training and torch.is_grad_enabled()):
        return
    texts = ["".join(tiny.LETTERS[i - 3] for i in row if i >= 3) for row in batch["input_ids"].tolist()]
    prompts = [re.findall(r"(\d+):[a-f]+#", text) for text in texts]
    if by == "grpo":  # what a rollout wrote may look like a prompt
        prompts = [found[:1] for found in prompts]
    given.append([int(number) for found in prompts for number in found])


def evolve(folder: Path, **case: Any) -> tuple[Drawn, Weights]:
    """Questions that each round selected, rows that it trained on, and the last round's adapter."""
    examples = [Candidate(f"{i}:{'abcdef'[i % 6] * 3}#", "gh" * (1 + i % 3), source="ab"[i % 2]) for i in range(12)]
    test = [Candidate(f"{i}:{'abcdef'[i % 6] * 4}#", "gh" * (1 + i % 3), source="ab"[i % 2]) for i in range(6)]
    pool = [
        Candidate(
            f"{i}{i % 7}:{'abcdef'[i % 6]}{'fedcba'[i % 5]}{'bcd'[i % 3]}#",
            "ghij"[i % 4] * (1 + i % 3),
            source="xyz"[i % 3],
            answer="g",
        )
        for i in range(40)
    ]
    save(pool, folder / "pool.jsonl")
    method = Evolve(**case["settings"], **case["selection"], proxy=case["proxy"])
    args = (CurriculumGRPOConfig if case.get("rewarded") else CurriculumSFTConfig)(str(folder / "run"), **case["args"])
    job = Job(
        tiny.saved_model(folder / "tiny"),
        args,
        LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
        examples,
        test,
        FileGenerator(folder / "pool.jsonl"),
        reward_funcs=[early_letters] if case.get("rewarded") else [],
    )
    method.run(job)
    rounds = [folder / "run" / f"round-{k}" for k in range(method.rounds)]
    selected = [[one.question for one in load(each / "selection" / "selected.parquet")] for each in rounds]
    shown = {"selected": selected, "rows": [read_history(each / "adapter")["row"].tolist() for each in rounds]}
    return shown, load_file(rounds[-1] / "adapter" / "adapter_model.safetensors")


def early_letters(completions: list[str], answer: list[str], **kwargs: Any) -> list[float]:
    return [sum(letter < own for letter in text) / 8 for text, own in zip(completions, answer, strict=True)]


def differences(a: Drawn, b: Drawn, tolerance: float = 0.0) -> list[str]:
    """What differs between two runs' draws; only probabilities may, by a share of them."""
    different = []
    for name in sorted(a.keys() | b.keys()):
        x, y = a.get(name), b.get(name)
        if name == "probability" and x is not None and y is not None and len(x) == len(y):
            p, q = np.array(x, float), np.array(y, float)  # NaN where a method has none
            if not np.allclose(p, q, rtol=tolerance, atol=0, equal_nan=True):
                different.append(name)
        elif x != y:
            different.append(name)
    return different


def compare(a: Path, b: Path, tolerance: float) -> bool:
    """Prints one line a case; returns whether all are the same."""
    draws = [json.loads((folder / "draws.json").read_text()) for folder in (a, b)]
    same = True
    for case in dict.fromkeys([*draws[0], *draws[1]]):
        if not all(case in each for each in draws):
            found = ["only in " + str(a if case in draws[0] else b)]
        else:
            found = differences(draws[0][case], draws[1][case], tolerance)
            found += apart(*(load_file(folder / f"{case}.safetensors") for folder in (a, b)), tolerance)
        print(f"{case:<18}{'same' if not found else 'DIFFERENT: ' + ', '.join(found)}")
        same &= not found
    return same


def apart(a: Weights, b: Weights, tolerance: float) -> list[str]:
    """Where two runs' weights differ; within a tolerance above 0 only by more than that."""
    if {name: (x.dtype, x.shape) for name, x in a.items()} != {name: (x.dtype, x.shape) for name, x in b.items()}:
        return ["names, types or shapes of weights"]
    largest = max((x.double() - b[name].double()).abs().max().item() for name, x in a.items())
    equal = all(torch.equal(x, b[name]) for name, x in a.items()) if tolerance == 0 else largest <= tolerance
    return [] if equal else [f"weights by up to {largest:.1e}"]


def write_draws(file: Path, draws: dict[str, Drawn]) -> None:
    cases = [
        f"{json.dumps(case)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in shown.items())
        + "\n}"
        for case, shown in draws.items()
    ]
    file.write_text("{\n" + ",\n".join(cases) + "\n}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the golden cases, or compares two folders of them.")
    parser.add_argument("folder", type=Path, nargs="?", help="where draws.json and the weights are written")
    parser.add_argument("--only", choices=CASES, action="append", help="run this case; can be repeated")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="compare two such folders")
    parser.add_argument("--tolerance", type=float, default=0.0, help="of weights, and relative of probabilities")
    options = parser.parse_args()
    if options.compare:
        return 0 if compare(*options.compare, options.tolerance) else 1
    if options.folder is None:
        parser.error("give a folder, or --compare two")
    if ROOT not in Path(str(trl_curriculum.__file__)).resolve().parents:
        parser.error(f"trl_curriculum is that of {trl_curriculum.__file__}: run with PYTHONPATH={ROOT}")
    options.folder.mkdir(parents=True, exist_ok=True)
    draws = {}
    for case in options.only or CASES:
        with tempfile.TemporaryDirectory() as folder:
            draws[case], weights = run(case, Path(folder))
        save_file({name: x.detach().clone() for name, x in weights.items()}, options.folder / f"{case}.safetensors")
    write_draws(options.folder / "draws.json", draws)
    return 0


if __name__ == "__main__":
    sys.exit(main())
