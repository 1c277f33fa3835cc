"""Rows that rounds are given, without those that cannot be used."""

from collections.abc import Callable
from typing import Any

import numpy as np
from datasets import Dataset

from ..data.rendered import refusal
from ..data.rows import Flaws, Rows, form_flaws, settle, text_flaw
from ..generators import Candidate
from ..generators.reading import from_row


def usable_examples(rows: Dataset, what: str, args: Any) -> Dataset:
    """Rows in one of TRL's formats, as far as they have a prompt and an answer, texts or messages."""
    checked = Rows.of(rows, what, args.unusable_rows, args.process_index == 0)
    texts = [name for name in ("prompt", "completion") if name in rows.column_names]
    flaws = form_flaws(rows, texts)
    for k, row in enumerate(rows if not texts else ()):
        try:
            from_row(row)
        except ValueError as error:
            flaws[k] = str(error).rstrip(".")
    return checked.without(flaws).dataset


def usable_candidates(
    candidates: list[Candidate],
    tokenizer: Any,
    what: str,
    how: str = "refuse",
    speak: bool = True,
    place: list[int] | None = None,
) -> list[Candidate]:
    """
    Candidates that can be encoded, and that the chat template takes.

    Args:
        candidates (`list[Candidate]`):
            The rows.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Of the model that reads them.
        what, how, speak:
            As in [`~trl_curriculum.data.rows.settle`].
        place (`list[int]`, *optional*):
            What messages call the rows, where they are some of many.

    Raises:
        `ValueError`: naming the first rows and the reasons, where they are refused.
    """
    flaws: Flaws = {}
    for k, one in enumerate(candidates):
        reason = text_flaw(one.prompt, "prompt") or text_flaw(one.completion, "completion")
        if reason is None and isinstance(one.prompt, list) and isinstance(one.completion, list):
            reason = refusal(_render(tokenizer, one.prompt, one.completion))
        if reason is not None:
            flaws[k] = reason
    named = flaws if place is None else {place[k]: reason for k, reason in flaws.items()}
    settle(named, len(candidates), len(candidates) - len(flaws), what, how, speak)
    return [candidates[k] for k in np.setdiff1d(np.arange(len(candidates)), list(flaws))]


def _render(tokenizer: Any, prompt: list[Any], completion: list[Any]) -> Callable[[], None]:
    def render() -> None:
        tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        tokenizer.apply_chat_template(prompt + completion, tokenize=False)

    return render
