"""What a curriculum does, in one command: SmolLM2-135M learns twelve arms of reasoning-gym, under SEC and uniform.

    python recipes/demo.py

Seven of the arms are out of the model's reach: rollouts there teach nothing, and SEC finds that out from the
advantages alone. Both runs start from the same warmed-up model and get the same number of rollouts. Every number that
is printed is computed in this run. It is one run of each: `evals/learning/smollm2.py` compares several seeds.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path


os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait busily take the cores of a shared machine

import matplotlib
import numpy as np
import pandas as pd
import torch
from datasets import Dataset, concatenate_datasets, disable_progress_bars
from peft import LoraConfig
from rich.console import Console
from rich.table import Table
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer
from trl_curriculum.data.smollm2 import smollm2
from trl_curriculum.lm.cpu import contiguous_head
from trl_curriculum.recipes.demo_pool import ARMS, problems
from trl_curriculum.rewards import reasoning_gym_accuracy


HELD_OUT, SAMPLES = 32, 4  # problems an arm and sampled answers a problem: what accuracy is measured on
WARM_UP_STEPS = 28
PROMPTS, ROLLOUTS, NEW_TOKENS = 8, 8, 6  # a GRPO step; SmolLM2 writes a number digit by digit
RUNS = {"sec": {"alpha": 0.3, "tau": 0.2}, "uniform": {}}
LORA = {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"]}
QUIET = {"save_strategy": "no", "logging_strategy": "no", "report_to": "none"}
CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, **QUIET}

console = Console(width=110)


def load(folder: Path) -> PreTrainedModel:
    """The model in the number format that this machine multiplies faster: frozen weights lose nothing in bfloat16."""

    def seconds(dtype: torch.dtype) -> float:
        matrix = torch.ones(1024, 1024, dtype=dtype)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - start)
        return min(times)

    dtype = min((torch.float32, torch.bfloat16), key=seconds)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    contiguous_head(model)
    return model


def warm_up(train: Dataset, tokenizer: PreTrainedTokenizerBase, folder: Path, seed: int) -> PreTrainedModel:
    """Teaches the form of an answer (just the answer, then stop) by a minute of SFT, and saves the merged model."""
    answers = [{"completion": answer} for answer in train["answer"]]
    examples = concatenate_datasets([train.select_columns("prompt"), Dataset.from_list(answers)], axis=1)
    args = SFTConfig(
        str(folder / "warm_up"),
        max_steps=WARM_UP_STEPS,
        per_device_train_batch_size=16,
        learning_rate=1e-3,
        seed=seed,
        **CPU,
    )
    examples = examples.shuffle(seed=seed).select(range(WARM_UP_STEPS * 16))
    trainer = SFTTrainer(
        load(smollm2()), args, train_dataset=examples, processing_class=tokenizer, peft_config=LoraConfig(**LORA)
    )
    trainer.train()
    model = trainer.model.merge_and_unload()
    model.save_pretrained(folder / "base")
    return model


def learn(
    curriculum: str, train: Dataset, tokenizer: PreTrainedTokenizerBase, folder: Path, steps: int, seed: int
) -> tuple[PreTrainedModel, pd.DataFrame]:
    """GRPO from the warmed-up model; returns the model and where its rollouts went."""
    args = CurriculumGRPOConfig(
        str(folder / curriculum),
        curriculum={curriculum: RUNS[curriculum]},
        arms="arm",
        overwrite_output_dir=True,  # a second demo begins anew
        max_steps=steps,
        per_device_train_batch_size=PROMPTS * ROLLOUTS,
        num_generations=ROLLOUTS,
        max_completion_length=NEW_TOKENS,
        learning_rate=5e-4,
        lr_scheduler_type="constant",
        seed=seed,
        **CPU,
    )
    trainer = CurriculumGRPOTrainer(
        load(folder / "base"),
        reasoning_gym_accuracy,
        args,
        train,
        processing_class=tokenizer,
        peft_config=LoraConfig(**LORA),
    )
    trainer.train()
    return trainer.model, trainer.history()


@torch.no_grad()
def accuracy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, held_out: Dataset, seed: int) -> np.ndarray:
    """Share of right answers per held-out problem, of answers sampled at temperature 1, as in training."""
    model.eval()
    torch.manual_seed(seed)
    right = []
    for batch in tqdm(held_out.iter(32), total=-(-len(held_out) // 32), desc="evaluating"):
        tokens = tokenizer(batch["prompt"], return_tensors="pt", padding=True, padding_side="left")
        output = model.generate(
            **tokens, max_new_tokens=NEW_TOKENS, do_sample=True, top_k=0, num_return_sequences=SAMPLES
        )
        answers = tokenizer.batch_decode(output[:, tokens["input_ids"].shape[1] :], skip_special_tokens=True)
        columns = {name: np.repeat(batch[name], SAMPLES).tolist() for name in ("family", "entry")}
        right += reasoning_gym_accuracy(answers, **columns)
    return np.reshape(right, (-1, SAMPLES)).mean(axis=1)


def rise(after: np.ndarray, before: np.ndarray, seed: int, resamples: int = 10_000) -> dict[str, float]:
    """Mean difference over problems and its 95 % bootstrap interval, paired: a resample takes both of a problem."""
    difference = after - before
    picks = np.random.default_rng(seed).integers(len(difference), size=(resamples, len(difference)))
    low, high = np.quantile(difference[picks].mean(axis=1), [0.025, 0.975])
    return {"mean": float(difference.mean()), "low": float(low), "high": float(high)}


def accuracy_tables(scores: dict[str, np.ndarray], rises: dict[str, dict[str, float]], arm: np.ndarray) -> list[Table]:
    table = Table(title=f"Accuracy on {HELD_OUT} held-out problems an arm ({SAMPLES} answers each at temperature 1)")
    for column in ("arm", *scores):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for name in ARMS:
        table.add_row(name, *(f"{score[arm == name].mean():.3f}" for score in scores.values()))
    table.add_section()
    table.add_row("all", *(f"{score.mean():.3f}" for score in scores.values()))

    summary = Table(title="Over all arms, with paired 95 % bootstrap intervals over problems")
    for column in ("", "difference", "95 % interval"):
        summary.add_column(column, justify="left" if not column else "right")
    for name, value in rises.items():
        summary.add_row(name, f"{value['mean']:+.3f}", f"[{value['low']:+.3f}, {value['high']:+.3f}]")
    return [table, summary]


def rollouts(histories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Per curriculum and arm: share of the prompts, mean |advantage|, share of groups whose rewards were all equal."""
    parts = []
    for curriculum, history in histories.items():
        arms = history.groupby("arm")
        part = arms.agg(advantage=("advantage", "mean"), zero_variance=("zero_variance", "mean"))
        part.insert(0, "prompts", arms.size() / len(history))
        total = [1.0, history["advantage"].mean(), history["zero_variance"].mean()]
        part.loc["all"] = total
        parts.append(part.reindex([*ARMS, "all"]).assign(curriculum=curriculum))
    return pd.concat(parts).rename_axis("arm").reset_index()


