"""Reading the final answer off a completion."""

import ast
import re
import unicodedata
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


def normalized(text: str) -> str:
    """A text without what does not tell it from another: case, width of letters, spaces and line breaks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def same_answer(one: str, other: str) -> bool:
    """Whether two short answers are the same text, but for case and spaces, or the same number."""
    texts = [normalized(extract_answer(text)) for text in (one, other)]
    if texts[0] == texts[1]:
        return True
    try:
        first, second = (float(text.replace(",", "")) for text in texts)
    except ValueError:
        return False
    return first == second


def is_literal(text: str) -> bool:
    """Return whether a text is a Python literal, which evaluates to data and runs nothing."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return len(text) < 10_000
