"""A candidate row, and what generators hand back: candidates, what was rejected and why, what it cost."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from ..data.formats import chat
from ..disk.atomic import atomic_write
from ..rewards.answers import Completion, text_of


MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@dataclass(frozen=True)
class Candidate:
    """
    A row that training may be given, in TRL's prompt-completion format.

    Args:
        prompt, completion (`str` or `list[dict]`):
            Both texts, or both messages (`role` and `content`, a text).
        answer (`str`, *optional*):
            Short final answer.
        source (`str`, *optional*, defaults to `""`):
            Which generator, or which family of it, wrote the row.

    Raises:
        `ValueError`: where one of them is empty or not of these kinds.
    """

    prompt: Completion
    completion: Completion
    answer: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):
            _check(name, getattr(self, name))
        if isinstance(self.prompt, str) != isinstance(self.completion, str):
            raise ValueError("`prompt` and `completion` are a text and messages: give two texts, or messages in both.")
        if self.answer is not None and (not isinstance(self.answer, str) or not self.answer.strip()):
            raise ValueError(f"`answer` is {self.answer!r}: give a text, or null where there is no short answer.")
        if not isinstance(self.source, str):
            raise ValueError(f"`source` is {self.source!r}: give a text.")

    def as_chat(self) -> "Candidate":
        """The same row as messages."""
        if not isinstance(self.prompt, str):
            return self
        prompt: Any = chat(self.prompt, "user")
        completion: Any = chat(self.completion, "assistant")
        return dataclasses.replace(self, prompt=prompt, completion=completion)

    @property
    def question(self) -> str:
        """Text of the prompt, without a system message."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n".join(message["content"] for message in self.prompt if message["role"] != "system")

    @property
    def response(self) -> str:
        """Text of the completion (of its last message)."""
        return text_of(self.completion)


@dataclass(frozen=True)
class Rejected:
    """
    What did not become a candidate, for reading.

    Args:
        stage (`str`):
            Which check it failed: `"format"`, `"agreement"`, `"duplicates"`, `"leakage"`, …
        reason (`str`):
            Why; one of few, so that they can be counted.
        text (`str`):
            What was written, as it was written.
        source (`str`):
            By whom.
        detail (`str`):
            What the reason refers to.
    """

    stage: str
    reason: str
    text: str
    source: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Batch:
    """
    What a generator or a later check of its rows hands back.

    Args:
        accepted (`list[Candidate]`):
            Rows, in the order in which they were written.
        rejected (`list[Rejected]`):
            Everything else that was written.
        tokens (`int`):
            Tokens that a model wrote for it.
        seconds (`float`):
            Time that writing and checking took, those of interrupted calls included as far as their texts are used.
    """

    accepted: list[Candidate]
    rejected: list[Rejected]
    tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Batch") -> "Batch":
        return Batch(
            self.accepted + other.accepted,
            self.rejected + other.rejected,
            self.tokens + other.tokens,
            self.seconds + other.seconds,
        )

    def without(self, stage: str, found: Mapping[int, tuple[str, str]], seconds: float = 0.0) -> "Batch":
        """
        The batch after a further check.

        Args:
            stage (`str`):
                Name of the check.
            found (`Mapping[int, tuple[str, str]]`):
                Reason and detail of each accepted candidate that goes, by position.
            seconds (`float`, *optional*, defaults to `0.0`):
                Time that the check took.
        """
        gone = [
            Rejected(stage, reason, f"{one.question}\n{one.response}", one.source, detail)
            for one, (reason, detail) in ((self.accepted[k], found[k]) for k in sorted(found))
        ]
        left = [one for k, one in enumerate(self.accepted) if k not in found]
        return Batch(left, self.rejected + gone, self.tokens, self.seconds + seconds)

    def counts(self) -> dict[str, int]:
        """How many were rejected, by `"stage: reason"`, the most frequent first."""
        return dict(Counter(f"{one.stage}: {one.reason}" for one in self.rejected).most_common())

    def report(self) -> dict[str, Any]:
        """What came out, for a log or a table; plain numbers."""
        written = len(self.accepted) + len(self.rejected)
        return {
            "written": written,
            "accepted": len(self.accepted),
            "yield": len(self.accepted) / written if written else 0.0,
            "rejected": self.counts(),
            "sources": dict(Counter(one.source for one in self.accepted).most_common()),
            "tokens": self.tokens,
            "seconds": self.seconds,
        }


def to_dataset(candidates: Sequence[Candidate]) -> Dataset:
    """Candidates as a dataset in TRL's prompt-completion format, with the columns `answer` and `source`."""
    return Dataset(_table(candidates))


def save(rows: Sequence[Candidate] | Sequence[Rejected], path: str | Path) -> None:
    """
    Writes rows to a `.jsonl` file or, candidates only, a `.parquet` file, which is whole whenever it exists.

    Raises:
        `ValueError`: for another kind of file, and in parquet for texts and messages in one file.
    """
    path = Path(path)
    with atomic_write(path) as draft:
        if path.suffix == ".jsonl":
            with open(draft, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(dataclasses.asdict(row), ensure_ascii=False) + "\n" for row in rows)
        elif path.suffix == ".parquet" and not any(isinstance(row, Rejected) for row in rows):
            pq.write_table(_table(rows), draft)  # type: ignore[arg-type]
        else:
            raise ValueError(f"Cannot write {path.name}: name it .jsonl or, for candidates, .parquet.")


def _table(candidates: Sequence[Candidate]) -> pa.Table:
    texts = sum(isinstance(one.prompt, str) for one in candidates)
    if 0 < texts < len(candidates):
        raise ValueError(
            f"{texts} of {len(candidates)} candidates are plain texts and the others messages: one table holds one "
            "kind, write the others to another file."
        )
    kind = pa.string() if texts else MESSAGES
    schema = pa.schema([("prompt", kind), ("completion", kind), ("answer", pa.string()), ("source", pa.string())])
    return pa.Table.from_pylist([dataclasses.asdict(one) for one in candidates], schema=schema)


def _check(name: str, value: Any) -> None:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError(f"`{name}` is empty: give a text, or leave the row out.")
        return
    if not isinstance(value, list) or not value:
        raise ValueError(f"`{name}` is {value!r}: give a text or a list of messages.")
    for message in value:
        if not isinstance(message, dict) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise ValueError(f"`{name}` has the message {message!r}: give `role` and `content`, both texts.")
    if not value[-1]["content"].strip():
        raise ValueError(f"`{name}` ends in an empty message: give it a text, or leave the row out.")
