"""The sources of a mixture in one format, and with columns of the same types."""

from typing import Any

from datasets import Dataset, Features, Json, List, Value

from ..stdout import say_once
from .convert import EXAMPLE, Row, as_chats, is_list, rewrite
from .formats import conversation_of, to_text


SCALAR = ("string", "bool", "int64", "float64", "int32", "float32")


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
            say_once("Sources have texts and conversations: all become conversations.")
            parts = {source: rewrite(part, lambda row: as_chats(row, names)) for source, part in parts.items()}
        else:
            say_once("Sources have different formats: all rows become conversations, the column `messages`.")
            parts = {
                source: part if kinds[source] == "messages" else rewrite(part, _messages, EXAMPLE)
                for source, part in parts.items()
            }
    return _one_type(parts)


def _messages(row: Row) -> Row:
    return {"messages": conversation_of(row)}


def _format(dataset: Dataset, names: tuple[str, ...]) -> str:
    """What a part of a mixture holds, in words that an error can use."""
    have = set(dataset.column_names)
    if "messages" in have and names == EXAMPLE:
        return "messages"
    if have.issuperset(names):
        return "chats" if is_list(dataset.features["prompt"]) else "texts"
    return "tokens" if "input_ids" in have else "whole texts"


def _one_type(parts: dict[str, Dataset]) -> dict[str, Dataset]:
    """
    Parts whose columns have the same types, so that they can be concatenated. Messages of different keys are kept as
    JSON, and so are integers beside fractions; numbers beside texts become texts, as in one file.
    """
    for name in dict.fromkeys(name for part in parts.values() for name in part.features):
        kinds = {source: part.features[name] for source, part in parts.items() if name in part.features}
        kinds = {source: kind for source, kind in kinds.items() if kind != Value("null")}
        first = next(iter(kinds), "")
        other = next((source for source in kinds if kinds[source] != kinds[first]), None)
        if other is None:
            continue
        scalars = [getattr(kind, "dtype", None) for kind in kinds.values()]
        if name in ("messages", *EXAMPLE):
            kind: Any = List(Json())
        elif all(one in SCALAR for one in scalars):
            kind = Value("string") if "string" in scalars else Json()
        else:
            raise ValueError(
                f"The column '{name}' is {kinds[first]} in source '{first}' and {kinds[other]} in source '{other}': "
                "make them alike, or leave it out with `columns`."
            )
        parts = {source: _recast(part, name, kind) if source in kinds else part for source, part in parts.items()}
    return parts


def _recast(dataset: Dataset, name: str, kind: Any) -> Dataset:
    def make(row: Row) -> Row:
        return {name: to_text(row[name], f"`{name}`") if kind == Value("string") else row[name]}

    return dataset.map(make, features=Features({**dataset.features, name: kind}))