def rollout_table(frame: pd.DataFrame) -> Table:
    table = Table(title=f"Where the rollouts went ({ROLLOUTS} a prompt)")
    measures = {"prompts": "prompts", "advantage": "mean |advantage|", "zero_variance": "zero-variance groups"}
    table.add_column("arm")
    for label in measures.values():
        for curriculum in RUNS:
            table.add_column(f"{label}, {curriculum}", justify="right")
    for arm in [*ARMS, "all"]:
        if arm == "all":
            table.add_section()
        rows = frame[frame["arm"] == arm].set_index("curriculum")
        cells = (rows.loc[curriculum, measure] for measure in measures for curriculum in RUNS)
        table.add_row(arm, *("-" if np.isnan(cell) else f"{cell:.2f}" for cell in cells))
    return table


def in_words(frame: pd.DataFrame, difference: dict[str, float]) -> str:
    """What this run shows and what it cannot show."""
    useful = 1 - frame[frame["arm"] == "all"].set_index("curriculum")["zero_variance"]
    return (
        f"Groups with a gradient: {useful['sec']:.0%} of SEC's, {useful['uniform']:.0%} of uniform's. SEC minus "
        f"uniform is {difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}].\n"
        "The intervals cover the held-out problems and not the seeds: one run of each shows where rollouts go, "
        "and not which curriculum is better. `trl-curriculum compare` answers that, with several seeds and a placebo."
    )


