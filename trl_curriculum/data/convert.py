"""Whole datasets in TRL's formats: one format for all rows, whatever each of them came in."""

import os
from collections.abc import Callable
from typing import Any

from datasets import Dataset, Features, Json, LargeList, List

from .formats import (
    ALPACA,
    CONVERSATIONS,
    ROLES,
    SET,
    Half,
    answer_of,
    chat,
    conversation_of,
    prompt_of,
    question_of,
    to_half,
    to_messages,
    to_text,
)
from .tables import Shapes


ROWS = "(counted from 0)"
EXAMPLE = ("prompt", "completion")
Row = dict[str, Any]


def rewrite(dataset: Dataset, make: Callable[[Row], Row], drop: tuple[str, ...] = ()) -> Dataset:
    """
    The dataset with columns that are made of each row, and without some.

    Raises:
        `ValueError`: with the row's number, where `make` raises one.
    """
    shapes = Shapes()

    def made(row: Row, index: int) -> Row:
        try:
            return make(row)
        except ValueError as error:
            raise ValueError(f"Row {index} {ROWS}: {error}") from error

    for index, row in enumerate(dataset):
        shapes.add(made(row, index))
    new = shapes.features
    gone = [name for name in drop if name in dataset.column_names and name not in new]
    left = {name: kind for name, kind in dataset.features.items() if name not in gone}
    return dataset.map(made, with_indices=True, remove_columns=gone, features=Features({**left, **new}))


def to_prompts(
    dataset: Dataset,
    column: str = "prompt",
    ask: Callable[[str], Half] = str,
    answers: bool = True,
) -> Dataset:
    """
    The dataset with a column `prompt`: of its own, of plain questions in another column, of Alpaca's columns, or of
    conversations, which are cut before their last answer. That becomes the column `answer`, unless there is one.

    Args:
        dataset (`Dataset`):
            With one of them.
        column (`str`, *optional*, defaults to `"prompt"`):
            Column with the questions.
        ask (`Callable`, *optional*):
            Makes a prompt of a plain question (of another column, or of Alpaca's).
        answers (`bool`, *optional*, defaults to `True`):
            Whether the last answers of conversations become `answer`.

    Raises:
        `ValueError`: where there is none, and for a value that is no prompt, with its row.
    """
    have = set(dataset.column_names)
    if column != "prompt":
        return rewrite(dataset, lambda row: {"prompt": _asked(row[column], f"`{column}`", ask)}, (column,))
    conversations = tuple(name for name in CONVERSATIONS if name in have)
    if "prompt" in have and (not conversations or not _nulls(dataset, "prompt")):
        return _one_kind(_clean(dataset, ("prompt",)), ("prompt",))
    if not conversations and not set(ALPACA) <= have:
        raise ValueError(f"The dataset has no column 'prompt', only {dataset.column_names}: set `prompt_column`.")
    answers = answers and "answer" not in have and bool(conversations)
    if answers:
        say("Prompts are conversations without their last answer, which is the column `answer`.")

    def make(row: Row) -> Row:
        prompt = prompt_of(row)
        prompt = ask(prompt) if isinstance(prompt, str) and prompt == question_of(row) else prompt
        return {"prompt": prompt, **({"answer": answer_of(row)} if answers else {})}

    return _one_kind(rewrite(dataset, make, (*conversations, *ALPACA[:1], "input")), ("prompt",))


def to_examples(dataset: Dataset, text_column: str = "text", ask: Callable[[str], Half] = str) -> Dataset:
    """
    The dataset in one of TRL's formats for SFT: the first that it has of `messages` (`conversations` too), `prompt`
    and `completion`, texts, and tokens, else prompt and completion of Alpaca's columns. The columns of other formats
    go. Rows in several formats become messages.

    Raises:
        `ValueError`: where it has none, and for a value that is no message or no text, with its row.
    """
    have = set(dataset.column_names)
    formats = (("messages",), EXAMPLE, (text_column,), ("conversations",), ("input_ids",), ALPACA)
    there = [columns for columns in formats if have.issuperset(columns)]
    if not there:
        raise ValueError(
            f"The dataset has neither a column 'messages' nor '{text_column}' nor 'prompt' and 'completion', only "
            f"{dataset.column_names}: {SET}."
        )
    first = there[0]
    others = tuple(name for columns in formats for name in columns if name not in first)
    several = [columns for columns in there if columns not in ((text_column,), ("input_ids",))]
    if len(several) > 1 and first in several and _nulls(dataset, *first):
        say("Rows come in several formats: all become conversations, the column `messages`.")
        return rewrite(dataset, lambda row: {"messages": conversation_of(row)}, (*EXAMPLE, *others, "input"))
    if first == ALPACA:

        def make(row: Row) -> Row:
            question, answer = question_of(row), to_text(row["output"], "`output`")
            return {"prompt": ask(question) if question is not None else None, "completion": chat(answer, "assistant")}

        return rewrite(dataset, make, (*ALPACA, "input"))
    dropped = [name for name in others if name in have]
    if first == ("input_ids",):
        return dataset.remove_columns(dropped)
    return _one_kind(_clean(dataset.remove_columns(dropped), first, text_column), EXAMPLE)


