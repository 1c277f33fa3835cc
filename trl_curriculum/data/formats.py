"""One row in TRL's formats: conversations, prompts and completions, whatever names a dataset has for them."""

import json
import math
from typing import Any

from ..options import shorten


Message = dict[str, Any]
Half = str | list[Message] | None  # a prompt or a completion: a text, messages, or nothing

ROLES = {  # by any name, the one that chat templates know
    "system": "system",
    "developer": "developer",
    **dict.fromkeys(("user", "human", "prompter", "question"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "bing", "bard", "bot", "model", "ai", "chatbot", "answer"), "assistant"
    ),
    **dict.fromkeys(("tool", "observation", "tool_response"), "tool"),
    "function": "function",
    "ipython": "ipython",
}
NAMES = "system, user, assistant or tool (or as ShareGPT does: human, gpt)"
CONVERSATIONS = ("messages", "conversations")
ALPACA = ("instruction", "output")  # with `input`, which may be empty
SET = "set `prompt_column` and `completion_column`"


def to_messages(value: Any, what: str) -> list[Message]:
    """
    Messages with `role` and `content`, of which ShareGPT's `from` and `value` are other names, and so is `human` for
    `user`. Other keys stay.

    Raises:
        `ValueError`: with `what` holds them, for an unknown role, and for what is no message.
    """
    if not isinstance(value, list):
        raise ValueError(f"{what} holds {shorten(value)}, not a list of messages.")
    return [_message(one, k, what) for k, one in enumerate(value)]


def with_known_names(value: Any) -> Any:
    """
    Messages with the names that chat templates know, as far as they are known: `from` and `value` become `role` and
    `content`, `human` becomes `user`. All else stays as it is, for the check of rows to judge.
    """
    if not isinstance(value, list):
        return value
    return [_renamed(one) if isinstance(one, dict) else one for one in value]


def _renamed(message: Message) -> Message:
    made = {name: value for name, value in message.items() if name not in ("role", "content", "from", "value")}
    for name, other in (("content", "value"), ("role", "from")):
        if {name, other} & message.keys():
            made = {name: message[name] if message.get(name) is not None else message.get(other), **made}
    role = made.get("role")
    return {**made, "role": known_role(role) or role} if isinstance(role, str) else made


def known_role(role: str) -> str | None:
    """The role that chat templates know, by any name; `None` where there is none."""
    return ROLES.get(role.strip().casefold())


def to_text(value: Any, what: str) -> str | None:
    """
    A value as text: a number as a file shows it, null (and NaN) as null.

    Raises:
        `ValueError`: for a list or a mapping, with `what` holds it.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return None if isinstance(value, float) and math.isnan(value) else json.dumps(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise ValueError(
        f"{what} holds a {type(value).__name__}, {shorten(value)}, where a text is needed: name another column."
    )


def to_half(value: Any, what: str) -> Half:
    """A prompt or a completion: messages as such, all else as text."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and {"role", "from"} & value[0].keys():
        return to_messages(value, what)
    return [] if value == [] else to_text(value, what)


def to_completion(value: Any, what: str) -> Half:
    """A completion: a text, or the last turn of messages (as preference data have them: the whole conversation)."""
    half = to_half(value, what)
    if not isinstance(half, list) or not half:
        return half
    if half[-1]["role"] != "assistant":
        raise ValueError(f"{what} ends with the turn of {half[-1]['role']!r}, and an answer is the assistant's.")
    if sum(one["role"] == "user" for one in half) > 1:
        raise ValueError(
            f"{what} holds a conversation of several turns, not the answer to one prompt: use `messages`."
        )
    return half[-1:]


def chat(half: Half, role: str) -> list[Message] | None:
    """A prompt (`role` is `user`) or a completion (`assistant`) as messages."""
    return [{"role": role, "content": half}] if isinstance(half, str) else half


