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
    --curriculum '{"sec": {"alpha": 0.5, "tau": 0.4}}' \
    --arms level \
    --learning_rate 1.0e-5 \
    --use_peft \
    --lora_r 32 \
    --lora_alpha 16 \
    --output_dir Qwen2.5-3B-SEC-MATH
```

`--dry_run` builds the data, the arms, the rewards and the curriculum, prints the plan, and ends without a model.
"""

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trl_curriculum.scripts.arguments import CurriculumScriptArguments


if TYPE_CHECKING:
    from trl import ModelConfig

    from trl_curriculum import CurriculumGRPOConfig
    from trl_curriculum.data.entries import MixtureConfig


@dataclass
class CurriculumGRPOScriptArguments(CurriculumScriptArguments):
    """
    Script arguments for the curriculum GRPO training script, besides those of [`CurriculumScriptArguments`].

    Args:
        reward_model_name_or_path (`str`, *optional*):
            Reward model, a Hub id or a local path.
        reward_funcs (`list[str]`, *optional*):
            Names from `trl_curriculum.rewards.REWARDS`, names that `trl grpo` knows, or dotted import paths.
    """

    reward_model_name_or_path: str | None = field(default=None, metadata={"help": "Hub id or path of a reward model."})
    reward_funcs: list[str] | None = field(
        default=None, metadata={"help": "Names of reward functions (ours or TRL's), or dotted import paths."}
    )

    def __post_init__(self) -> None:
        if isinstance(self.reward_funcs, str):
            self.reward_funcs = [self.reward_funcs]
        super().__post_init__()


def main(
    script_args: CurriculumGRPOScriptArguments,
    training_args: "CurriculumGRPOConfig",
    model_args: "ModelConfig",
    dataset_args: "MixtureConfig",
    num_processes: int | None = None,
) -> None:
    from trl import get_peft_config, get_quantization_config

    from trl_curriculum import CurriculumGRPOTrainer
    from trl_curriculum.rewards import reward
    from trl_curriculum.scripts.data import load_prompts, split_by_arm
    from trl_curriculum.scripts.difficulty import with_difficulty
    from trl_curriculum.scripts.plan import grpo_plan
    from trl_curriculum.scripts.train import check_output_dir, model_to_load, train_and_save
    from trl_curriculum.stdout import say

    if not script_args.dry_run:
        check_output_dir(training_args, model_args)

    # Get the reward models and functions
    reward_funcs: list[Any] = [reward(name) for name in script_args.reward_funcs or []]
    if script_args.reward_model_name_or_path:
        reward_funcs.insert(0, script_args.reward_model_name_or_path)
    if not reward_funcs:
        raise ValueError("No reward: give `reward_funcs`, such as `math_accuracy`, or `reward_model_name_or_path`.")

    # Load the dataset
    train_dataset, test_dataset = load_prompts(script_args, dataset_args, training_args.seed)
    train_dataset = with_difficulty(train_dataset, script_args, training_args)
    per_arm = script_args.eval_per_arm and test_dataset is not None
    eval_dataset = split_by_arm(test_dataset, training_args.arms, train_dataset) if per_arm else test_dataset
    planned = num_processes if script_args.dry_run else None  # a run has the processes that it has
    plan = grpo_plan(
        train_dataset, eval_dataset, reward_funcs, training_args, model_args, planned, whole=script_args.dry_run
    )
    if training_args.process_index == 0:
        say(plan)
    if script_args.dry_run:
        return

    # Initialize the GRPO trainer
    trainer = CurriculumGRPOTrainer(
        model=model_to_load(model_args, training_args),
        reward_funcs=reward_funcs,
        args=training_args,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset if training_args.eval_strategy != "no" else None,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
    )

    # Train and save the model
    train_and_save(trainer, training_args, script_args.dataset_name)


def make_parser(subparsers: argparse._SubParsersAction | None = None, prog: str | None = None) -> Any:
    from trl import ModelConfig

    from trl_curriculum import CurriculumGRPOConfig
    from trl_curriculum.data.entries import MixtureConfig
    from trl_curriculum.scripts.parser import RecipeParser

    dataclass_types: Any = (CurriculumGRPOScriptArguments, CurriculumGRPOConfig, ModelConfig, MixtureConfig)
    if subparsers is not None:
        return subparsers.add_parser("grpo", help="Run the curriculum GRPO script", dataclass_types=dataclass_types)
    return RecipeParser(dataclass_types, prog=prog)


if __name__ == "__main__":
    from trl_curriculum.scripts.launch import run_script

    run_script(main, make_parser())
