"""
Which rows cannot be used, and why: found before anything is trained or generated, named, refused or left out.

Every trainer and command says it in the same words.
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ..signals import IntArray
from .files import SURROGATE
from .formats import NAMES, known_role


logger = logging.getLogger(__name__)

BLANK = re.compile("[\\s\u0000-\u001f\u00ad\u200b-\u200f\u2060\ufeff]*")  # what is not seen
SHOWN = 5  # rows that are named for each reason
BATCH = 1000
LONG = 10_000  # rows from which on a bar shows how far a check is

INSTEAD = {"refuse": "with unusable_rows: leave_out", "filter": "by `filter` of the stream"}

Flaws = dict[int, str]  # of rows that cannot be used: why


@dataclass(frozen=True)
class Rows:
    """
    The rows of a dataset that can be used, as far as they were looked at.

    Args:
        dataset (`datasets.Dataset`):
            These rows.
        position (`IntArray`, shape `(n,)`):
            Place of each in the user's dataset.
        size (`int`):
            Rows of the user's dataset.
        what (`str`):
            What it is, such as "the training dataset".
        how (`str`):
            `"refuse"` or `"leave_out"` rows that cannot be used; `"filter"` refuses those of a stream.
        speak (`bool`):
            Whether to warn of those that are left out: one process does it for all.
    """

    dataset: Dataset
    position: IntArray
    size: int
    what: str
    how: str = "refuse"
    speak: bool = True

    @classmethod
    def of(cls, dataset: Dataset, what: str, how: str = "refuse", speak: bool = True) -> "Rows":
        """All rows of a dataset."""
        return cls(dataset, np.arange(len(dataset)), len(dataset), what, how, speak)

    def without(self, flaws: Flaws) -> "Rows":
        """
        The rows that are left without those that have a flaw.

        Raises:
            `ValueError`: naming the first rows and the reasons, if they are to be refused or if none is left.
        """
        named = {int(self.position[k]): reason for k, reason in flaws.items()}
        settle(named, self.size, len(self.dataset) - len(flaws), self.what, self.how, self.speak)
        if not flaws:
            return self
        kept = np.setdiff1d(np.arange(len(self.dataset)), list(flaws))
        return replace(self, dataset=self.dataset.select(kept), position=self.position[kept])


def settle(flaws: Mapping[int, str], size: int, left: int, what: str, how: str = "refuse", speak: bool = True) -> None:
    """
    Refuses rows that cannot be used, or warns that they are left out.

    Args:
        flaws (`Mapping[int, str]`):
            Why rows cannot be used; what stands behind " | " in a reason is told of the first such row only.
        size, left (`int`):
            How many rows there were, and how many are left.
        what, how, speak:
            As in [`Rows`].

    Raises:
        `ValueError`: naming the first rows and the reasons, if they are to be refused or if none is left.
    """
    if not flaws:
        return
    if left == 0:
        raise ValueError(
            f"None of the {size} rows of {what} can be used: {spell(flaws)}. Mend them, or what they do not go with."
        )
    sentence = f"{len(flaws)} of {size} rows of {what} cannot be used: {spell(flaws)}."
    if how in INSTEAD:
        raise ValueError(f"{sentence} Mend them, or leave them out {INSTEAD[how]}.")
    if speak:
        logger.warning("%s They are left out.", sentence)


def spell(flaws: Mapping[int, str]) -> str:
    """The reasons with the first rows of each."""
    rows: dict[str, list[int]] = defaultdict(list)
    details: dict[str, str] = {}
    for row in sorted(flaws):
        reason, _, detail = flaws[row].partition(" | ")
        rows[reason].append(row)
        details.setdefault(reason, detail)
    return "; ".join(f"{reason} ({_rows(rows[reason], details[reason])})" for reason in rows)


def _rows(rows: list[int], detail: str) -> str:
    shown = ", ".join(map(str, rows[:SHOWN])) + (f", … {len(rows)} in all" if len(rows) > SHOWN else "")
    first = f"{'; the first: ' if len(rows) > 1 else ': '}{detail}" if detail else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{first}"


# What a value must be, whoever reads it


def text_flaw(value: Any, name: str) -> str | None:
    """Why a value is neither a text nor a conversation; `None` where it is one."""
    if value is None:
        return f"`{name}` is null"
    if isinstance(value, str):
        if BLANK.fullmatch(value):
            return f"`{name}` is blank"
        return f"`{name}` has half a character, which cannot be encoded" if SURROGATE.search(value) else None
    if isinstance(value, list):
        return _conversation_flaw(value, name)
    return f"`{name}` is of type {type(value).__name__}, not a text | {str(value)[:40]!r}"


def _conversation_flaw(messages: list[Any], name: str) -> str | None:
    if not messages:
        return f"`{name}` is an empty conversation"
    if not any(isinstance(message, dict) for message in messages):
        return f"`{name}` is a list of {type(messages[0]).__name__}, not a text or messages"
    for message in messages:
        if not isinstance(message, dict):
            return f"`{name}` has a message that is {message!r}"[:80]
        role, content = (message.get(new, message.get(old)) for new, old in (("role", "from"), ("content", "value")))
        if not isinstance(role, str) or BLANK.fullmatch(role):
            return f"`{name}` has a message without a role"
        if known_role(role) is None:
            return f"`{name}` has the unknown role {role!r}: name it {NAMES}"[:160]
        # Calls of tools, reasoning and the like may stand in place of a content.
        others = any(
            value for key, value in message.items() if key not in ("role", "content", "from", "value", "name")
        )
        if content is None or content == []:
            if not others:
                return f"`{name}` has a message without content"
        elif isinstance(content, list):
            if not all(isinstance(part, dict) for part in content):
                return f"`{name}` has a message whose content is a list of {type(content[0]).__name__}"
        elif not isinstance(content, str):
            return f"`{name}` has a message whose content is of type {type(content).__name__}, not a text"
        elif SURROGATE.search(content):
            return f"`{name}` has half a character, which cannot be encoded"
        elif BLANK.fullmatch(content) and not others:
            if message is messages[-1]:
                return f"`{name}` ends with a blank message"
            if known_role(role) in (
                "user",
                "assistant",
            ):  # a blank message of the system is none, a tool may return nothing
                return f"`{name}` has a blank message of the {role}"
    return None


def form_flaws(
    dataset: Dataset,
    texts: Sequence[str],
    numbers: Sequence[str] = (),
    options: Sequence[str] = (),
    *,
    quiet: bool = False,
) -> Flaws:
    """
    Rows that are not what a trainer reads: null, blank, empty, not text, or of another form than the first.

    Args:
        dataset (`datasets.Dataset`):
            Rows.
        texts (`Sequence[str]`):
            Columns with texts or conversations; in a row all of them are one kind.
        numbers (`Sequence[str]`, *optional*):
            Columns with texts or numbers.
        options (`Sequence[str]`, *optional*):
            Columns of `tools` and `chat_template_kwargs`, where the trainer hands them to the chat template.
        quiet (`bool`, *optional*, defaults to `False`):
            Whether to show no progress bar.
    """
    flaws: Flaws = {}
    first: tuple[int, bool] | None = None
    columns = [*texts, *numbers, *options]
    for k, row in enumerate(read(dataset, columns, "Checking rows", quiet) if columns else ()):
        found = [text_flaw(row[name], name) for name in texts]
        found += [text_flaw(row[name], name) for name in numbers if not _is_number(row[name])]
        found += [_option_flaw(row, name) for name in options]
        kinds = [isinstance(row[name], str) for name in texts]
        if not any(found) and len(set(kinds)) > 1:
            found.append(f"{' and '.join(f'`{name}`' for name in texts)} are a text and messages")
        reason = next((one for one in found if one), None)
        if reason is None and kinds:
            first = (k, kinds[0]) if first is None else first
            if kinds[0] != first[1]:
                words = ("a conversation", "a text")
                reason = f"`{texts[0]}` is {words[kinds[0]]}, and that of row {first[0]} {words[first[1]]}"
        if reason is not None:
            flaws[k] = reason
    return flaws


def _option_flaw(row: dict[str, Any], name: str) -> str | None:
    value = row[name]
    if name == "chat_template_kwargs":
        return None if isinstance(value, dict) else f"`{name}` is {value!r}, not a mapping"[:80]
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return f"`{name}` is a text that is not JSON"
    return None if isinstance(value, list | None) else f"`{name}` is a {type(value).__name__}, not a list of tools"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value == value


def read(dataset: Dataset, columns: Sequence[str], label: str, quiet: bool = False) -> Iterator[dict[str, Any]]:
    """Rows of a dataset, with these columns only."""
    rows = dataset.select_columns([*columns])
    rows = rows if rows.format["type"] == "custom" else rows.with_format(None)
    with tqdm(total=len(rows), desc=label, disable=quiet or len(rows) < LONG) as bar:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            size = min(BATCH, len(rows) - start)
            for k in range(size):
                yield {name: batch[name][k] for name in columns}
            bar.update(size)
