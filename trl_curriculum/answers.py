"""Reading the final answer off a completion."""

import ast
import re
from typing import Any


Completion = str | list[dict[str, Any]]


def text_of(completion: Completion) -> str:
    """Return the text of a completion, standard or conversational (its last message)."""
    content = completion if isinstance(completion, str) else completion[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def extract_answer(text: str) -> str:
    r"""Return the content of the last `\boxed{}`, else of the last `<answer></answer>`, else the last line."""
    text = text.rsplit("</think>", 1)[-1]
    answer = boxed(text)
    if answer is None and (tags := re.findall(r"<answer>(.*?)</answer>", text, flags=re.DOTALL)):
        answer = tags[-1]
    if answer is None:
        line = (text.strip().splitlines() or [""])[-1]
        answer = re.sub(r"^(the )?(final )?answer( is)?\s*:?\s+", "", line.strip(), flags=re.IGNORECASE).rstrip(".")
    return re.sub(r"\\(?:text|mathrm|texttt)\{([^{}]*)\}", r"\1", answer).strip()


def boxed(text: str) -> str | None:
    r"""Return the content of the last complete `\boxed{}`, with its braces balanced."""
    opened: list[tuple[bool, int]] = []  # of each open brace: whether it is a box's, and where its content starts
    last: tuple[int, int] | None = None
    for brace in re.finditer(r"\\boxed\{|[{}]", text):
        if brace.group() != "}":
            opened.append((brace.group() != "{", brace.end()))
        elif opened:
            is_box, start = opened.pop()
            if is_box and (last is None or start > last[0]):
                last = start, brace.start()
    return None if last is None else text[slice(*last)]


def is_literal(text: str) -> bool:
    """Return whether a text is a Python literal, which evaluates to data and runs nothing."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return len(text) < 10_000
