"""Which arguments a curriculum trainer takes: its own, those of the trainer that it extends, or none."""

from dataclasses import MISSING, fields
from typing import Any

from transformers import TrainingArguments
from trl import GRPOConfig, SFTConfig
from trl.trainer.utils import get_config_model_id

from .config import CurriculumConfig
from .declared import refuse_undeclared
from .limits import refuse_out_of_range


def own_config(args: Any, model: Any, config: type[CurriculumConfig], trainer: str, suffix: str) -> Any:
    """
    The arguments as a `config`; TRL's own get the defaults of what is added to them, as if these had been left out.

    Without any, the defaults, with an output folder as TRL names it. SFT takes plain `TrainingArguments` too, as TRL.

    Raises:
        `TypeError`: for the arguments of another trainer.
    """
    if isinstance(args, config):
        return args
    if args is None:
        name = model if isinstance(model, str) else get_config_model_id(model.config)
        return config(f"{name.split('/')[-1]}-{suffix}")
    stock: Any = GRPOConfig if issubclass(config, GRPOConfig) else SFTConfig
    if stock is SFTConfig and type(args) is TrainingArguments:
        args = SFTConfig(**args.to_dict() | {"hub_token": args.hub_token})  # to_dict hides the token
    if not isinstance(args, stock):
        raise TypeError(
            f"args is of the type {type(args).__name__}; {trainer} takes a {config.__name__}, or TRL's "
            f"{stock.__name__}."
        )
    made: Any = object.__new__(config)
    vars(made).update(vars(args))  # as TRL has completed them, which it would not do twice
    for added in fields(config):
        if added.name not in vars(made):
            setattr(made, added.name, None if added.default is MISSING else added.default)
    refuse_undeclared(vars(made), config)
    refuse_out_of_range(made)
    made._check_methods()
    return made
