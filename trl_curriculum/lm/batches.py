"""Rows of tokens as padded tensors, with TRL's own padding."""

from collections.abc import Sequence
from typing import Literal

import torch
from trl.trainer.utils import pad


Row = dict[str, list[int]]  # `input_ids` and `labels`


def pad_ids(
    rows: Sequence[Sequence[int]], value: int = 0, side: Literal["left", "right"] = "right"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask of a padded batch, each of shape `(batch, tokens)`."""
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    return pad(ids, value, side), pad([torch.ones_like(row) for row in ids], 0, side)


def collate(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask` and `labels` of a right-padded batch, each of shape `(batch, tokens)`."""
    ids, mask = pad_ids([row["input_ids"] for row in rows])
    labels, _ = pad_ids([row["labels"] for row in rows], -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
