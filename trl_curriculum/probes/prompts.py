"""The prompts that a probe answers: those of the training rows, with or without what asks for a quick answer."""

import json
from collections.abc import Sequence
from typing import Any

from ..data.formats import prompt_of
from ..rewards.answers import text_of
from .prefix_entropy import PrefixEntropy
from .prompt_entropy import PromptEntropy


__all__ = ["prompt_of", "tokenize"]


def tokenize(
    prompts: list[Any],
    tokenizer: Any,
    spec: PrefixEntropy | PromptEntropy,
    chat_template: str | None = None,
    tools: Any = None,
    template_kwargs: dict[str, Any] | None = None,
    own: Sequence[dict[str, Any]] | None = None,
) -> list[list[int]]:
    """
    Token ids of prompts, each a text or a list of messages, with what asks for a quick answer in front of the question
    (the last message of a conversation).

    Args:
        prompts (`list`):
            All texts or all messages.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`] or processor):
            With a chat template, where that is used.
        spec ([`PrefixEntropy`] or [`PromptEntropy`]):
            Says what goes in front, and whether the chat template is used.
        chat_template, tools, template_kwargs (*optional*):
            As the trainer's own rollouts have them: without anything in front these are the ids that it generates
            from.
        own (`Sequence[dict]`, *optional*):
            What each row has of these itself, see [`options_of`].
    """
    conversational = not isinstance(prompts[0], str)
    other = next((k for k, prompt in enumerate(prompts) if isinstance(prompt, str) == conversational), None)
    if other is not None:
        raise ValueError(
            f"Prompts are texts and messages: the first is one kind, prompt {other} the other; give all alike."
        )
    through_template = conversational if spec.chat_template is None else spec.chat_template
    before = spec.text_before()
    if not through_template:
        texts = [prompt if isinstance(prompt, str) else _plain(prompt) for prompt in prompts]
        return [list(ids) for ids in tokenizer(text=[before + text for text in texts])["input_ids"]]
    if not conversational:
        prompts = [[{"role": "user", "content": text}] for text in prompts]
    options = {"tools": tools or None, "chat_template": chat_template, **(template_kwargs or {})}
    options |= {"enable_thinking": False} if before else {}  # a quick answer is one without thinking
    conversations = [_with(before, messages) for messages in prompts]

    def render(some: list[Any], **more: Any) -> list[list[int]]:
        made = tokenizer.apply_chat_template(
            conversation=some, add_generation_prompt=True, tokenize=True, return_dict=True, **(options | more)
        )
        return [list(ids) for ids in made["input_ids"]]

    if own is None or not any(own):
        return render(conversations)
    return [render([one], **more)[0] for one, more in zip(conversations, own, strict=True)]


def options_of(row: dict[str, Any]) -> dict[str, Any]:
    """What a row of SFT hands to the chat template beside its messages, as TRL reads it."""
    tools = row.get("tools")
    tools = json.loads(tools) if isinstance(tools, str) else tools
    return ({"tools": tools} if tools else {}) | (row.get("chat_template_kwargs") or {})


def _plain(messages: list[dict[str, Any]]) -> str:
    return "\n".join(text_of([message]) for message in messages)


def _with(before: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not before or not messages:
        return messages
    *others, last = messages
    content = last["content"]
    added = before + (content or "") if not isinstance(content, list) else [{"type": "text", "text": before}, *content]
    return [*others, {**last, "content": added}]
