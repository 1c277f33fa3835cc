"""Names of number types, as recipes give them."""

from typing import Any

import torch


NAMES = ("auto", "bfloat16", "float16", "float32", "float64")


def check_dtype(value: Any, name: str = "dtype") -> None:
    """
    Refuses what is no floating type of torch.

    Args:
        value (`str`, `torch.dtype` or `None`):
            As `from_pretrained` takes it.
        name (`str`, *optional*, defaults to `"dtype"`):
            What the argument is called.

    Raises:
        `ValueError`: in one sentence.
    """
    if value is None or value == "auto":
        return
    dtype = getattr(torch, value.removeprefix("torch."), None) if isinstance(value, str) else value
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"{name}={value!r} is no floating type: choose one of {', '.join(NAMES)}.")
