"""Scores of prompts, whatever is measured of them: equal prompts once, and what has none counted and said."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..disk.fingerprint import fingerprint
from ..disk.partial import by_length, measure_in_batches
from ..signals import FloatArray, IntArray


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """
    What a probe found, one entry a prompt.

    Args:
        value (`FloatArray`, shape `(n,)`):
            Scores, such as prefix entropies; NaN where there is none.
        tokens (`IntArray`, shape `(n,)`):
            Tokens that it took: of a prefix those that were generated, of a prompt entropy those of the prompt; 0
            where an equal prompt was scored in its place.
        prompt (`NDArray[np.uint64]`, shape `(n,)`):
            Hash of the prompt's tokens: equal prompts have the same.
        seconds (`float`):
            Time that it took, without what an interrupted probe had done before.
        missing (`dict[str, int]`):
            How many prompts have no score, by reason.
    """

    value: FloatArray
    tokens: IntArray
    prompt: NDArray[np.uint64]
    seconds: float
    missing: dict[str, int]


def score_prompts(
    prompts: list[list[int]],
    measure: Callable[[list[list[int]]], FloatArray],
    *,
    what: str,
    key: tuple[Any, ...],
    model: Any = None,
    window: int | None = None,
    more: int = 0,
    batch_tokens: int = 16384,
    folder: Path | None = None,
    accelerator: Any = None,
    disable_tqdm: bool = False,
    others: bool = False,
) -> Scores:
    """
    Scores prompts in batches of about equal lengths.

    Equal prompts are scored once. A prompt that cannot be scored gets NaN, is counted and warned of: an empty one, one
    that is too long for the window, and one whose log-probabilities are not numbers.

    Args:
        prompts (`list[list[int]]`):
            Token ids.
        measure (`Callable`):
            Takes the token ids of a batch, returns the score of each and the tokens that it took, shape `(batch, 2)`.
        what (`str`):
            What is measured, in words: `"prefix entropy"`.
        key (`tuple`):
            Tells this measurement from others: partial results of another are not used.
        model ([`~transformers.PreTrainedModel`], *optional*):
            Whose weights tell it from others too.
        window (`int`, *optional*):
            Tokens that a prompt and what is added to it may have.
        more (`int`, *optional*, defaults to `0`):
            Tokens that are added to a prompt at most.
        batch_tokens (`int`, *optional*, defaults to `16384`):
            Tokens of one batch, padding and what is added included; at least one prompt is taken.
        folder (`Path`, *optional*):
            Where partial results are kept: a probe that is killed or fails half-way goes on from there.
        accelerator ([`~accelerate.Accelerator`], *optional*):
            Of the processes that share the work; all must have the same prompts.
        others (`bool`, *optional*, defaults to `False`):
            Whether other prompts were scored before: then it is no error that these are all empty or too long.

    Raises:
        `FloatingPointError`: if not one prompt could be scored.
    """
    start = time.monotonic()
    hashes = np.array([xxhash.xxh3_64_intdigest(np.asarray(ids, np.int64).tobytes()) for ids in prompts], np.uint64)
    length = np.array([len(ids) for ids in prompts], np.int64)
    first, copy_of = np.unique(hashes, return_index=True, return_inverse=True)[1:]
    most = window if window is not None else np.iinfo(np.int64).max
    scored = first[(length[first] > 0) & (length[first] + more <= most)]
    found = np.full((len(prompts), 2), np.nan)
    if len(scored):
        world = accelerator.num_processes if accelerator is not None else 1
        found[scored] = measure_in_batches(
            by_length(length[scored] + more, batch_tokens),
            lambda batch: measure([prompts[k] for k in scored[batch]]),
            n=len(scored),
            columns=2,
            folder=folder,
            name=what.replace(" ", "_"),
            key=fingerprint((*key, batch_tokens, world, hashes), model) if folder is not None else "",
            desc=f"{what.capitalize().removesuffix('y')}ies",
            accelerator=accelerator,
            disable_tqdm=disable_tqdm,
        )
    value = found[first, 0][copy_of]
    tokens = np.zeros(len(prompts), np.int64)
    tokens[scored] = np.nan_to_num(found[scored, 1]).astype(np.int64)
    reasons = Counter(
        "empty" if n == 0 else "too long" if n + more > most else "not a number" for n in length[~np.isfinite(value)]
    )
    added = what.split()[0] if more else ""  # "prefix" of "prefix entropy"
    if reasons:
        fits = f"prompt and {added}" if added else "a prompt"
        logger.warning(
            "%d of %d prompts have no %s (%s%s): they come last.",
            sum(reasons.values()),
            len(prompts),
            what,
            _spell(reasons),
            f"; {fits} must fit into {most} tokens" if reasons["too long"] else "",
        )
    if not np.isfinite(value).any() and not (others and "not a number" not in reasons):
        sizes = f"the longest has {length.max()} tokens, {f'the {added} {more}, ' if added else ''}"
        raise FloatingPointError(
            f"None of {len(prompts)} prompts has a {what} ({_spell(reasons)}): {sizes}the engine's window {window}; "
            "make them fit, or look for logits that are not numbers."
        )
    return Scores(value, tokens, hashes, time.monotonic() - start, dict(reasons))


def _spell(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())
