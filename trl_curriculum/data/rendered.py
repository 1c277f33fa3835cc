"""What a tokenizer and its chat template make of rows: refusals, lengths, and the prompt as a model sees it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from datasets import Dataset
from jinja2 import TemplateError

from ..signals import IntArray
from .rows import Flaws


def refusal(render: Callable[[], Any]) -> str | None:
    """Why a row cannot be rendered or encoded, in the words of its chat template; `None` where it can."""
    try:
        render()
    except (TemplateError, TypeError, ValueError, KeyError) as error:  # a template is code of somebody else's
        words = (str(error).strip().splitlines() or [""])[0]
        return f"the chat template refuses it: {words or type(error).__name__}"[:200]
    return None


def check_prompts(
    prompts: Iterable[Any],
    tokenize: Callable[[list[Any]], list[list[int]]],
    window: int | None = None,
    new_tokens: int = 0,
    batch: int = 256,
) -> tuple[Flaws, IntArray]:
    """
    Prompts that cannot be generated from: those that the chat template refuses, that have no token, or that leave no
    room for what is generated.

    Args:
        prompts (`Iterable`):
            Texts or messages, all of one kind.
        tokenize (`Callable`):
            Token ids of several prompts, as the trainer makes them.
        window (`int`, *optional*):
            Tokens of prompt and completion that fit; `None` for any number.
        new_tokens (`int`, *optional*, defaults to `0`):
            Tokens that are generated.

    Returns:
        `tuple[Flaws, IntArray]`: why prompts cannot be used, and the tokens of each, shape `(n,)`; -1 where they are
        not known.
    """
    flaws: Flaws = {}
    lengths: list[int] = []
    for part in _batches(prompts, batch):
        if refusal(lambda part=part: lengths.extend(map(len, tokenize(part)))) is not None:  # type: ignore[misc]
            for k, prompt in enumerate(part, start=len(lengths)):
                reason = refusal(lambda prompt=prompt: lengths.append(len(tokenize([prompt])[0])))  # type: ignore[misc]
                if reason is not None:
                    flaws[k] = reason
                    lengths.append(-1)
    length = np.array(lengths, np.int64)
    flaws |= {int(k): "it has no token" for k in np.flatnonzero(length == 0)}
    if window is not None:
        needed = f"{new_tokens} new tokens do" if new_tokens else "an answer do"
        for k in np.flatnonzero(length + max(1, new_tokens) > window).tolist():
            flaws[k] = f"its prompt and {needed} not fit into {window} tokens | {length[k]} tokens"
    return flaws, length


def _batches(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    part: list[Any] = []
    for value in values:
        part.append(value)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def window_of(config: Any) -> int | None:
    """Tokens that a model reads at most, by its configuration; `None` where it does not say."""
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    scaling = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    if positions is None or not isinstance(scaling, Mapping) or not isinstance(scaling.get("factor"), int | float):
        return positions
    before = scaling.get("original_max_position_embeddings") or positions
    return max(positions, int(before * scaling["factor"]))


def first_prompt(
    rows: Dataset | list[dict[str, Any]],
    tokenizer: Any,
    chat_template: str | None = None,
    tools: Any = None,
    template_kwargs: dict[str, Any] | None = None,
) -> str:
    """
    The prompt of the first row as the model sees it, special tokens included.

    Args:
        rows (`datasets.Dataset` or `list[dict]`):
            With a `prompt`.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            The model's.
        chat_template, tools, template_kwargs (*optional*):
            As the trainer's rollouts have them.
    """
    prompt = rows[0]["prompt"]
    if isinstance(prompt, str):
        return tokenizer.decode(tokenizer(text=prompt)["input_ids"])
    options = {"chat_template": chat_template, "tools": tools or None, **(template_kwargs or {})}
    return tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False, **options)
