"""Candidates of rows in any format."""

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from ..data.columns import check_column
from ..data.formats import example_of, to_half, to_text
from ..rewards.answers import text_of
from .candidates import Candidate


def from_dataset(
    rows: Dataset,
    source_column: str | None = None,
    answer_column: str | None = None,
    numbers: Sequence[int] | None = None,
) -> list[Candidate]:
    """
    Rows in any format with prompts and answers as candidates, see [`from_row`].

    Args:
        rows (`Dataset`):
            With `prompt` and `completion`, `messages`, or another format of [`~trl_curriculum.data.formats`].
        source_column (`str`, *optional*):
            Names the source of each row. Default: `source`, where it is there.
        answer_column (`str`, *optional*):
            Holds its short answer; `"completion"`: the whole completion is that. Default: `answer`, where it is there.
        numbers (`Sequence[int]`, *optional*):
            What errors call the rows, where they are some of many.

    Raises:
        `ValueError`: with the row, for one that is no candidate.
    """
    whole = answer_column == "completion"
    for role, name in (("source_column", source_column), ("answer_column", None if whole else answer_column)):
        if name is not None:
            check_column(name, rows.column_names, role)
    made = []
    for index, row in enumerate(rows):
        try:
            made.append(from_row(row, source_column or "source", answer_column or "answer"))
        except ValueError as error:
            number = index if numbers is None else numbers[index]
            raise ValueError(f"Row {number} (counted from 0): {error}") from error
    return in_one_form(made)


def from_row(row: Mapping[str, Any], source: str = "source", answer: str = "answer") -> Candidate:
    """
    A row in any format as a candidate: the completion of a conversation is its last answer.

    Args:
        row (`Mapping`):
            Its columns.
        source, answer (`str`, *optional*):
            Columns with its source and its short answer; `answer="completion"`: the whole completion is that.

    Raises:
        `ValueError`: where it has no prompt or no completion, or they hold what a candidate does not keep.
    """
    prompt, completion = (_plain(half) for half in example_of(dict(row)))
    for name, value in (("prompt", prompt), ("completion", completion)):
        if value is None:
            raise ValueError(
                f"`{name}` is missing or null; the row has {sorted(row)}: give prompt and completion, messages, or "
                "conversations."
            )
    if answer == "completion":
        given: str | None = text_of(completion)
    else:
        half = to_half(row.get(answer), f"`{answer}`")
        given = text_of(half) if half else None
    return Candidate(prompt, completion, given or None, to_text(row.get(source), f"`{source}`") or "")


def in_one_form(*groups: list[Candidate]) -> Any:
    """Groups of candidates that are all texts or all messages: where some are messages, texts become messages."""
    if any(not isinstance(one.prompt, str) for group in groups for one in group):
        groups = tuple([one.as_chat() for one in group] for group in groups)
    return groups if len(groups) > 1 else groups[0]


def _plain(half: Any) -> Any:
    """Messages with what candidates keep of them."""
    if not isinstance(half, list):
        return half
    for message in half:
        lost = [name for name in ("tool_calls", "function_call") if message.get(name)]
        if lost:
            raise ValueError(f"a message has `{lost[0]}`, which candidates do not keep: leave such rows out.")
    return [{"role": message["role"], "content": _content(message["content"])} for message in half]


def _content(content: Any) -> Any:
    """Parts of texts as one text; an image or another part stays, and is refused."""
    texts = isinstance(content, list) and all(part.keys() >= {"text"} and part.get("text") for part in content)
    return "".join(part["text"] for part in content) if texts else content
