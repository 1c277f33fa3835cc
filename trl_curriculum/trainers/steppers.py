"""The optimizer and the learning rate's schedule of a run, tried before anything is loaded."""

from typing import Any

import torch
from transformers import Trainer, get_scheduler

from ..options import shorten


NEEDS_MODEL = ("adalomo", "apollo", "galore", "lomo", "stable_adamw")  # families that are made of the model's modules
TRIED_STEPS = 100


def check_schedule(args: Any) -> None:
    """
    Refuses `lr_scheduler_kwargs` that the schedule does not take, or needs and does not have.

    Raises:
        `ValueError`: in one sentence.
    """
    kwargs = args.lr_scheduler_kwargs or {}
    kind = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    try:
        get_scheduler(kind, optimizer, 0, TRIED_STEPS, scheduler_specific_kwargs=dict(kwargs))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(
            f"lr_scheduler_kwargs={shorten(args.lr_scheduler_kwargs)} does not fit lr_scheduler_type={kind!r}: {error}"
        ) from error


def check_optimizer(args: Any) -> None:
    """
    Refuses an optimizer whose package is not there, and `optim_args` that it does not take.

    Raises:
        `ValueError`: in one sentence.
    """
    kind, text = getattr(args.optim, "value", args.optim), args.optim_args
    where, words = f"optim_args={shorten(text)}", (text or "").replace(" ", "").split(",")
    for word in words if text else ():
        if word.count("=") != 1:
            raise ValueError(f"{where} must be like 'name=value,name=value', and {word!r} is not.")
    if kind.startswith(NEEDS_MODEL):
        return
    try:
        made, kwargs = Trainer.get_optimizer_cls_and_kwargs(args)
    except (ImportError, KeyError, RuntimeError, TypeError, ValueError) as error:
        more = f" with {where}" if text else ""
        raise ValueError(f"optim={kind!r}{more} cannot be made: {str(error).splitlines()[0]}") from error
    if not text:
        return
    try:
        made([torch.zeros(1)], **kwargs)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} does not fit optim={kind!r}: {str(error).splitlines()[0]}") from error
    if unread := [word.split("=")[0] for word in words if word.split("=")[0] not in kwargs]:
        raise ValueError(
            f"{where} has no effect with optim={kind!r}, which does not read {', '.join(unread)}: leave it out."
        )
