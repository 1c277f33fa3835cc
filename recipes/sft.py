# /// script
# dependencies = [
#     "trl_curriculum[evals]",
#     "peft",
#     "trackio",
#     "kernels",
# ]
# ///

"""
SFT in which a curriculum picks the rows. Everything that `trl sft` takes works here too.

# Full training
```bash
trl-curriculum sft --config recipes/sft/evo_curate_no_robots.yaml
```

# LoRA
```bash
accelerate launch recipes/sft.py \
    --model_name_or_path Qwen/Qwen3-1.7B-Base \
    --eos_token '<|im_end|>' \
    --dataset_name openai/gsm8k \
    --dataset_config main \
    --prompt_column question \
    --completion_column answer \
    --curriculum '{"evo_curate": {"kappa": 0.5, "refresh_steps": 50}}' \
    --learning_rate 2.0e-4 \
    --num_train_epochs 3 \
    --use_peft \
    --lora_r 32 \
    --lora_alpha 16 \
    --output_dir Qwen3-1.7B-EVO-Curate-GSM8K
```

`--dry_run` builds the data, the arms and the curriculum, prints the plan, and ends without a model.
"""

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trl_curriculum.scripts.arguments import CurriculumScriptArguments


if TYPE_CHECKING:
    from trl import ModelConfig

    from trl_curriculum import CurriculumSFTConfig
    from trl_curriculum.data.entries import MixtureConfig


@dataclass
class CurriculumSFTScriptArguments(CurriculumScriptArguments):
    """
    Script arguments for the curriculum SFT training script, besides those of [`CurriculumScriptArguments`].

    Args:
        completion_column (`str`, *optional*):
            Column of the dataset with plain answers: with those of `prompt_column` they become conversations of a
            prompt and a completion. Without it, the dataset is in one of TRL's formats already.
    """

    completion_column: str | None = field(
        default=None, metadata={"help": "Column with plain answers, for datasets that are not in TRL's formats."}
    )


def main(
    script_args: CurriculumSFTScriptArguments,
    training_args: "CurriculumSFTConfig",
    model_args: "ModelConfig",
    dataset_args: "MixtureConfig",
    num_processes: int | None = None,
) -> None:
    from trl import get_peft_config, get_quantization_config

    from trl_curriculum import CurriculumSFTTrainer
    from trl_curriculum.scripts.data import load_examples, locate, split_by_arm
    from trl_curriculum.scripts.difficulty import with_difficulty
    from trl_curriculum.scripts.plan import sft_plan
    from trl_curriculum.scripts.train import check_output_dir, model_to_load, train_and_save
    from trl_curriculum.stdout import say

    if not script_args.dry_run:
        check_output_dir(training_args, model_args)

    # Load the dataset
    columns = (script_args.completion_column, training_args.dataset_text_field)
    train_dataset, test_dataset = load_examples(script_args, dataset_args, training_args.seed, *columns)
    train_dataset = with_difficulty(train_dataset, script_args, training_args)
    per_arm = script_args.eval_per_arm and test_dataset is not None
    eval_dataset = split_by_arm(test_dataset, training_args.arms, train_dataset) if per_arm else test_dataset
    planned = num_processes if script_args.dry_run else None  # a run has the processes that it has
    whole = script_args.dry_run  # a training says itself what its curriculum can do
    plan = sft_plan(train_dataset, eval_dataset, training_args, model_args, planned, whole)
    if training_args.process_index == 0:
        say(plan)
    if script_args.dry_run:
        return

    # Initialize the SFT trainer
    if training_args.chat_template_path is not None:
        training_args.chat_template_path = locate(training_args.chat_template_path)
    trainer = CurriculumSFTTrainer(
        model=model_to_load(model_args, training_args),
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

    from trl_curriculum import CurriculumSFTConfig
    from trl_curriculum.data.entries import MixtureConfig
    from trl_curriculum.scripts.parser import RecipeParser

    dataclass_types: Any = (CurriculumSFTScriptArguments, CurriculumSFTConfig, ModelConfig, MixtureConfig)
    if subparsers is not None:
        return subparsers.add_parser("sft", help="Run the curriculum SFT script", dataclass_types=dataclass_types)
    return RecipeParser(dataclass_types, prog=prog)


if __name__ == "__main__":
    from trl_curriculum.scripts.launch import run_script

    run_script(main, make_parser())
