"""What is found out about rows before training, as lines of what is printed."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from ..data.names import shown
from ..rewards.golds import gold_column, unpaid
from ..signals import IntArray


LONG = 400  # letters of a text that are printed


def quoted(text: str) -> str:
    """A text in one line, as Python writes it, without its middle where it is long."""
    return shown(repr(text), LONG)


def prompt_lines(longest: int, row: int, window: int | None, args: Any) -> dict[str, str]:
    """How the longest prompt, its tokens and row, fits into what the model reads."""
    new = args.max_completion_length or 0
    fits = "" if window is None else f", of {window:,} that the model reads" + ("" if longest + new <= window else "!")
    return {"longest": f"{longest:,} tokens in the prompt of row {row} + {new:,} new ones{fits}"}


def golds_line(reward_funcs: Sequence[Any], dataset: Dataset, position: IntArray | None = None) -> dict[str, str]:
    """What rewards that read right answers give for these themselves; nothing where none does."""
    if all(gold_column(function, dataset) is None for function in reward_funcs):
        return {}
    missed = unpaid(reward_funcs, dataset)
    if not missed:
        return {"golds": "right answers earn their rewards"}
    first = missed[0]
    row = first.row if position is None else int(position[first.row])
    what = f"{len(missed):,} of those tried earn nothing by themselves"
    return {"golds": f"{what} (first: row {row}, {shown(first.gold)!r} by {shown(first.reward)})"}
