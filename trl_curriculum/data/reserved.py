"""Columns whose names have a meaning for a trainer: refused by name, unless they mean that."""

import logging
from typing import Any

from datasets import Dataset


logger = logging.getLogger(__name__)

IMAGES = ("image", "images")
# What TRL hands to reward functions beside the columns, and what a bound method takes first
REWARD_ARGUMENTS = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "self")
# What TRL makes of rows that are not tokenized yet, or takes from rows that are
TOKENS = ("labels", "completion_mask", "assistant_masks", "attention_mask", "position_ids", "seq_lengths")


def without_images(dataset: Dataset, what: str) -> Dataset:
    """
    A dataset without columns for images that hold none.

    Raises:
        `ValueError`: where they hold some.
    """
    for name in IMAGES:
        if name not in dataset.column_names:
            continue
        full = next((k for k, value in enumerate(_column(dataset, name)) if value not in (None, [], "")), None)
        if full is not None:
            raise ValueError(
                f"The column {name!r} of {what} holds images (row {full}): vision-language models are not supported. "
                "Remove the column to train on the text alone, rename it if it holds something else, or use TRL's own "
                "trainer."
            )
        logger.warning("The column %r of %s is empty, and is left out.", name, what)
        dataset = dataset.remove_columns(name)
    return dataset


def _column(dataset: Dataset, name: str) -> Any:
    rows = dataset.select_columns([name]).with_format("arrow")  # pictures are not decoded
    for table in rows.iter(batch_size=1000):
        for value in table.column(name).to_pylist():
            yield value if not isinstance(value, dict) or any(part is not None for part in value.values()) else None


def refuse_reward_arguments(columns: list[str], has_environment: bool = False) -> None:
    """Refuses columns that reward functions could not be given, because TRL gives them something of that name."""
    for name in (*REWARD_ARGUMENTS, *(("environments",) if has_environment else ())):
        if name in columns:
            raise ValueError(
                f"The dataset has a column {name!r}, the name of something that TRL gives to reward functions itself: "
                "rename or remove the column."
            )


def refuse_tokens_without_ids(columns: list[str]) -> None:
    """Refuses columns of tokenized rows in a dataset that is not tokenized."""
    if "input_ids" in columns:
        return
    for name in TOKENS:
        if name in columns:
            raise ValueError(
                f"The dataset has a column {name!r}, which TRL would take for tokens that it has made itself, but no "
                "'input_ids': rename or remove the column."
            )
