"""Reading the final answer off a completion."""

import ast
import re
import unicodedata
from decimal import Decimal
from typing import Any


Completion = str | list[dict[str, Any]]

NUMBER = re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+)?(\.\d*)?(e[+-]?\d{1,9})?")


def text_of(completion: Completion) -> str:
    """Return the text of a completion, standard or conversational (its last message)."""
    content = completion if isinstance(completion, str) else completion[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def extract_answer(text: str) -> str:
    r"""Return the content of the last `\boxed{}`, else of the last `<answer></answer>`, else the last line."""
    text = text.rsplit("</think>", 1)[-1]
    answer = marked(text)
    if answer is None:
        line = (text.strip().splitlines() or [""])[-1]
        answer = re.sub(r"^(the )?(final )?answer( is)?\s*:?\s+", "", line.strip(), flags=re.IGNORECASE).rstrip(".")
    return re.sub(r"\\(?:text|mathrm|texttt)\{([^{}]*)\}", r"\1", answer).strip()


def marked(text: str) -> str | None:
    r"""Return the content of the last `\boxed{}`, else of the last `<answer></answer>`."""
    answer = boxed(text)
    if answer is None and (tags := re.findall(r"<answer>(.*?)</answer>", text, flags=re.DOTALL)):
        return tags[-1]
    return answer


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


def same_answer(written: str, gold: str) -> bool:
    r"""
    Whether the answer in a completion is the gold answer: the same text, but for case and spaces, or the same number
    (commas may group its thousands).

    Args:
        written (`str`):
            A completion or a short answer, read by [`extract_answer`].
        gold (`str`):
            The right answer, read likewise. One of several lines without `\boxed{}` or `<answer></answer>` counts as a
            whole, and so does a completion without them that is compared with it.
    """
    whole = len(gold.strip().splitlines()) > 1 and marked(gold) is None
    texts = [
        normalized(text.rsplit("</think>", 1)[-1] if whole and marked(text) is None else extract_answer(text))
        for text in (written, gold)
    ]
    if texts[0] == texts[1]:
        return True
    numbers = [number(text) for text in texts]
    return numbers[0] is not None and numbers[0] == numbers[1]


def number(text: str) -> Decimal | None:
    """The exact value of a decimal number, with or without commas that group its thousands; `None` for all else."""
    if not NUMBER.fullmatch(text) or not any(sign.isdecimal() for sign in text.split("e")[0]):
        return None
    return Decimal(text.replace(",", ""))


def is_literal(text: str) -> bool:
    """Return whether a text is a Python literal, which evaluates to data and runs nothing."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return len(text) < 10_000
