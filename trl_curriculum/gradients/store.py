"""Features on disk: half precision, memory-mapped, with a manifest that says what they are; resumable after a kill."""

import json
import logging
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..disk.atomic import name_full_disk
from ..disk.main_process import on_main_process
from ..disk.partial import by_length
from ..disk.state import write_json
from ..lm.batches import collate
from ..signals import IntArray
from .capture import GradientFeatures


logger = logging.getLogger(__name__)


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
CHUNK = 1 << 12  # rows that are checked at once
UNIT = 0.02  # by which the length of features in half precision may differ from 1
MANIFEST = "manifest.json"


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
        `OSError`: where the disk is full: before the first batch, or, on a disk that cannot set space aside, later;
        then what was written before stays.
    """
    world, rank = (accelerator.num_processes, accelerator.process_index) if accelerator is not None else (1, 0)
    n, d = len(rows), gradients.projection.dimension
    prepare = partial(_prepare, folder, key, n, d)
    _ = on_main_process(prepare) if accelerator is not None else prepare()
    norm = np.load(folder / "norm.npy")
    batches = by_length(np.array([len(row["input_ids"]) for row in rows]), batch_tokens)[rank::world]
    device = next(gradients.model.parameters()).device
    with (
        name_full_disk(folder, _takes(n, d)),
        open(folder / "features.npy", "r+b") as features_file,
        open(folder / "norm.npy", "r+b") as norm_file,
    ):
        for batch in tqdm(batches, desc="Gradient features", disable=disable_tqdm or rank > 0, leave=False):
            if (norm[batch] != NOT_YET).all():
                continue
            inputs = collate([rows[k] for k in batch])
            found = gradients(**{name: value.to(device) for name, value in inputs.items()}).double().cpu()
            length = found.norm(dim=1)
            scaled = torch.where((length > 0)[:, None] & length.isfinite()[:, None], found / length[:, None], 0.0)
            _put(features_file, n, batch, scaled.numpy().astype(np.float16))
            _put(norm_file, n, batch, length.numpy().astype(np.float32))  # this says that they are there
    if accelerator is not None:
        accelerator.wait_for_everyone()
    return _whole(folder)


def read_features(folder: Path) -> Stored:
    """
    Features that are complete; without their being read into memory.

    Raises:
        `ValueError`: where some were not computed, or the files are not there or damaged, or hold features that are
        not of unit norm, or not a number.
    """
    stored = _whole(folder)
    usable = stored.usable
    for begin in range(0, len(usable), CHUNK):
        part = usable[begin : begin + CHUNK]
        length = np.linalg.norm(stored.features[part].astype(np.float32), axis=1)
        wrong = np.flatnonzero(~(np.abs(length - 1) < UNIT))
        if len(wrong):
            raise ValueError(
                f"The features in {folder} are damaged: that of row {part[wrong[0]] + 1} has the length "
                f"{length[wrong[0]]:.3g}, not 1; compute them again."
            )
    return stored


def _whole(folder: Path) -> Stored:
    """Features that are complete, their numbers unchecked."""
    try:
        stored = _load(folder)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"The features in {folder} cannot be read ({type(error).__name__}: {error}): compute them again."
        ) from error
    missing = int((stored.norm == NOT_YET).sum())
    if missing:
        raise ValueError(f"{missing} of {len(stored.norm)} features in {folder} were not computed: run it again.")
    return stored


def _load(folder: Path) -> Stored:
    features, norm = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("features", "norm"))
    if features.ndim != 2 or features.dtype != np.float16 or norm.shape != features.shape[:1]:
        raise ValueError(f"{features.dtype} features of shape {features.shape} and norms of shape {norm.shape}")
    return Stored(features, norm)


def _prepare(folder: Path, key: str, n: int, d: int) -> None:
    """Files for n features of d numbers, or those that are there, if they are of this key and whole."""
    manifest = folder / MANIFEST
    wanted = {"key": key, "rows": n, "dimension": d, "dtype": "float16"}
    files = [folder / "features.npy", folder / "norm.npy"]
    found = _read_manifest(folder, files)
    if found == wanted:
        try:
            if _load(folder).features.shape == (n, d):
                return
        except (OSError, ValueError, EOFError) as error:
            logger.warning("The features in %s cannot be read (%s) and are computed anew.", folder, error)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        file.unlink(missing_ok=True)
    with name_full_disk(folder, _takes(n, d)):
        try:
            write_json(manifest, wanted)  # first: features without one are somebody else's
            _create(files[0], np.float16, (n, d))
            _create(files[1], np.float32, (n,), NOT_YET)
        except OSError:
            for file in (*files, manifest):
                file.unlink(missing_ok=True)
            raise


def _read_manifest(folder: Path, files: list[Path]) -> dict[str, Any] | None:
    """
    What a folder says of its features, `None` where it has none.

    Raises:
        `ValueError`: where files of these names were not written here, so that they are not ours to remove.
    """
    manifest = folder / MANIFEST
    if not manifest.exists() and not any(file.exists() for file in files):
        return None
    try:
        found = json.loads(manifest.read_text())
        if set(found) == {"key", "rows", "dimension", "dtype"}:
            return found
    except (OSError, ValueError, TypeError):
        pass
    raise ValueError(
        f"{folder} has no {MANIFEST} that this package has written, so what it holds may be somebody else's: move it "
        "elsewhere, or use another folder."
    )


def _create(file: Path, dtype: type, shape: tuple[int, ...], start: float = 0) -> None:
    """An .npy file whose space on the disk is set aside, where the system can do that."""
    with open(file, "wb") as made:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(made, header)
        if start:
            made.write(np.full(shape, start, dtype).tobytes())
            return
        size = made.tell() + math.prod(shape) * np.dtype(dtype).itemsize
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(made.fileno(), 0, size)
        else:
            made.truncate(size)


def _put(file: BinaryIO, n: int, rows: IntArray, values: NDArray) -> None:
    """
    Writes values of some rows into an .npy file of n.

    Not through a memory map, in which a full disk kills the process, and processes on several machines would write
    back each other's rows, which lie on the same page.
    """
    begin = os.fstat(file.fileno()).st_size - n * values[0].nbytes
    for row, value in zip(rows, values, strict=True):
        file.seek(begin + int(row) * value.nbytes)
        file.write(value.tobytes())
    file.flush()
    os.fsync(file.fileno())


def _takes(n: int, d: int) -> str:
    return f"the features of {n} rows take {n * (2 * d + 4):,} bytes"
