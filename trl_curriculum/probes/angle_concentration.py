"""How concentrated the angles of a prompt's hidden states are: GAIN-RL's score of what a model learns first."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..lm.angles import angle_concentrations
from ..registry import option
from ..rewards.answers import text_of
from .base import PROBES, Probe
from .scores import Scores


logger = logging.getLogger(__name__)

MARK = "\u2060question\u2060"  # stands for a question where its place is looked for


@PROBES.add("angle_concentration", paper="arXiv 2506.02281")
@dataclass(frozen=True)
class AngleConcentration(Probe):
    r"""
    The angle concentration of a prompt, which `trl-curriculum score` measures: the larger, the sooner it is learned.

    $$ \operatorname{mean}_{i, j \in Q} \cos(x_i, x_j) + w \operatorname{mean}_{i \in Q, j \in S} \cos(x_i, x_j), $$

    with x the states that enter the last layer's `mlp.up_proj`, Q the tokens of the question, which is the last
    message, and S all before them: the system prompt, other messages and the marks of the chat template. Both are
    found by rendering the template with another question; in a plain text all is the question. One forward a prompt.

    The paper's code counts 110 tokens as the system prompt whatever it is, and, by an index that is taken twice of
    rows, averages over other blocks of the matrix than it says; the formula here is that of its words.

    Source: Wang et al. 2025, arXiv 2506.02281, and its code.
    """

    weight: float = option(8.0, "w.", "its code's (the paper: 1)", least=0, most=1e6)
    max_length: int = option(
        1024, "Tokens of a prompt at most; a longer one has no score.", "its code's, which cuts it", least=1
    )


@dataclass(frozen=True)
class Span:
    """Token ids of a prompt, and where the question's begin and end."""

    ids: list[int]
    begin: int
    end: int

    def __len__(self) -> int:
        return len(self.ids)


def check_fast(tokenizer: Any) -> None:
    """Refuses a tokenizer that does not tell which characters its tokens stand for."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"angle_concentration must know which characters a token stands for, and {type(tokenizer).__name__} does "
            "not tell: take a model with a fast tokenizer."
        )


def spans(prompts: Sequence[Any], tokenizer: Any, own: Sequence[dict[str, Any]]) -> list[Span]:
    """
    Token ids of prompts, and where their questions are.

    Args:
        prompts (`Sequence`):
            Texts or messages.
        tokenizer ([`~transformers.PreTrainedTokenizerFast`]):
            With a chat template for messages.
        own (`Sequence[dict]`):
            What each row hands to the chat template.

    Raises:
        `ValueError`: where the template hides a question.
    """
    return [_span(prompt, tokenizer, more) for prompt, more in zip(prompts, own, strict=True)]


def _span(prompt: Any, tokenizer: Any, own: dict[str, Any]) -> Span:
    text, begin, end = prompt, 0, len(prompt)
    if not isinstance(prompt, str):

        def render(question: str) -> str:
            messages = [*prompt[:-1], {**prompt[-1], "content": question}]
            return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **own))

        text = render(text_of(prompt))
        before, _, after = render(MARK).partition(MARK)
        begin, end = len(before), len(text) - len(after)
        if not text.startswith(before) or not text.endswith(after):
            raise ValueError("the question cannot be found in it")
    made = tokenizer(text=text, add_special_tokens=isinstance(prompt, str), return_offsets_mapping=True)
    inside = [k for k, (start, stop) in enumerate(made["offset_mapping"]) if max(start, begin) < min(stop, end)]
    return Span(list(made["input_ids"]), inside[0] if inside else 0, inside[-1] + 1 if inside else 0)


def angle_concentration(
    prompts: Sequence[Span],
    model: Any,
    spec: AngleConcentration,
    *,
    window: int | None = None,
    folder: Path | None = None,
    disable_tqdm: bool = False,
) -> Scores:
    """
    Scores prompts by the angle concentration of their questions.

    Args:
        prompts (`Sequence[Span]`):
            Token ids, with the place of the question.
        model ([`~transformers.PreTrainedModel`]):
            The model.
        spec ([`AngleConcentration`]):
            What is measured.
        window (`int`, *optional*):
            Tokens that the model reads at most.
        folder (`Path`, *optional*):
            Where partial results are kept: a run that is killed goes on from there.

    Raises:
        `FloatingPointError`: if not one prompt could be scored.
    """
    start = time.monotonic()
    most = spec.max_length if window is None else min(window, spec.max_length)
    begin, end = (np.array([getattr(one, name) for one in prompts], np.int64) for name in ("begin", "end"))
    length = np.array([len(one) for one in prompts], np.int64)
    scored = np.flatnonzero((end > begin) & (length <= most))
    value = np.full(len(prompts), np.nan)
    if len(scored):
        value[scored] = angle_concentrations(
            model,
            [prompts[k].ids for k in scored.tolist()],
            begin[scored],
            end[scored],
            spec.weight,
            batch_tokens=spec.batch_tokens,
            folder=folder,
            disable_tqdm=disable_tqdm,
        )
    reasons = Counter(
        "without a question" if end[k] == begin[k] else "too long" if length[k] > most else "not a number"
        for k in np.flatnonzero(~np.isfinite(value))
    )
    words = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    if not np.isfinite(value).any():
        raise FloatingPointError(
            f"None of {len(prompts)} prompts has an angle concentration ({words}): the longest has {length.max()} "
            f"tokens, and at most {most} are read; make them fit, or look for states that are not numbers."
        )
    if reasons:
        logger.warning("%d of %d prompts have no angle concentration (%s).", reasons.total(), len(prompts), words)
    tokens = np.where(np.isfinite(value), end - begin, 0)
    return Scores(value, tokens, np.zeros(len(prompts), np.uint64), time.monotonic() - start, dict(reasons))
