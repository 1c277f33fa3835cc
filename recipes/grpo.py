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
from typing import TYPE_CHECKING, Any

from trl import ScriptArguments


if TYPE_CHECKING:
    from trl import DatasetMixtureConfig, ModelConfig

    from trl_curriculum import CurriculumGRPOConfig


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
        if isinstance(self.reward_funcs, str):
            self.reward_funcs = [self.reward_funcs]
        if self.task_size is not None and self.task_size < 1:
            raise ValueError(f"task_size={self.task_size} must be at least 1.")
        for name in ("tasks", "test_tasks"):
            specs: Any = [task_spec(spec, name) for spec in getattr(self, name) or []]
            setattr(self, name, [{**s, "size": self.task_size} if self.task_size else s for s in specs])


def task_spec(spec: Any, name: str) -> dict[str, Any]:
    """A task's specification: a mapping in YAML, a JSON object on the command line."""
    try:
        spec = json.loads(spec) if isinstance(spec, str) else spec
    except json.JSONDecodeError:
        pass
    if not isinstance(spec, dict) or not isinstance(spec.get("config", {}), dict | None):
        raise ValueError(f"{name}: {spec!r} is not a mapping such as {{family: countdown, size: 100, config: {{}}}}.")
    return spec


def main(
    script_args: CurriculumGRPOScriptArguments,
    training_args: "CurriculumGRPOConfig",
    model_args: "ModelConfig",
    dataset_args: "DatasetMixtureConfig",
    num_processes: int | None = None,
) -> None:
    import transformers
    from packaging.version import Version
    from trl import get_peft_config, get_quantization_config

    from trl_curriculum import CurriculumGRPOTrainer
    from trl_curriculum.cli.data import load_data, split_by_arm
    from trl_curriculum.cli.plan import grpo_plan
    from trl_curriculum.rewards import reward

    # Get the reward models and functions
    reward_funcs: list[Any] = [reward(name) for name in script_args.reward_funcs or []]
    if script_args.reward_model_name_or_path:
        reward_funcs.insert(0, script_args.reward_model_name_or_path)
    if not reward_funcs:
        raise ValueError("No reward: give `reward_funcs`, such as `math_accuracy`, or `reward_model_name_or_path`.")

    # Load the dataset
    train_dataset, test_dataset = load_data(script_args, dataset_args, training_args.seed)
    per_arm = script_args.eval_per_arm and test_dataset is not None
    eval_dataset = split_by_arm(test_dataset, training_args.arm_column) if per_arm else test_dataset
    planned = num_processes if script_args.dry_run else None  # a run has the processes that it has
    plan = grpo_plan(train_dataset, eval_dataset, reward_funcs, training_args, model_args, planned)
    if training_args.process_index == 0:
        print(plan)
    if script_args.dry_run:
        return

    # Get the model
    model_name = model_args.model_name_or_path
    if model_name is None:
        raise ValueError("No model: give `model_name_or_path`.")
    if model_name == "smollm2-135m":
        from trl_curriculum.smollm2 import smollm2

        model_name = str(smollm2())
    init_kwargs: Any = training_args.model_init_kwargs or {}
    training_args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **init_kwargs,
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


def make_parser(subparsers: argparse._SubParsersAction | None = None, prog: str | None = None) -> Any:
    from trl import DatasetMixtureConfig, ModelConfig, TrlParser

    from trl_curriculum import CurriculumGRPOConfig

    dataclass_types: Any = (CurriculumGRPOScriptArguments, CurriculumGRPOConfig, ModelConfig, DatasetMixtureConfig)
    if subparsers is not None:
        return subparsers.add_parser("grpo", help="Run the curriculum GRPO script", dataclass_types=dataclass_types)
    return TrlParser(dataclass_types, prog=prog)


if __name__ == "__main__":
    from trl_curriculum.cli.launch import parse

    script_args, training_args, model_args, dataset_args, launch_args = parse(make_parser())
    main(script_args, training_args, model_args, dataset_args, launch_args.num_processes)