def conversation_of(row: dict[str, Any]) -> list[Message] | None:
    """The whole conversation of a row in any format, `None` where it has none."""
    name = next((name for name in CONVERSATIONS if row.get(name) is not None), None)
    if name is not None:
        return to_messages(row[name], f"`{name}`")
    prompt, completion = example_of(row)
    if prompt is None or completion is None:
        return None
    return [*(chat(prompt, "user") or []), *(chat(completion, "assistant") or [])]


def prompt_of(row: dict[str, Any]) -> Any:
    """A row's prompt, as text or as messages: a conversation is cut before its last answer; `None` without any."""
    if row.get("prompt") is not None:
        return to_half(row["prompt"], "`prompt`")
    messages = next((to_messages(row[name], f"`{name}`") for name in CONVERSATIONS if row.get(name)), None)
    return None if messages is None else messages[: last_answer(messages)]


def example_of(row: dict[str, Any]) -> tuple[Half, Half]:
    """
    Prompt and completion of a row in any format, `None` for what it lacks. Of a conversation, the completion is its
    last turn.

    Raises:
        `ValueError`: for a conversation that does not end with an answer.
    """
    if row.get("prompt") is not None and row.get("completion") is not None:
        prompt, completion = to_half(row["prompt"], "`prompt`"), to_half(row["completion"], "`completion`")
        if isinstance(prompt, list) != isinstance(completion, list):
            return chat(prompt, "user"), chat(completion, "assistant")
        return prompt, completion
    name = next((name for name in CONVERSATIONS if row.get(name) is not None), None)
    if name is not None:
        messages = to_messages(row[name], f"`{name}`")
        if messages and messages[-1]["role"] != "assistant":
            raise ValueError(
                f"`{name}` ends with the turn of {messages[-1]['role']!r}, not with an answer: drop that turn."
            )
        return (messages[:-1], messages[-1:]) if messages else (None, None)
    if set(ALPACA) <= row.keys():
        return question_of(row), to_text(row["output"], "`output`")
    return prompt_of(row), None


def answer_of(row: dict[str, Any]) -> str | None:
    """The text of a row's reference answer: its completion, or the last answer of its conversation."""
    if row.get("completion") is not None:
        half = to_half(row["completion"], "`completion`")
    else:
        name = next((name for name in CONVERSATIONS if row.get(name)), None)
        messages = to_messages(row[name], f"`{name}`") if name is not None else []
        half = [one for one in messages if one["role"] == "assistant"]
    if not isinstance(half, list):
        return half
    content = half[-1]["content"] if half else None
    return content if isinstance(content, str | None) else "".join(part.get("text") or "" for part in content)


def question_of(row: dict[str, Any]) -> str | None:
    """The question of Alpaca's columns: the instruction, and the input where there is one."""
    if not set(ALPACA) <= row.keys():
        return None
    parts = [to_text(row.get(name), f"`{name}`") for name in ("instruction", "input")]
    return None if parts[0] is None else "\n\n".join(part for part in parts if part and part.strip())


def last_answer(messages: list[Message]) -> int:
    """Where the last answer of a conversation stands; its length where it has none."""
    return next((k for k in range(len(messages))[::-1] if messages[k]["role"] == "assistant"), len(messages))


def _message(one: Any, k: int, what: str) -> Message:
    if not isinstance(one, dict):
        raise ValueError(f"{what} holds {shorten(one)} as message {k}, not a role and a content.")
    made = {}
    for name, other in (("role", "from"), ("content", "value")):
        if name not in one and other not in one:
            raise ValueError(f"{what} has message {k} without `{name}` (or `{other}`), only {', '.join(one)}.")
        made[name] = one[name] if one.get(name) is not None else one.get(other)
    role = made["role"]
    known = known_role(role) if isinstance(role, str) else None
    if known is None and role is not None:  # null is left to the check of rows
        raise ValueError(f"{what} has the unknown role {role!r} in message {k}: name it {NAMES}.")
    content = made["content"]
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        content = to_text(content, f"{what}, message {k},")
    others = {key: value for key, value in one.items() if key not in ("role", "content", "from", "value")}
    return {"role": known, "content": content, **others}
