"""Questions made of several columns: a context before them, lettered options after them."""

from typing import Any

from datasets import Dataset

from ..data.convert import rewrite
from ..data.formats import to_text


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def with_context(dataset: Dataset, question: str, context: str) -> Dataset:
    """Put the text that a question is about before it."""
    check_is_there(dataset, question, "prompt_column")
    check_is_there(dataset, context, "context_column")

    def put(row: dict[str, Any]) -> dict[str, Any]:
        parts = [to_text(row[name], f"`{name}`") for name in (context, question)]
        blank = not (parts[1] or "").strip()
        return {question: None if blank else "\n\n".join(part for part in parts if part)}

    return rewrite(dataset, put)


def with_options(dataset: Dataset, question: str, options: str, right: str | None) -> Dataset:
    """Append lettered options to a column of plain questions; tell the right one by its letter and by its text."""
    check_is_there(dataset, question, "prompt_column")
    check_is_there(dataset, options, "options_column")
    if right is not None:
        check_is_there(dataset, right, "right_option_column")
    for name in ("right_letter", "right_text") if right is not None else ():
        if name in dataset.column_names:
            raise ValueError(f"The dataset has a column '{name}', which `right_option_column` makes: rename yours.")

    nothing = {question: None, **({"right_letter": None, "right_text": None} if right is not None else {})}

    def append(row: dict[str, Any]) -> dict[str, Any]:
        if (
            row[options] is None
            or row[question] is None
            or (isinstance(row[question], str) and not row[question].strip())
        ):
            return nothing  # which the check of rows refuses or leaves out
        choices = _choices(row[options])
        if not isinstance(row[question], str) or not choices:
            raise ValueError(
                f"`options_column` appends options to plain questions, but '{question}' holds a "
                f"{type(row[question]).__name__} and '{options}' {row[options]!r}."
            )
        made = {question: "\n".join([f"{row[question]}\n", *(f"{k}. {text}" for k, text in choices.items())])}
        if right is not None:
            if row[right] is None:
                return {**nothing, **made}
            letter = _letter_of(row[right], choices, _labels(row[options]))
            if letter is None:
                raise ValueError(
                    f"'{right}' holds {row[right]!r}, which is neither the label nor the position nor "
                    f"the text of one of {choices}: set `right_option_column`."
                )
            made |= {"right_letter": letter, "right_text": choices[letter]}
        return made

    return rewrite(dataset, append)


def _choices(options: Any) -> dict[str, str]:
    """Options by their letters; of a mapping, those that are there (columns hold the letters of all rows)."""
    options = options["text"] if _labels(options) else options
    if isinstance(options, list):
        options = dict(zip(LETTERS, options, strict=False)) if len(options) <= len(LETTERS) else {}
    choices = {k: v for k, v in options.items() if v is not None} if isinstance(options, dict) else {}
    texts = {k: to_text(text, "an option") for k, text in choices.items() if not isinstance(text, list | dict)}
    return {k: text for k, text in texts.items() if text is not None} if len(texts) == len(choices) else {}


def _labels(options: Any) -> list[str]:
    """The labels of options that are given as two lists, `label` and `text`; else none."""
    if not isinstance(options, dict) or options.keys() != {"label", "text"}:
        return []
    return options["label"] if isinstance(options["label"], list) else []


def _letter_of(right: Any, choices: dict[str, str], labels: list[str]) -> str | None:
    if right in labels:  # which need not be letters
        right = labels.index(right)
    if isinstance(right, int) and not isinstance(right, bool) and 0 <= right < len(choices):
        return list(choices)[right]
    text = None if isinstance(right, list | dict) else to_text(right, "the right option")
    if text in choices:
        return text
    found = next((k for k, option in choices.items() if option == text), None)
    if found is None and text is not None and text.isdecimal() and int(text) < len(choices):
        return list(choices)[int(text)]  # a position as a text
    return found


def check_is_there(dataset: Dataset, column: str, argument: str) -> None:
    """Refuses the name of a column that the dataset does not have; `argument` has named it."""
    if column not in dataset.column_names:
        raise ValueError(f"The dataset has no column '{column}', only {dataset.column_names}: set `{argument}`.")
