"""Tensors in a file that is whole, or not there."""

from pathlib import Path

import torch
from safetensors.torch import save

from .atomic import atomic_write


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """
    Writes tensors as safetensors.

    Its own `save_file` makes a temporary file beside the one that it writes, which a kill would leave there for ever.
    """
    with atomic_write(path) as draft:
        draft.write_bytes(save(tensors))