def plot(scores: dict[str, np.ndarray], arm: np.ndarray, histories: dict[str, pd.DataFrame], file: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(15, 4), width_ratios=[2, 1, 1], layout="constrained")
    for i, (name, score) in enumerate(scores.items()):
        axes[0].bar(np.arange(len(ARMS)) + 0.27 * (i - 1), [score[arm == a].mean() for a in ARMS], 0.25, label=name)
    axes[0].set(xticks=range(len(ARMS)), ylim=(0, 1), title="accuracy on held-out problems")
    axes[0].set_xticklabels(ARMS, rotation=45, ha="right")
    axes[0].legend()
    for axis, (curriculum, history) in zip(axes[1:], histories.items(), strict=True):
        share = pd.crosstab(history["step"], history["arm"], normalize="index")
        share = share.reindex(columns=list(ARMS), fill_value=0).rolling(5, min_periods=1).mean()
        axis.stackplot(share.index, share.to_numpy().T, labels=share.columns, colors=plt.get_cmap("tab20").colors)
        axis.set(xlabel="step (mean of 5)", ylim=(0, 1), title=f"share of rollouts, {curriculum}")
        axis.margins(x=0)
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, dpi=120)


def main(steps: int, output_dir: Path, seed: int) -> None:
    start = time.perf_counter()
    torch.set_flush_denormal(True)  # the tails of sharp softmaxes are denormal numbers, which are slow on a CPU
    transformers_logging.set_verbosity_error()
    disable_progress_bars()
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated")  # TRL asks at every step
    console.print(
        f"[bold]SmolLM2-135M on {len(ARMS)} arms of reasoning-gym, about 10 minutes on two CPU cores.[/bold]\n"
        f"1. warm-up: {WARM_UP_STEPS} steps of SFT on the form of an answer\n"
        f"2. GRPO with LoRA under curriculum 'sec': {steps} steps of {PROMPTS} prompts x {ROLLOUTS} rollouts\n"
        f"3. the same from the same start under 'uniform'\n"
        f"4. accuracy before and after on {HELD_OUT} held-out problems an arm, with paired intervals"
    )
    output_dir.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(smollm2())
    train, held_out = problems(seed, ARMS, HELD_OUT)
    scores, histories = {}, {}

    console.rule("warm-up")
    scores["before"] = accuracy(warm_up(train, tokenizer, output_dir, seed), tokenizer, held_out, seed)
    for curriculum in RUNS:
        console.rule(f"GRPO under {curriculum}")
        model, histories[curriculum] = learn(curriculum, train, tokenizer, output_dir, steps, seed)
        scores[curriculum] = accuracy(model, tokenizer, held_out, seed)

    arm = np.array(held_out["arm"])
    rises = {
        "rise under SEC": rise(scores["sec"], scores["before"], seed),
        "rise under uniform": rise(scores["uniform"], scores["before"], seed),
        "SEC minus uniform": rise(scores["sec"], scores["uniform"], seed),
    }
    frame = rollouts(histories)
    console.rule("results")
    for table in (*accuracy_tables(scores, rises, arm), rollout_table(frame)):
        console.print(table)
    console.print(in_words(frame, rises["SEC minus uniform"]), markup=False)

    minutes = (time.perf_counter() - start) / 60
    results = {
        "seed": seed,
        "steps": steps,
        "minutes": minutes,
        "accuracy": {name: {a: float(score[arm == a].mean()) for a in ARMS} for name, score in scores.items()},
        "differences": rises,
        "rollouts": frame.to_dict("records"),
    }
    (output_dir / "results.json").write_text(json.dumps(results, indent=2))
    plot(scores, arm, histories, output_dir / "results.png")
    console.print(f"{minutes:.1f} minutes; results.json and results.png are in {output_dir}", markup=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=20, help="GRPO steps of each run")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/demo"))
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
