"""What a run is going to do, in words and numbers, before anything expensive happens."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from datasets import Dataset
from trl import ModelConfig

from ..curricula import Curriculum
from ..curricula.outlook import Outlook
from ..data.columns import check_column
from ..data.names import listed, shown
from ..pool import Pool
from ..recommend import suggestion
from ..report.terminal import lines as as_lines
from ..stdout import say
from ..trainers import CurriculumGRPOConfig, CurriculumGRPOTrainer, CurriculumSFTConfig, CurriculumSFTTrainer
from ..trainers.attended import refuse_unattended
from ..trainers.checks import refuse_unevaluated, refuse_unmeasured, refuse_unseen, warn_of_arms
from ..trainers.found import golds_line
from ..trainers.grpo_checks import check_reward_weights
from ..trainers.grpo_host import GRPOHost
from ..trainers.outlook import block, is_late, refuse_one_arm, refuse_powerless, warn_of_odd
from ..trainers.sft_host import SFTHost
from ..trainers.sizes import Run, grpo_run, sft_run
from .preview import preview
from .train import check_model


EvalDataset: TypeAlias = Dataset | dict[str, Dataset] | None


def grpo_plan(
    train_dataset: Dataset,
    eval_dataset: EvalDataset,
    reward_funcs: Sequence[str | Callable[..., Any]],
    args: CurriculumGRPOConfig,
    model_args: ModelConfig,
    num_processes: int | None = None,
    whole: bool = True,
) -> str:
    """
    Describe a curriculum GRPO run. Building the curriculum on the way finds the mistakes in its options.

    Args:
        train_dataset, eval_dataset, reward_funcs, args, model_args:
            As the script has them.
        num_processes (`int`, *optional*):
            Number of processes to plan for, by default those that are there.
        whole (`bool`, *optional*, defaults to `True`):
            Whether to say what the curriculum can do as well, which a training says itself when it starts.

    Raises:
        `ValueError`: on a curriculum that can do nothing in this run, and on an evaluation without rows.
    """
    processes = num_processes or args.world_size
    curriculum = _curriculum(train_dataset, eval_dataset, args, GRPOHost.shows, CurriculumGRPOTrainer)
    run = grpo_run(args, len(train_dataset), processes)
    outlook = curriculum.outlook(run.batches, run.rows)
    check_reward_weights(args, list(reward_funcs))
    kwargs: Any = args.model_init_kwargs or {}
    refuse_unattended(args.shapers, kwargs.get("attn_implementation", model_args.attn_implementation), args)
    more: dict[str, str] = {}
    if whole:
        more = golds_line(reward_funcs, train_dataset) | preview(train_dataset, model_args, args)
        more |= suggestion(curriculum.pool, args, curriculum.method, reward_funcs, processes)
    lines = _what(curriculum, run, outlook, eval_dataset, args, model_args, whole, more)
    micro_batch = args.per_device_train_batch_size * processes
    micro_steps: Any = args.steps_per_generation
    rollouts = micro_batch * micro_steps
    group: Any = args.num_generations
    prompts, steps, generations = rollouts // group, run.steps, run.batches
    assert steps is not None and generations is not None
    lines |= {
        "rewards": ", ".join(f if isinstance(f, str) else f.__name__ for f in reward_funcs),
        "processes": f"{processes}, {args.per_device_train_batch_size} rollouts each per micro-batch",
        "generation": f"{prompts} prompts x {group} generations = {rollouts} rollouts of at most "
        f"{args.max_completion_length} tokens",
        "training": f"{run.per_batch:g} optimizer steps per generation, "
        f"{micro_batch * args.gradient_accumulation_steps} rollouts each",
        "run": f"{steps} optimizer steps, {generations} generations, {generations * rollouts} rollouts",
        "back end": f"vLLM, {args.vllm_mode}" if args.use_vllm else "transformers",
    }
    return _judged(lines, curriculum, run, outlook, args, whole)


def sft_plan(
    train_dataset: Dataset,
    eval_dataset: EvalDataset,
    args: CurriculumSFTConfig,
    model_args: ModelConfig,
    num_processes: int | None = None,
    whole: bool = True,
) -> str:
    """
    Describe a curriculum SFT run. Tokens are not counted: that takes the model's tokenizer.

    Args:
        train_dataset, eval_dataset, args, model_args, num_processes:
            As in [`grpo_plan`].
        whole (`bool`, *optional*, defaults to `True`):
            As in [`grpo_plan`].
    """
    processes = num_processes or args.world_size
    curriculum = _curriculum(train_dataset, eval_dataset, args, SFTHost.shows, CurriculumSFTTrainer)
    run = sft_run(args, len(train_dataset), processes)
    outlook = curriculum.outlook(run.batches, run.rows)
    more: dict[str, str] = {}
    if whole:
        more = preview(train_dataset, model_args, args)
        more |= suggestion(curriculum.pool, args, curriculum.method, (), processes)
    lines = _what(curriculum, run, outlook, eval_dataset, args, model_args, whole, more)
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
        n = run.steps or 0
        steps = f"{n} optimizer steps, {n * batch} draws, {n * batch / len(train_dataset):.1f} for each row on average"
    if budget and args.max_steps > 0:
        budget = f"{budget}; at most {steps}"
    lines |= {
        "trained on": _trained_on(train_dataset, args),
        "processes": f"{processes}, gradient accumulation {args.gradient_accumulation_steps}",
        "step": each,
        "run": budget or steps,
    }
    return _judged(lines, curriculum, run, outlook, args, whole)


def _curriculum(
    train_dataset: Dataset,
    eval_dataset: EvalDataset,
    args: CurriculumGRPOConfig | CurriculumSFTConfig,
    shows: tuple[str, ...],
    trainer: type[CurriculumGRPOTrainer] | type[CurriculumSFTTrainer],
) -> Curriculum:
    """The curriculum over its pool, which must follow what the trainer shows, and rows to evaluate on."""
    method, pool = args.curriculum_method, Pool.from_dataset(train_dataset, args.arms, args.difficulty_column, False)
    refuse_unseen(method, shows, trainer.__name__)
    refuse_unmeasured(method, args)
    refuse_unevaluated(args, eval_dataset)
    curriculum = method.bind(pool, args.seed)
    refuse_one_arm(curriculum, args)
    if (answers := getattr(args, "answer_column", None)) is not None:
        check_column(answers, train_dataset.column_names, "answer_column")
    return curriculum


def _what(
    curriculum: Curriculum,
    run: Run,
    outlook: Outlook,
    eval_dataset: EvalDataset,
    args: CurriculumGRPOConfig | CurriculumSFTConfig,
    model_args: ModelConfig,
    whole: bool,
    more: dict[str, str],
) -> dict[str, str]:
    """The model, what it is evaluated on, and, if the plan is whole, what the curriculum can do."""
    check_model(model_args)
    held_out = {"all": eval_dataset} if isinstance(eval_dataset, Dataset) else eval_dataset or {}
    tested = listed((f"{shown(name, 30)} ({len(rows):,})" for name, rows in held_out.items()), 12) or "none"
    strategy = getattr(args.eval_strategy, "value", args.eval_strategy)
    evaluation = f"every {args.eval_steps:g} steps" if strategy == "steps" else strategy
    adapter = " with LoRA" if model_args.use_peft else ""
    bits = " in 4 bit" if model_args.load_in_4bit else " in 8 bit" if model_args.load_in_8bit else ""
    plan = {"model": f"{model_args.model_name_or_path}{bits}{adapter}"}
    if whole:
        warn_of_arms(curriculum, args, run.rows)
        warn_of_odd(curriculum, outlook, run, args)
        plan |= block(curriculum, outlook, run, args, held_out=held_out, more=more)
    return plan | {"evaluation": f"{evaluation}: {tested}"}


def _trained_on(dataset: Dataset, args: CurriculumSFTConfig) -> str:
    completions = "completion" in dataset.column_names and args.completion_only_loss is not False
    if args.assistant_only_loss:
        return "what the assistant says in completions" if completions else "what the assistant says"
    return "completions" if completions else "all tokens"


def _judged(
    lines: dict[str, str],
    curriculum: Curriculum,
    run: Run,
    outlook: Outlook,
    args: CurriculumGRPOConfig | CurriculumSFTConfig,
    whole: bool,
) -> str:
    """The plan as a table, unless the curriculum can do nothing in the run."""
    text = as_lines(lines | {"precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"})
    if whole and is_late(outlook, run):
        say(text)  # which shows why it is refused
    refuse_powerless(curriculum, outlook, run)
    return text
