"""What a run is going to do, in words and numbers, before anything expensive happens."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from trl import ModelConfig

from ..pool import Pool
from ..registry import make_curriculum
from ..trainers import CurriculumGRPOConfig


def grpo_plan(
    train_dataset: Dataset,
    eval_dataset: Dataset | dict[str, Dataset] | None,
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
    pool = Pool.from_dataset(train_dataset, args.arm_column, args.difficulty_column, hash_rows=False)
    kwargs: Any = args.curriculum_kwargs or {}
    curriculum = make_curriculum(args.curriculum, pool, args.seed, **kwargs)
    options = ", ".join(f"{name}={value}" for name, value in curriculum.options().items())
    arms = ", ".join(f"{name} ({size})" for name, size in zip(pool.arm_names, pool.arm_size, strict=True))
    held_out = {"all": eval_dataset} if isinstance(eval_dataset, Dataset) else eval_dataset or {}
    tested = ", ".join(f"{name} ({len(rows)})" for name, rows in held_out.items()) or "none"

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
        per_epoch = max(1, int(max(1, pool.size // max(1, prompts)) * per_generation))
        steps = math.ceil(args.num_train_epochs * per_epoch)
        generations = math.ceil(steps / per_generation)
    strategy = getattr(args.eval_strategy, "value", args.eval_strategy)
    evaluation = f"every {args.eval_steps:g} steps" if strategy == "steps" else strategy
    lines = {
        "model": f"{model_args.model_name_or_path}{' with LoRA' if model_args.use_peft else ''}",
        "rows": f"{pool.size} to train on, {sum(map(len, held_out.values()))} held out",
        "arms": f"{' x '.join(args.arm_column or ['one'])}: {arms}",
        "evaluation": f"{evaluation}: {tested}",
        "curriculum": f"{curriculum.name} ({options})",
        "signal": f"{curriculum.signal}; extra cost: {curriculum.cost}",
        "rewards": ", ".join(f if isinstance(f, str) else f.__name__ for f in reward_funcs),
        "processes": f"{processes}, {args.per_device_train_batch_size} rollouts each per micro-batch",
        "generation": f"{prompts} prompts x {group} generations = {rollouts} rollouts of at most "
        f"{args.max_completion_length} tokens",
        "training": f"{per_generation:g} optimizer steps per generation, "
        f"{micro_batch * args.gradient_accumulation_steps} rollouts each",
        "run": f"{steps} optimizer steps, {generations} generations, {generations * rollouts} rollouts",
        "back end": f"vLLM, {args.vllm_mode}" if args.use_vllm else "transformers",
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
    }
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items())
