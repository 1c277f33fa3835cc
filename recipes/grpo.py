# /// script
# dependencies = [
#     "trl_curriculum[evals]",
#     "peft",
#     "trackio",
#     "kernels",
# ]
# ///

"""
GRPO in which a curriculum picks the prompts. Everything that `trl grpo` takes works here too.

# Full training
```bash
trl-curriculum grpo --config recipes/grpo/sec_countdown.yaml
```

# LoRA
```bash
accelerate launch recipes/grpo.py \
    --model_name_or_path Qwen/Qwen2.5-3B \
    --dataset_name nlile/hendrycks-MATH-benchmark \
    --prompt_column problem \
    --reward_funcs math_accuracy \
    --curriculum sec \
    --curriculum_kwargs '{"alpha": 0.5, "tau": 0.4}' \
    --arm_column level \
    --learning_rate 1.0e-5 \
    --use_peft \
    --lora_r 32 \
    --lora_alpha 16 \
    --output_dir Qwen2.5-3B-SEC-MATH
```

`--dry_run` builds the data, the arms, the rewards and the curriculum, prints the plan, and ends without a model.
"""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trl import ScriptArguments


@dataclass
class CurriculumGRPOScriptArguments(ScriptArguments):
    """
    Script arguments for the curriculum GRPO training script.

    Args:
        reward_model_name_or_path (`str`, *optional*):
            Reward model, a Hub id or a local path.
        reward_funcs (`list[str]`, *optional*):
            Names from `trl_curriculum.rewards.REWARDS`, names that `trl grpo` knows, or dotted import paths.
        tasks (`list[dict]`, *optional*):
            Specs of [`~trl_curriculum.tasks.reasoning_gym_dataset`] to train on, instead of a dataset; on the command
            line one JSON object each.
        test_tasks (`list[dict]`, *optional*):
            Specs of the held-out rows. Training rows with a prompt that occurs in them are dropped.
        task_size (`int`, *optional*):
            Overrides the size of every spec, for a quick try.
        task_num_proc (`int`, *optional*):
            Number of processes that generate tasks.
        prompt_column (`str`, *optional*, defaults to `"prompt"`):
            Column of the dataset with the prompts; another one than `"prompt"` holds plain questions, which become
            conversations.
        system_prompt (`str`, *optional*):
            System message of prompts that are built here (tasks, or another prompt column).
        instruction (`str`, *optional*):
            What to append to questions that are built here. Defaults to a request for the answer in a box.
        eval_per_arm (`bool`, *optional*, defaults to `False`):
            Whether to evaluate every arm of the held-out rows on its own.
        dry_run (`bool`, *optional*, defaults to `False`):
            Whether to print the plan and end before a model is loaded.
    """

    reward_model_name_or_path: str | None = field(default=None, metadata={"help": "Hub id or path of a reward model."})
    reward_funcs: list[str] | None = field(
        default=None, metadata={"help": "Names of reward functions (ours or TRL's), or dotted import paths."}
    )
    tasks: list[str] | None = field(
        default=None, metadata={"help": "reasoning-gym specs to train on: mappings in YAML, JSON on the command line."}
    )
    test_tasks: list[str] | None = field(default=None, metadata={"help": "reasoning-gym specs of the held-out rows."})
    task_size: int | None = field(default=None, metadata={"help": "Overrides the size of every task spec."})
    task_num_proc: int | None = field(default=None, metadata={"help": "Number of processes that generate tasks."})
    prompt_column: str = field(
        default="prompt", metadata={"help": "Column with the prompts; one not called `prompt` holds plain questions."}
    )
    system_prompt: str | None = field(default=None, metadata={"help": "System message of prompts built here."})
    instruction: str | None = field(default=None, metadata={"help": "Appended to questions of prompts built here."})
    eval_per_arm: bool = field(default=False, metadata={"help": "Evaluate every arm of the held-out rows by itself."})
    dry_run: bool = field(default=False, metadata={"help": "Print the plan and end before a model is loaded."})

    def __post_init__(self) -> None:
        for name in ("tasks", "test_tasks"):
            specs: Any = [json.loads(s) if isinstance(s, str) else dict(s) for s in getattr(self, name) or []]
            setattr(self, name, [{**s, "size": self.task_size} if self.task_size else s for s in specs])


