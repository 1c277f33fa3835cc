"""Near-duplicates, as a stage of its own: the same for every method, before selecting."""

import numpy as np
import torch

from ..signals import IntArray


def distinct(features: torch.Tensor, cosine: float = 0.99, chunk: int = 2048) -> IntArray:
    """
    Positions of the rows that are no near-duplicate of an earlier one that is kept.

    Args:
        features (`torch.Tensor`, shape `(n, d)`):
            Of unit norm.
        cosine (`float`, *optional*, defaults to `0.99`):
            Above this two rows are near-duplicates.
        chunk (`int`, *optional*, defaults to `2048`):
            Rows that are compared at once.
    """
    if not 0 < cosine <= 1:
        raise ValueError(f"cosine={cosine} is not a similarity in (0, 1].")
    kept = torch.ones(len(features), dtype=torch.bool)
    for begin in range(0, len(features), chunk):
        block = features[begin : begin + chunk].float()
        for start in range(0, begin, chunk):  # copies of rows that were kept before
            before = torch.arange(start, min(start + chunk, begin))[kept[start : min(start + chunk, begin)]]
            if len(before):
                near = (block @ features[before].float().T > cosine).any(dim=1)
                kept[begin : begin + chunk] &= ~near.cpu()
        alike = (block @ block.T > cosine).cpu().numpy()
        alive = kept[begin : begin + chunk].numpy()
        for i in np.flatnonzero(alive):
            if alive[i]:
                alive[i + 1 :] &= ~alike[i, i + 1 :]
    return np.flatnonzero(kept.numpy())
