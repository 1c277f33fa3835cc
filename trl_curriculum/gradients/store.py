"""Features on disk: half precision, memory-mapped, with a manifest that says what they are; resumable after a kill."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..examples import pad
from ..feedback import IntArray
from ..probes.partial import by_length
from ..state import write_json
from .capture import GradientFeatures


@dataclass(frozen=True)
class Stored:
    """
    Features of rows, and which of them can be used.

    Args:
        features (`NDArray[np.float16]`, shape `(n, d)`):
            Of unit norm, memory-mapped; zeros where there is no gradient.
        norm (`NDArray[np.float32]`, shape `(n,)`):
            Length of each before it was scaled: 0 where nothing is trained on, NaN where the gradient is no number.
    """

    features: NDArray[np.float16]
    norm: NDArray[np.float32]

    @property
    def usable(self) -> IntArray:
        """Positions of the rows that have a direction."""
        return np.flatnonzero(np.isfinite(self.norm) & (self.norm > 0))


NOT_YET = -1.0


def write_features(
    folder: Path,
    rows: list[dict[str, list[int]]],
    gradients: GradientFeatures,
    key: str,
    batch_tokens: int = 8192,
    accelerator: Any = None,
    disable_tqdm: bool = False,
) -> Stored:
    """
    Computes the features of rows into a folder, or goes on with what an interrupted run has left there.

    Args:
        folder (`Path`):
            On a disk that all processes share.
        rows (`list[dict]`):
            Each with `input_ids` and `labels`.
        gradients ([`GradientFeatures`]):
            Computes them.
        key (`str`):
            What they are of: data, weights and options; what was written for another key is thrown away.
        batch_tokens (`int`, *optional*, defaults to `8192`):
            Tokens of one batch, padding included.
        accelerator ([`~accelerate.Accelerator`], *optional*):
            Of the processes that share the work.

    Raises:
        `OSError`: where the disk is full; what was written before stays.
    """
    world, rank = (accelerator.num_processes, accelerator.process_index) if accelerator is not None else (1, 0)
    n, d = len(rows), gradients.projection.dimension
    if rank == 0:
        _prepare(folder, key, n, d)
    if accelerator is not None:
        accelerator.wait_for_everyone()
    features = np.load(folder / "features.npy", mmap_mode="r+")
    norm = np.load(folder / "norm.npy", mmap_mode="r+")
    batches = by_length(np.array([len(row["input_ids"]) for row in rows]), batch_tokens)[rank::world]
    device = next(gradients.model.parameters()).device
    for batch in tqdm(batches, desc="Gradient features", disable=disable_tqdm or rank > 0, leave=False):
        if (norm[batch] != NOT_YET).all():
            continue
        found = gradients(*(value.to(device) for value in pad([rows[k] for k in batch]))).double().cpu()
        length = found.norm(dim=1)
        scaled = torch.where((length > 0)[:, None] & length.isfinite()[:, None], found / length[:, None], 0.0)
        features[batch] = scaled.numpy().astype(np.float16)
        features.flush()  # before it is said that they are there
        norm[batch] = length.numpy()
        norm.flush()
    if accelerator is not None:
        accelerator.wait_for_everyone()
    return read_features(folder)


def read_features(folder: Path) -> Stored:
    """Features that are complete; without their being read into memory."""
    stored = Stored(np.load(folder / "features.npy", mmap_mode="r"), np.load(folder / "norm.npy", mmap_mode="r"))
    missing = int((stored.norm == NOT_YET).sum())
    if missing:
        raise ValueError(f"{missing} of {len(stored.norm)} features in {folder} were not computed: run it again.")
    return stored


def _prepare(folder: Path, key: str, n: int, d: int) -> None:
    manifest = folder / "manifest.json"
    wanted = {"key": key, "rows": n, "dimension": d, "dtype": "float16"}
    try:
        if json.loads(manifest.read_text()) == wanted:
            return
    except (OSError, ValueError):
        pass  # nothing there, or a kill left half of it
    folder.mkdir(parents=True, exist_ok=True)
    manifest.unlink(missing_ok=True)
    for name, shape, dtype, start in (("features", (n, d), np.float16, 0), ("norm", (n,), np.float32, NOT_YET)):
        made = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=dtype, shape=shape)
        if start:
            made[:] = start
        made.flush()
    write_json(manifest, wanted)