def in_common(parts: dict[str, Dataset], prompts: bool) -> dict[str, Dataset]:
    """
    Datasets of a mixture, each in one of TRL's formats, in a common one.

    Raises:
        `ValueError`: with the sources, where they have none in common, or a column of two types.
    """
    names = ("prompt",) if prompts else EXAMPLE
    kinds = {source: _format(part, names) for source, part in parts.items()}
    if len(set(kinds.values())) > 1:
        other = next((s for s, kind in kinds.items() if kind not in ("messages", "texts", "chats")), None)
        if other is not None:
            rest = next(s for s, kind in kinds.items() if kind != kinds[other])
            raise ValueError(
                f"Source '{other}' has {kinds[other]}, and source '{rest}' {kinds[rest]}: a mixture needs one format, "
                "give both as messages, or both as prompt and completion."
            )
        if prompts or "messages" not in kinds.values():
            say("Sources have texts and conversations: all become conversations.")
            parts = {source: rewrite(part, lambda row: _chats(row, names)) for source, part in parts.items()}
        else:
            say("Sources have different formats: all rows become conversations, the column `messages`.")
            parts = {
                source: part if kinds[source] == "messages" else rewrite(part, _messages, EXAMPLE)
                for source, part in parts.items()
            }
    return _one_type(parts, ("messages", *EXAMPLE))


def _messages(row: Row) -> Row:
    return {"messages": conversation_of(row)}


def _chats(row: Row, names: tuple[str, ...]) -> Row:
    roles = {"prompt": "user", "completion": "assistant"}
    return {name: chat(to_half(row[name], f"`{name}`"), roles[name]) for name in names}


def _format(dataset: Dataset, names: tuple[str, ...]) -> str:
    """What a part of a mixture holds, in words that an error can use."""
    have = set(dataset.column_names)
    if "messages" in have and names == EXAMPLE:
        return "messages"
    if have.issuperset(names):
        return "chats" if _is_list(dataset.features["prompt"]) else "texts"
    return "tokens" if "input_ids" in have else "whole texts"


def _one_type(parts: dict[str, Dataset], conversational: tuple[str, ...]) -> dict[str, Dataset]:
    """Parts whose columns have the same types, so that they can be concatenated."""
    kinds: dict[str, dict[str, Any]] = {}
    for source, part in parts.items():
        for name, kind in part.features.items():
            if "null" not in repr(kind):
                kinds.setdefault(name, {})[source] = kind
    for name, found in kinds.items():
        first, *others = found
        other = next((source for source in others if found[source] != found[first]), None)
        if other is None:
            continue
        if name not in conversational:
            raise ValueError(
                f"The column '{name}' is {found[first]} in source '{first}' and {found[other]} in source '{other}': "
                "make them alike, or leave it out with `columns`."
            )
        parts = {source: _as_json(part, name) if name in part.features else part for source, part in parts.items()}
    return parts


def _as_json(dataset: Dataset, name: str) -> Dataset:
    features = Features({**dataset.features, name: List(Json())})
    return dataset.map(lambda row: {name: row[name]}, features=features)


def _clean(dataset: Dataset, names: tuple[str, ...], text_column: str = "text") -> Dataset:
    """Known roles, `role` and `content`, and texts where they belong; a dataset that is so already stays as it is."""
    makers: dict[str, Callable[[Row], Any]] = {}
    for name in names:
        kind = dataset.features.get(name)
        if kind is None or getattr(kind, "dtype", "") in ("string", "null", "large_string"):
            continue
        if name == "messages" or (name in EXAMPLE and _is_list(kind)):
            if _is_clean(dataset, name):
                continue
        target = "messages" if name == "conversations" else name
        convert = to_messages if name in CONVERSATIONS else to_text if name == text_column else to_half
        makers[target] = lambda row, name=name, convert=convert: (
            None if row[name] is None else convert(row[name], f"`{name}`")
        )
    if not makers:
        return dataset
    return rewrite(dataset, lambda row: {name: make(row) for name, make in makers.items()}, ("conversations",))


def _is_list(kind: Any) -> bool:
    return isinstance(kind, list | List | LargeList)


def _is_clean(dataset: Dataset, name: str) -> bool:
    """Whether a column holds messages as chat templates know them, found without reading row by row."""
    kind = dataset.features[name]
    message = getattr(kind, "feature", None)
    if (
        not isinstance(message, dict)
        or not {"role", "content"} <= message.keys()
        or {"from", "value"} & message.keys()
    ):
        return False
    if getattr(message["content"], "dtype", "") != "string":
        return False
    roles: set[Any] = set()
    for batch in dataset.select_columns([name]).with_format("arrow").iter(10_000):
        for chunk in batch.column(name).combine_chunks().flatten().field("role").unique().to_pylist():
            roles.add(chunk)
    return all(role is not None and ROLES.get(role) == role for role in roles)


def _one_kind(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    """Prompts and completions that are all texts or all messages: texts beside messages become messages."""
    names = tuple(name for name in names if name in dataset.features)
    lists = [_is_list(dataset.features[name]) for name in names]
    scalars = [getattr(dataset.features[name], "dtype", "") == "string" for name in names]
    if all(lists) or all(scalars) or "input_ids" in dataset.features:
        return dataset
    return rewrite(dataset, lambda row: _chats(row, names))


def _asked(value: Any, what: str, ask: Callable[[str], Half]) -> Half:
    half = to_half(value, what)
    return ask(half) if isinstance(half, str) else half


def _nulls(dataset: Dataset, *names: str) -> bool:
    batches = dataset.select_columns(list(names)).with_format("arrow").iter(10_000)
    return any(batch.column(name).null_count for batch in batches for name in names)


def say(sentence: str) -> None:
    """Prints what is made of the rows, once in a run of several processes."""
    if os.environ.get("RANK", "0") == "0":
        print(sentence)  # noqa: T201
