"""What a probe has measured so far, on disk: a probe that is killed goes on where it was."""

import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from ..signals import FloatArray, IntArray
from .atomic import atomic_write


SAVE_EVERY_SECONDS = 30.0


def measure_in_batches(
    batches: list[IntArray],
    measure: Callable[[IntArray], FloatArray],
    *,
    n: int,
    columns: int,
    folder: Path | None,
    name: str,
    key: str,
    desc: str,
    accelerator: Any = None,
    disable_tqdm: bool = False,
) -> FloatArray:
    """
    Measures `n` rows batch by batch, shared out among the processes, and in a way that can be interrupted.

    What is measured is kept in `folder` until all is: a run that is killed or stopped in between goes on from there,
    if `key`, which says what is measured and with which weights, is the same.

    Args:
        batches (`list[IntArray]`):
            Positions in 0 … n - 1, each in one batch.
        measure:
            Takes the positions of a batch, returns its values, shape `(len(batch), columns)`.
        n, columns (`int`):
            Number of rows, and of values of each.
        folder (`Path`, *optional*):
            Where partial results are kept; without it they are not.
        name, key (`str`):
            Name of the file, and what it must have been written for.
        desc (`str`):
            What the progress bar says.
        accelerator ([`~accelerate.Accelerator`], *optional*):
            Of the processes that share the work.

    Returns:
        `FloatArray`, shape `(n, columns)`, the same on every process.
    """
    world, rank = (accelerator.num_processes, accelerator.process_index) if accelerator is not None else (1, 0)
    # Every process makes as many calls, since a sharded model needs all of them for each.
    mine = [batches[k % len(batches)] for k in range(rank, -(-len(batches) // world) * world, world)]
    ends = np.cumsum([len(batch) for batch in mine])
    partial = _Partial(folder / f"{name}-{rank}.npz" if folder is not None else None, key, (ends[-1], columns))
    done = min(_gather([partial.done], accelerator))
    bar = tqdm(total=len(mine), initial=done, desc=desc, disable=disable_tqdm or rank > 0, leave=False)
    with bar:
        for k in range(done, len(mine)):
            try:
                partial.value[ends[k] - len(mine[k]) : ends[k]] = measure(mine[k])
            except BaseException:
                partial.save(k, now=True)
                raise
            partial.save(k + 1)
            bar.update()
    value = np.full((n, columns), np.nan)
    for which, values in _gather([(np.concatenate(mine), partial.value)], accelerator):
        value[which] = values
    partial.remove()
    return value


def _gather(objects: list[Any], accelerator: Any) -> list[Any]:
    return gather_object(objects) if accelerator is not None else objects


def by_length(length: IntArray, batch_tokens: int) -> list[IntArray]:
    """Rows of similar length together, the longest first, so that what does not fit into memory fails at once."""
    order = np.argsort(-length, kind="stable")
    batches: list[IntArray] = []
    begin = 0
    while begin < len(order):
        size = max(1, batch_tokens // max(int(length[order[begin]]), 1))
        batches.append(order[begin : begin + size])
        begin += size
    return batches


class _Partial:
    """The values that one process has measured so far."""

    def __init__(self, file: Path | None, key: str, shape: tuple[int, int]) -> None:
        self.file, self.key = file, key
        self.value = np.full(shape, np.nan)
        self.done = 0
        self.saved_at = time.monotonic()
        if file is None:
            return
        try:
            with np.load(file, allow_pickle=False) as stored:
                if str(stored["key"]) == key and stored["value"].shape == shape:
                    self.value, self.done = stored["value"], int(stored["done"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass  # nothing was measured before, or a kill left half of it: measure

    def save(self, done: int, now: bool = False) -> None:
        """Writes down that `done` batches are measured, unless it just did."""
        if self.file is None or not (now or time.monotonic() - self.saved_at > SAVE_EVERY_SECONDS):
            return
        with atomic_write(self.file) as draft:
            np.savez(draft, key=self.key, value=self.value, done=done)
        self.saved_at = time.monotonic()

    def remove(self) -> None:
        if self.file is not None:
            self.file.unlink(missing_ok=True)
