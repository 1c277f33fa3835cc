"""Reading the final answer off a completion."""

import ast
import re
import unicodedata
import zlib
from decimal import Decimal
from typing import Any


Completion = str | list[dict[str, Any]]

WRAPPERS = (("**", "**"), ("$$", "$$"), ("$", "$"), ("`", "`"), (r"\(", r"\)"), (r"\[", r"\]"))
HASHES = re.compile(r"(?:^|\s)####(?:\s+|(?=[-+$\d]))(\S.*)$")
NAMED = re.compile(
    r"(?:(?:so|thus|therefore|hence|and)\b,?\s+)?(?:the |my )?(?:final |correct |right )?"
    r"answer(?: is)?(?:\s*:\s*|\s+)",
    flags=re.IGNORECASE,
)
BOLD = re.compile(r"\*\*([^*]+)\*\*[.!]?$")
NUMBER = re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+)?(\.\d*)?(e[+-]?\d{1,9})?")


def text_of(completion: Completion) -> str:
    """Return the text of a completion, standard or conversational (its last message)."""
    content = completion if isinstance(completion, str) else completion[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def extract_answer(text: str) -> str:
    r"""
    Return the short answer of a text: what it marks as such (see [`marked`]), else its last line without the markup
    around it (`**72**`, `$72$`).
    """
    text = text.rsplit("</think>", 1)[-1]
    answer = marked(text)
    if answer is None:
        answer = _bare(_last_line(text))
    return re.sub(r"\\(?:text|mathrm|texttt)\{([^{}]*)\}", r"\1", answer).strip()


def marked(text: str) -> str | None:
    r"""
    Return the answer that a text marks: the content of the last `\boxed{}`, else of the last `<answer></answer>`, else
    what follows `####` (as in GSM8K), "the answer is" or the like on the last line, else what is bold at its end.
    """
    answer = boxed(text)
    if answer is None and (tags := re.findall(r"<answer>(.*?)</answer>", text, flags=re.DOTALL)):
        return _unwrapped(tags[-1])
    return _marked_line(_last_line(text)) if answer is None else answer


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1].strip()


def _marked_line(line: str) -> str | None:
    if (after := HASHES.search(line)) is not None:
        return _marked_line(after[1]) or _bare(after[1])
    plain = re.sub(r"\*\*(.*?)\*\*", r"\1", line).lstrip("# ")
    if (named := NAMED.match(plain)) is not None:
        rest = plain[named.end() :]
        return _marked_line(rest) or _bare(rest)
    bold = BOLD.search(line)
    return None if bold is None else _bare(bold[1])


def _bare(answer: str) -> str:
    """An answer without the full stop after it and the markup around it."""
    return _unwrapped(_unwrapped(answer).rstrip(".") or answer.strip())


def _unwrapped(answer: str) -> str:
    answer = answer.strip()
    for opening, closing in WRAPPERS:
        inside = answer[len(opening) : -len(closing)]
        if answer.startswith(opening) and answer.endswith(closing) and inside.strip() and opening not in inside:
            return _unwrapped(inside)
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


def answer_hash(text: str) -> int:
    """32 bits that stand for the answer in a completion, the same for the same text but for case and spaces."""
    return zlib.crc32(normalized(extract_answer(text)).encode())


def same_answer(written: str, gold: str) -> bool:
    r"""
    Whether the answer in a completion is the gold answer: the same text, but for case and spaces, or the same number
    (commas may group its thousands; a sign of a currency or a percentage may stand beside it).

    Args:
        written (`str`):
            A completion or a short answer, read by [`extract_answer`].
        gold (`str`):
            The right answer, read likewise. One of several lines that marks no answer counts as a whole, and so does a
            completion without a mark that is compared with it.
    """
    whole = len(gold.strip().splitlines()) > 1 and marked(gold) is None
    texts = [
        normalized(text.rsplit("</think>", 1)[-1] if whole and marked(text) is None else extract_answer(text))
        for text in (written, gold)
    ]
    if texts[0] == texts[1]:
        return True
    numbers = [_quantity(text) for text in texts]
    return numbers[0] is not None and numbers[0] == numbers[1]


def _quantity(text: str) -> Decimal | None:
    """The number of an amount or a percentage, written as a text or as LaTeX: `$1,234.50`, `72 %`, `1{,}234`."""
    for latex, plain in (("{,}", ","), ("\\!", ""), ("\\,", ""), ("\\$", "$"), ("\\%", "%"), ("\u2212", "-")):
        text = text.replace(latex, plain)
    return number(re.sub(r"^([+-]?)\s*[$€£]\s*|\s*[%€]$", r"\1", text))


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
