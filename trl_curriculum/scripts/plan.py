"""What a run is going to do, in words and numbers, before anything expensive happens."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from datasets import Dataset
from trl import ModelConfig

from ..curricula import CurriculumMethod
from ..data.columns import check_column
from ..pool import Pool
from ..probes import PrefixEntropy
from ..trainers import CurriculumGRPOConfig, CurriculumGRPOTrainer, CurriculumSFTConfig, CurriculumSFTTrainer
from ..trainers.checks import refuse_unmeasured, refuse_unseen
from ..trainers.grpo import GRPOHost
from ..trainers.sft import SFTHost


EvalDataset: TypeAlias = Dataset | dict[str, Dataset] | None


def grpo_plan(
    train_dataset: Dataset,
    eval_dataset: EvalDataset,
    reward_funcs: Sequence[str | Callable[..., Any]],
    args: CurriculumGRPOConfig,
    model_args: ModelConfig,
    num_processes: int | None = None,
) -> str:
    """
    Describe a curriculum GRPO run. Building the curriculum on the way finds the mistakes in its options.

    Args:
        train_dataset, eval_dataset, reward_funcs, args, model_args:
            As the script has them.
        num_processes (`int`, *optional*):
            Number of processes to plan for, by default those that are there.
    """
    lines = _what(train_dataset, eval_dataset, args, model_args, GRPOHost.shows, CurriculumGRPOTrainer)
    processes = num_processes or args.world_size
    micro_batch = args.per_device_train_batch_size * processes
    micro_steps: Any = args.steps_per_generation
    rollouts = micro_batch * micro_steps
    group: Any = args.num_generations
    prompts = rollouts // group
    per_generation = micro_steps * args.num_iterations / args.gradient_accumulation_steps
    if args.max_steps > 0:
        steps, generations = args.max_steps, math.ceil(args.max_steps / per_generation)
    else:
        per_epoch = max(1, int(max(1, len(train_dataset) // max(1, prompts)) * per_generation))
        steps = math.ceil(args.num_train_epochs * per_epoch)
        generations = math.ceil(steps / per_generation)
    lines |= {
        "rewards": ", ".join(f if isinstance(f, str) else f.__name__ for f in reward_funcs),
        "processes": f"{processes}, {args.per_device_train_batch_size} rollouts each per micro-batch",
        "generation": f"{prompts} prompts x {group} generations = {rollouts} rollouts of at most "
        f"{args.max_completion_length} tokens",
        "training": f"{per_generation:g} optimizer steps per generation, "
        f"{micro_batch * args.gradient_accumulation_steps} rollouts each",
        "run": f"{steps} optimizer steps, {generations} generations, {generations * rollouts} rollouts",
        "back end": f"vLLM, {args.vllm_mode}" if args.use_vllm else "transformers",
    }
    return _table(lines, args)


def sft_plan(
    train_dataset: Dataset,
    eval_dataset: EvalDataset,
    args: CurriculumSFTConfig,
    model_args: ModelConfig,
    num_processes: int | None = None,
) -> str:
    """
    Describe a curriculum SFT run. Tokens are not counted: that takes the model's tokenizer.

    Args:
        train_dataset, eval_dataset, args, model_args, num_processes:
            As in [`grpo_plan`].
    """
    lines = _what(train_dataset, eval_dataset, args, model_args, SFTHost.shows, CurriculumSFTTrainer)
    processes = num_processes or args.world_size
    batch = args.per_device_train_batch_size * processes * args.gradient_accumulation_steps
    longest = "of any length" if args.max_length is None else f"of at most {args.max_length} tokens"
    budget = "" if args.max_tokens is None else f"{args.max_tokens} tokens, by which the learning rate is scheduled"
    epochs = f"{args.num_train_epochs:g} epochs"
    if args.packing:
        tokens = args.per_device_train_batch_size * (args.max_length or 0)
        n_batches = batch // args.per_device_train_batch_size
        each = f"rows {longest}, packed into {n_batches} x {tokens} tokens"
        steps = f"{args.max_steps} optimizer steps" if args.max_steps > 0 else budget or epochs
    else:
        each = f"{batch} rows {longest}"
        per_epoch = math.floor if args.dataloader_drop_last else math.ceil
        n = (
            args.max_steps
            if args.max_steps > 0
            else math.ceil(args.num_train_epochs * max(1, per_epoch(len(train_dataset) / batch)))
        )
        steps = f"{n} optimizer steps, {n * batch} draws, {n * batch / len(train_dataset):.1f} for each row on average"
    if budget and args.max_steps > 0:
        budget = f"{budget}; at most {steps}"
    lines |= {
        "trained on": _trained_on(train_dataset, args),
        "processes": f"{processes}, gradient accumulation {args.gradient_accumulation_steps}",
        "step": each,
        "run": budget or steps,
    }
    return _table(lines, args)


def _what(
    train_dataset: Dataset,
    eval_dataset: EvalDataset,
    args: CurriculumGRPOConfig | CurriculumSFTConfig,
    model_args: ModelConfig,
    shows: tuple[str, ...],
    trainer: type[CurriculumGRPOTrainer] | type[CurriculumSFTTrainer],
) -> dict[str, str]:
    """The model, the rows and the curriculum, which is made here and must follow what the trainer shows."""
    method, pool = args.curriculum_method, Pool.from_dataset(train_dataset, args.arms, args.difficulty_column, False)
    refuse_unseen(method, shows, trainer.__name__)
    refuse_unmeasured(method, args)
    curriculum = method.bind(pool, args.seed)
    if (answers := getattr(args, "answer_column", None)) is not None:
        check_column(answers, train_dataset.column_names, "answer_column")
    options = ", ".join(f"{name}={value}" for name, value in method.options.items())
    named = args.arms or ["one"]
    source = " x ".join(named) if isinstance(named, list) else named if isinstance(named, str) else next(iter(named))
    arms = ", ".join(f"{name} ({size})" for name, size in zip(pool.arm_names, pool.arm_size, strict=True))
    held_out = {"all": eval_dataset} if isinstance(eval_dataset, Dataset) else eval_dataset or {}
    tested = ", ".join(f"{name} ({len(rows)})" for name, rows in held_out.items()) or "none"
    strategy = getattr(args.eval_strategy, "value", args.eval_strategy)
    evaluation = f"every {args.eval_steps:g} steps" if strategy == "steps" else strategy
    adapter = " with LoRA" if model_args.use_peft else ""
    bits = " in 4 bit" if model_args.load_in_4bit else " in 8 bit" if model_args.load_in_8bit else ""
    return {
        "model": f"{model_args.model_name_or_path}{bits}{adapter}",
        "rows": f"{pool.size} to train on, {sum(map(len, held_out.values()))} held out",
        "arms": f"{source}: {', '.join(curriculum.arm_names) if pool.estimated else arms}",
        "evaluation": f"{evaluation}: {tested}",
        "curriculum": f"{method.name} ({options})",
        "signal": f"{method.signal}; extra cost: {method.cost}",
        **_probe(method, pool.size, args),
    }


def _probe(method: CurriculumMethod, rows: int, args: CurriculumGRPOConfig | CurriculumSFTConfig) -> dict[str, str]:
    """What a curriculum that trains in rounds, or follows prefix entropies, has measured beforehand."""
    rounds = method.options.get("rounds")
    if method.probe is None or (rounds is None and method.probe != "prefix_entropy"):
        return {}
    often, times = ("each time ", 1) if rounds is None else (f"{rounds} rounds x ", rounds)
    which = "at most " if method.options.get("reprobe") == "uncertain" else ""
    if method.probe != "prefix_entropy":
        return {"probe": f"{often}{which}{rows} rows, one forward over each with its answer"}
    spec = args.prefix_entropy
    back_end: str = spec.back_end
    if back_end == "auto":
        back_end = "vllm" if getattr(args, "use_vllm", False) else "transformers"
    return {"probe": f"{often}{which}{prefixes(rows, spec, times)}, {back_end}"}


def prefixes(rows: int, spec: PrefixEntropy, times: int = 1) -> str:
    """What it costs at most to score rows by prefix entropies, a number of times."""
    samples = f" x {spec.samples} samples" if spec.samples > 1 else ""
    most = times * rows * spec.length * spec.samples
    return f"{rows} rows x {spec.length} tokens{samples} = at most {most:,} tokens"


def _trained_on(dataset: Dataset, args: CurriculumSFTConfig) -> str:
    completions = "completion" in dataset.column_names and args.completion_only_loss is not False
    if args.assistant_only_loss:
        return "what the assistant says in completions" if completions else "what the assistant says"
    return "completions" if completions else "all tokens"


def _table(lines: dict[str, str], args: CurriculumGRPOConfig | CurriculumSFTConfig) -> str:
    lines |= {"precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"}
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items())