def main(script_args, training_args, model_args, dataset_args, num_processes=None):
    import transformers
    from packaging.version import Version
    from trl import get_peft_config, get_quantization_config

    from trl_curriculum import CurriculumGRPOTrainer
    from trl_curriculum.cli.plan import grpo_plan
    from trl_curriculum.rewards import reward

    # Get the reward models and functions
    reward_funcs = [reward(name) for name in script_args.reward_funcs or []]
    if script_args.reward_model_name_or_path:
        reward_funcs.insert(0, script_args.reward_model_name_or_path)
    if not reward_funcs:
        raise ValueError("No reward: give `reward_funcs`, such as `math_accuracy`, or `reward_model_name_or_path`.")

    # Load the dataset
    train_dataset, eval_dataset = load_data(script_args, training_args, dataset_args)
    if script_args.eval_per_arm and eval_dataset is not None:
        eval_dataset = split_by_arm(eval_dataset, training_args.arm_column)
    planned = num_processes if script_args.dry_run else None  # a run has the processes that it has
    plan = grpo_plan(train_dataset, eval_dataset, reward_funcs, training_args, model_args, planned)
    if training_args.process_index == 0:
        print(plan)
    if script_args.dry_run:
        return

    # Get the model
    model_name = model_args.model_name_or_path
    if model_name == "smollm2-135m":
        from trl_curriculum.smollm2 import smollm2

        model_name = str(smollm2())
    training_args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **(training_args.model_init_kwargs or {}),
    }

    # Initialize the GRPO trainer
    trainer = CurriculumGRPOTrainer(
        model=model_name,
        reward_funcs=reward_funcs,
        args=training_args,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset if training_args.eval_strategy != "no" else None,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )

    # Train the model
    trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
    trainer.accelerator.print("✅ Training completed.")

    # Save and push to Hub
    trainer.save_model(training_args.output_dir)
    trainer.accelerator.print(f"💾 Model saved to {training_args.output_dir}.")
    if training_args.push_to_hub:
        trainer.push_to_hub(dataset_name=script_args.dataset_name)
        trainer.accelerator.print(f"🤗 Model pushed to the Hub in https://huggingface.co/{trainer.hub_model_id}.")

    # Finish the trackers and destroy the process group
    if Version(transformers.__version__) >= Version("5.18.0"):
        trainer.end()


def load_data(script_args, training_args, dataset_args):
    """Return the training rows and the held-out rows (`None` without any)."""
    from datasets import load_dataset

    from trl_curriculum.mixture import load_mixture
    from trl_curriculum.tasks import INSTRUCTION, disjoint, reasoning_gym_dataset

    given = [bool(script_args.tasks), bool(dataset_args.datasets), bool(script_args.dataset_name)]
    if sum(given) != 1:
        raise ValueError("Give the rows to train on by exactly one of `tasks`, `datasets` and `dataset_name`.")
    instruction = INSTRUCTION if script_args.instruction is None else script_args.instruction
    if script_args.tasks:
        options = (script_args.system_prompt, instruction, script_args.task_num_proc)
        train = reasoning_gym_dataset(script_args.tasks, *options)
        test = reasoning_gym_dataset(script_args.test_tasks, *options) if script_args.test_tasks else None
        return (train, None) if test is None else (disjoint(train, test), test)
    if dataset_args.datasets:
        for entry in dataset_args.datasets:
            entry.path = locate(entry.path)
        splits, train_split, test_split = load_mixture(dataset_args, training_args.seed), "train", "test"
    else:
        try:
            splits = load_dataset(locate(script_args.dataset_name), script_args.dataset_config)
        except (ConnectionError, FileNotFoundError) as error:
            raise ConnectionError(
                f"Could not load '{script_args.dataset_name}': no such local path, not in the cache, and the Hub "
                f"cannot be reached ({error})."
            ) from error
        train_split, test_split = script_args.dataset_train_split, script_args.dataset_test_split
    if train_split not in splits:
        raise ValueError(f"The dataset has no split '{train_split}', only {list(splits)}: set `dataset_train_split`.")
    rows = [to_prompts(splits[name], script_args, instruction) for name in (train_split, test_split) if name in splits]
    return rows[0], rows[1] if len(rows) > 1 else None


def locate(path):
    """Return a local path as it is, or else as seen from the folder above this script's: recipes bring data along."""
    beside = Path(__file__).resolve().parent.parent / path
    return str(beside) if not Path(path).exists() and beside.exists() else path


def to_prompts(dataset, script_args, instruction):
    """Turn a column of plain questions into conversational prompts."""
    column = script_args.prompt_column
    if column not in dataset.column_names:
        raise ValueError(f"The dataset has no column '{column}', only {dataset.column_names}: set `prompt_column`.")
    if column == "prompt":
        return dataset
    system = [{"role": "system", "content": script_args.system_prompt}] if script_args.system_prompt else []

    def to_prompt(question):
        return {"prompt": [*system, {"role": "user", "content": f"{question}\n\n{instruction}".strip()}]}

    return dataset.map(to_prompt, input_columns=column, remove_columns=column)


def split_by_arm(dataset, arm_column):
    """Return one dataset per arm, so that the metrics are `eval_<arm>_...`."""
    from trl_curriculum import Pool

    if not arm_column:
        raise ValueError("`eval_per_arm` needs `arm_column`, the column that tells the arms apart.")
    pool = Pool.from_dataset(dataset, arm_column, hash_rows=False)
    names = [name.replace("/", "-") for name in pool.arm_names]
    return {name: dataset.select((pool.arm == arm).nonzero()[0]) for arm, name in enumerate(names)}


def make_parser(subparsers: argparse._SubParsersAction | None = None, prog: str | None = None):
    from trl import DatasetMixtureConfig, ModelConfig, TrlParser

    from trl_curriculum import CurriculumGRPOConfig

    dataclass_types = (CurriculumGRPOScriptArguments, CurriculumGRPOConfig, ModelConfig, DatasetMixtureConfig)
    if subparsers is not None:
        return subparsers.add_parser("grpo", help="Run the curriculum GRPO script", dataclass_types=dataclass_types)
    return TrlParser(dataclass_types, prog=prog)


if __name__ == "__main__":
    from trl_curriculum.cli.launch import parse

    *arguments, launch_args = parse(make_parser())
    main(*arguments, num_processes=launch_args.num_processes)
