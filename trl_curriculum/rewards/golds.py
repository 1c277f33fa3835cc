"""Whether rewards pay the right answers themselves: a gold that earns nothing can teach nothing."""

import inspect
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset
from torch.nn import Module
from transformers import TrainerState

from .answers import marked, text_of
from .base import Accuracy, Reward, Rewards
from .returned import checked, is_async


logger = logging.getLogger(__name__)

MOST = 200  # golds that a reward is tried on, spread evenly over the rows
OF_USERS = 8  # the same for a function of the user's, which may be slow
GOLDS = ("answer", "solution", "ground_truth", "gold", "target")  # what such a function may call its golds
OF_MESSAGES = ("accuracy_reward", "reasoning_accuracy_reward", "think_format_reward")  # TRL's that read no texts
ADDED = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")  # by TRL
FORMS = ("{}", "\\boxed{{{}}}", "<answer>{}</answer>")  # in which an answer may be written


class Unpaid(NamedTuple):
    """A gold that its own reward does not pay: row of the dataset, name of the reward, the gold, the best reward."""

    row: int
    reward: str
    gold: str
    value: float | None


def unpaid(reward_funcs: Sequence[Any], dataset: Dataset, most: int = MOST) -> list[Unpaid]:
    r"""
    Golds that do not earn their own reward, as a plain answer, in `\boxed{}` or in `<answer></answer>`.

    Rewards that read no gold (of length or format), reward models and asynchronous functions are not tried; of a
    user's functions those are that have an argument of a gold's name, such as `answer` or `solution`.

    Args:
        reward_funcs (`Sequence`):
            Of the trainer.
        dataset (`datasets.Dataset`):
            Rows with their golds. A row without one (null) is not tried.
        most (`int`, *optional*, defaults to `200`):
            Golds that each reward is tried on, spread evenly over the rows.

    Returns:
        `list[Unpaid]`: by reward and row. `value` is `None` where the reward says that it does not apply, and where
        a text of several lines marks no short answer, so that only the whole text would earn it.

    Raises:
        `ValueError` or `TypeError`: for golds that a reward of ours cannot read, or a reward that returns no rewards.
    """
    return [one for function in reward_funcs for one in _try(function, dataset, most)[0]]


def check_golds(reward_funcs: Sequence[Any], dataset: Dataset, speak: bool = True, complete: bool = True) -> None:
    """
    Warns of golds that do not earn their own reward.

    Args:
        reward_funcs, dataset:
            As in [`unpaid`].
        speak (`bool`, *optional*, defaults to `True`):
            Whether to warn: one process does it for all.
        complete (`bool`, *optional*, defaults to `True`):
            Whether rewards are given no more columns than the dataset has; a `rollout_func` may write some.

    Raises:
        `ValueError`: where a reward of ours or TRL's pays none of the golds that it was tried on, or where a function
        lacks a column, or cannot be given one.
    """
    texts = "prompt" in dataset.column_names and isinstance(dataset[0]["prompt"], str)
    for function in reward_funcs:
        _check_arguments(function, dataset.column_names, complete)
        if texts and getattr(function, "__name__", "") in OF_MESSAGES and function.__module__.startswith("trl."):
            raise ValueError(
                f"TRL's reward {function.__name__!r} reads messages, and the prompts are texts: give conversations, "
                "or take another reward, such as math_accuracy."
            )
        missed, tried = _try(function, dataset, MOST)
        if not missed:
            continue
        first, name = missed[0], missed[0].reward
        told = "no short answer can be read" if first.value is None else f"{first.value:g}"
        sentence = (
            f"{name} pays {'none' if len(missed) == tried else f'{tried - len(missed)}'} of {tried} right answers of "
            f"the dataset when it is given just these (first: row {first.row}, {first.gold!r}: {told})"
        )
        if len(missed) == tried and _is_ours(function) and any(one.value is not None for one in missed):
            raise ValueError(
                f"{sentence}: no completion could earn it. Give short answers in {gold_column(function, dataset)!r}, "
                "mark them in solutions (\\boxed{72}, or #### 72 on the last line), or take another reward."
            )
        if speak:
            rows = ", ".join(str(one.row) for one in missed[:5]) + (", …" if len(missed) > 5 else "")
            logger.warning("%s: look at the rows %s and at the reward.", sentence, rows)


