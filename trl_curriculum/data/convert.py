"""Whole datasets in TRL's formats: one format for all rows, whatever each of them came in."""

from collections.abc import Callable
from typing import Any

from datasets import Dataset, Features, LargeList, List, Value

from ..stdout import say_once
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
    with_known_names,
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
    The dataset with a column `prompt`: of its own, of plain questions in another column, of conversations, which are
    cut before their last answer, or of Alpaca's columns. The answer becomes the column `answer`, unless there is one.

    Args:
        dataset (`Dataset`):
            With one of them.
        column (`str`, *optional*, defaults to `"prompt"`):
            Column with the questions.
        ask (`Callable`, *optional*):
            Makes a prompt of a plain question (of another column, or of Alpaca's).
        answers (`bool`, *optional*, defaults to `True`):
            Whether the last answers of conversations, and Alpaca's outputs, become `answer`.

    Raises:
        `ValueError`: where there is none, and for a value that is no prompt, with its row.
    """
    have = _filled(dataset)
    if column != "prompt":
        return rewrite(dataset, lambda row: {"prompt": _asked(row[column], f"`{column}`", ask)}, (column,))
    conversations = tuple(name for name in CONVERSATIONS if name in have)
    if "prompt" in have and (not conversations or not _nulls(dataset, "prompt")):
        return _one_kind(_clean(dataset, ("prompt",)), ("prompt",))
    if not conversations and not set(ALPACA) <= have:
        raise ValueError(f"The dataset has no column 'prompt', only {dataset.column_names}: set `prompt_column`.")
    answers = answers and "answer" not in have
    if answers:
        what = "conversations without their last answer" if conversations else "instructions without their output"
        say_once(f"Prompts are {what}, which is the column `answer`.")

    def make(row: Row) -> Row:
        prompt = prompt_of(row)
        if isinstance(prompt, list) and row.get("prompt") is None:
            whole = conversation_of(row) or []
            prompt = whole if whole and whole[-1]["role"] != "assistant" else prompt  # which asks for an answer
        question, answer = question_of(row), answer_of(row)
        if prompt is None and question is not None:
            prompt, answer = ask(question), to_text(row["output"], "`output`")
        if prompt is None and any(row.get(name) == [] for name in conversations):
            prompt = []  # for the check of rows, which tells an empty conversation from none
        return {"prompt": prompt, **({"answer": answer} if answers else {})}

    return _one_kind(rewrite(dataset, make, (*conversations, *ALPACA[:1], "input")), ("prompt",))


def to_examples(dataset: Dataset, text_column: str = "text", ask: Callable[[str], Half] = str) -> Dataset:
    """
    The dataset in one of TRL's formats for SFT: the first that it has of `messages` (`conversations` too), `prompt`
    and `completion`, texts, and tokens, else prompt and completion of Alpaca's columns. The columns of other formats
    go. Rows in several formats become messages.

    Raises:
        `ValueError`: where it has none, and for a value that is no message or no text, with its row.
    """
    have = _filled(dataset, text_column)
    formats = (("messages",), EXAMPLE, (text_column,), ("conversations",), ("input_ids",), ALPACA)
    there = [columns for columns in formats if have.issuperset(columns)]
    if not there:
        raise ValueError(
            f"The dataset has neither a column 'messages' nor '{text_column}' nor 'prompt' and 'completion', only "
            f"{dataset.column_names}: {SET}."
        )
    first = there[0]
    others = tuple(name for columns in formats[:-1] for name in columns if name not in first)
    several = [columns for columns in there if columns not in ((text_column,), ("input_ids",))]
    if len(several) > 1 and first in several and _nulls(dataset, *first):
        say_once("Rows come in several formats: all become conversations, the column `messages`.")
        return rewrite(dataset, lambda row: {"messages": conversation_of(row)}, (*EXAMPLE, *others))
    if first == ALPACA:

        def make(row: Row) -> Row:
            question, answer = question_of(row), to_text(row["output"], "`output`")
            return {"prompt": ask(question) if question is not None else None, "completion": chat(answer, "assistant")}

        return rewrite(dataset, make, (*ALPACA, "input"))
    dropped = [name for name in others if name in dataset.column_names]
    if first == ("input_ids",):
        return dataset.remove_columns(dropped) if dropped else dataset
    left = dataset.remove_columns(dropped) if dropped else dataset
    return _one_kind(_clean(left, first, text_column), EXAMPLE)


def _clean(dataset: Dataset, names: tuple[str, ...], text_column: str = "text") -> Dataset:
    """Known roles, `role` and `content`, and texts where they belong; a dataset that is so already stays as it is."""
    makers: dict[str, tuple[str, Callable[[Any, str], Any]]] = {}
    for name in names:
        kind = dataset.features.get(name)
        texts = name not in CONVERSATIONS and getattr(kind, "dtype", "") in ("string", "large_string")
        if kind is None or texts or kind == Value("null"):
            continue
        if name == "messages" or (name in EXAMPLE and is_list(kind)):
            if _is_clean(dataset, name):
                continue
        target = "messages" if name == "conversations" else name
        convert: Any = to_messages if name in CONVERSATIONS else to_text if name == text_column else to_half
        makers[target] = name, convert
    if not makers:
        return dataset

    def make(row: Row) -> Row:
        given = {target: (row[name], name, convert) for target, (name, convert) in makers.items()}
        return {
            target: None if value is None else convert(value, f"`{name}`")
            for target, (value, name, convert) in given.items()
        }

    return rewrite(dataset, make, ("conversations",))


def with_known_roles(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    """
    Rows whose messages in these columns have the names that chat templates know, see
    [`~trl_curriculum.data.formats.with_known_names`], and `conversations` that of TRL, `messages`. A dataset that is
    so already stays as it is, and what is no message is left to the check of rows.
    """
    lists = [name for name in names if is_list(dataset.features.get(name))]
    changed = [name for name in lists if not _is_clean(dataset, name) and _changes(dataset, name)]
    if changed:
        say_once(
            f"Messages in {', '.join(changed)} get the names that chat templates know: `role`, `content`, `user`, …."
        )
        dataset = rewrite(dataset, lambda row: {name: with_known_names(row[name]) for name in changed})
    if "conversations" in names and "messages" not in dataset.column_names:
        return dataset.rename_column("conversations", "messages")
    return dataset


def _changes(dataset: Dataset, name: str) -> bool:
    return any(with_known_names(row[name]) != row[name] for row in dataset.select_columns([name]))


def is_list(kind: Any) -> bool:
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
    lists = [is_list(dataset.features[name]) for name in names]
    scalars = [getattr(dataset.features[name], "dtype", "") == "string" for name in names]
    if all(lists) or all(scalars) or "input_ids" in dataset.features:
        return dataset
    return rewrite(dataset, lambda row: as_chats(row, names))


def as_chats(row: Row, names: tuple[str, ...]) -> Row:
    roles = {"prompt": "user", "completion": "assistant"}
    return {name: chat(to_half(row[name], f"`{name}`"), roles[name]) for name in names}


def _asked(value: Any, what: str, ask: Callable[[str], Half]) -> Half:
    half = to_half(value, what)
    return ask(half) if isinstance(half, str) else half


def _filled(dataset: Dataset, text_column: str = "text") -> set[str]:
    """The columns, but for those of formats that are null in all rows."""
    have = set(dataset.column_names)
    empty = [
        name
        for name in have & {*CONVERSATIONS, *EXAMPLE, text_column, *ALPACA}
        if all(
            batch.column(name).null_count == len(batch)
            for batch in dataset.select_columns([name]).with_format("arrow").iter(10_000)
        )
    ]
    return have if len(dataset) == 0 else have - set(empty)


def _nulls(dataset: Dataset, *names: str) -> bool:
    batches = dataset.select_columns(list(names)).with_format("arrow").iter(10_000)
    return any(batch.column(name).null_count for batch in batches for name in names)