def _check_arguments(function: Any, columns: list[str], complete: bool) -> None:
    """Refuses a function that cannot be called with the columns and with what TRL adds to them."""
    if isinstance(function, str | Module | Reward) or not callable(function):
        return
    name = getattr(function, "__name__", type(function).__name__)
    arguments = inspect.signature(function).parameters.values()
    given = [*ADDED, *(column for column in columns if column not in ("prompt", "completion"))]
    named = {one.name for one in arguments if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    for one in arguments if complete else ():
        if one.name in named and one.default is one.empty and one.name not in (*given, "environments"):
            raise ValueError(
                f"The reward {name!r} reads a column {one.name!r}, and the dataset has {', '.join(columns)}: rename "
                "one of the two, or give the argument a default."
            )
    if not any(one.kind is one.VAR_KEYWORD for one in arguments) and (more := [x for x in given if x not in named]):
        raise ValueError(
            f"The reward {name!r} does not take {', '.join(more)}, which TRL gives to every reward: add **kwargs to "
            "its arguments."
        )


def _try(function: Any, dataset: Dataset, most: int) -> tuple[list[Unpaid], int]:
    """The golds that a function does not pay, and how many it was tried on."""
    column = gold_column(function, dataset)
    if column is None:
        if isinstance(function, Reward) and function.golds:
            _pay(function, [(0, dataset[0])], [""])  # which says what it lacks
        return [], 0
    most = most if _is_ours(function) else min(most, OF_USERS)
    given = _given(dataset, column)
    spread = given[np.unique(np.linspace(0, max(0, len(given) - 1), min(most, len(given))).astype(int))]
    picked = [(int(k), row) for k, row in zip(spread, dataset.select(spread), strict=True)]
    picked = [(k, row) for k, row in picked if row[column] not in (None, [])]
    if not picked:
        if isinstance(function, Reward):
            raise ValueError(
                f"{function.__name__} applies to no row: its right answers in the column {column!r} are all null."
            )
        return [], 0
    best: Rewards = [None] * len(picked)
    golds = [_text(row, column) for _, row in picked]
    for form in FORMS:
        left = [k for k, value in enumerate(best) if not _pays(value)]
        if left:
            rows = [picked[k] for k in left]
            for k, value in zip(left, _pay(function, rows, [form.format(golds[k]) for k in left]), strict=True):
                best[k] = max((one for one in (best[k], value) if one is not None), default=None)
    name = getattr(function, "__name__", type(function).__name__)
    if column in ("answer", "solution") and isinstance(function, Accuracy):
        best = [None if _is_unread(gold) else value for gold, value in zip(golds, best, strict=True)]
    missed = [
        Unpaid(row, name, gold if len(gold) <= 80 else f"{gold[:77]}…", value)
        for (row, _), gold, value in zip(picked, golds, best, strict=True)
        if not _pays(value)
    ]
    return missed, len(picked)


def _given(dataset: Dataset, column: str) -> Any:
    """Rows whose gold is not null."""
    tables = dataset.select_columns([column]).with_format("arrow").iter(batch_size=10_000)
    return np.flatnonzero(np.concatenate([np.asarray(table.column(column).is_valid()) for table in tables]))


def _pay(function: Any, picked: list[tuple[int, dict[str, Any]]], texts: list[str]) -> Rewards:
    """What a function gives for completions of rows, called as TRL calls it."""
    rows = [row for _, row in picked]
    talk = "prompt" in rows[0] and not isinstance(rows[0]["prompt"], str)
    completions: list[Any] = [[{"role": "assistant", "content": text}] if talk else text for text in texts]
    columns = {name: [row[name] for row in rows] for name in rows[0] if name not in ("prompt", "completion")}
    judge = type(function).judge if isinstance(function, Accuracy) else function  # without a bonus for the form
    values = judge(
        prompts=[row.get("prompt", "") for row in rows],
        completions=completions,
        completion_ids=[[] for _ in rows],
        trainer_state=TrainerState(),
        log_extra=lambda name, values: None,
        log_metric=lambda name, value: None,
        **columns,
    )
    return checked(values, getattr(function, "__name__", "reward"), len(rows), lambda k: picked[k][0])


def _text(row: dict[str, Any], column: str) -> str:
    """A gold as a completion would have it."""
    gold = row["answer"] if column == "entry" and row.get("answer") is not None else row[column]
    gold = gold[0] if isinstance(gold, list) and gold else gold
    return text_of([gold]) if isinstance(gold, dict) and "content" in gold else str(gold)


def _is_unread(gold: str) -> bool:
    return len(gold.strip().splitlines()) > 1 and marked(gold) is None


def _pays(value: float | None) -> bool:
    return value is not None and value > 0


def _is_ours(function: Any) -> bool:
    return isinstance(function, Reward) or getattr(function, "__module__", "").startswith("trl.")


def gold_column(function: Any, dataset: Dataset) -> str | None:
    """The column with a reward function's golds; `None` where it reads none, or cannot be tried."""
    if isinstance(function, Reward):
        golds: Sequence[str] = function.golds
    elif isinstance(function, str | Module) or not callable(function) or is_async(function):
        return None
    else:
        golds = [name for name in GOLDS if name in inspect.signature(function).parameters]
    return next((name for name in golds if name in dataset.column_names), None)
