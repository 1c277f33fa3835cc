"""The rows of SFT as TRL has prepared them: their tokens, and their places in the user's dataset."""

import logging
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from ..data.rows import Flaws, Rows
from ..lm.tap import count_tokens
from ..probes.prompts import options_of, prompt_of
from ..signals import IntArray
from .found import quoted
from .row_checks import TRAINING


logger = logging.getLogger(__name__)

POSITION = "curriculum_row"  # column that carries a row's place in the user's dataset through TRL's preparation


def with_positions(dataset: Dataset, position: IntArray | None = None) -> Dataset:
    """A dataset whose rows know their places, which are 0, 1, … unless they are given."""
    if POSITION in dataset.column_names:
        raise ValueError(f"The dataset has a column {POSITION!r}, a name that the trainer needs; rename yours.")
    return dataset.add_column(POSITION, np.arange(len(dataset)) if position is None else position)


class SFTRows:
    """
    Rows with a token to train on.

    Args:
        source (`datasets.Dataset`):
            The user's.
        prepared (`datasets.Dataset`):
            What TRL has made of it, with positions.
        args ([`CurriculumSFTConfig`]):
            Packing and lengths.
        given ([`~trl_curriculum.data.rows.Rows`], *optional*):
            What TRL was given of the user's rows. Default: all.
        window (`int`, *optional*):
            Tokens that the model reads at most.

    Attributes:
        dataset (`datasets.Dataset`):
            The prepared rows that are left.
        position, length (`IntArray`, shape `(size,)`):
            Place of each in the user's dataset, and its tokens.
    """

    def __init__(
        self, source: Dataset, prepared: Dataset, args: Any, given: Rows | None = None, window: int | None = None
    ) -> None:
        if POSITION not in prepared.column_names:
            raise RuntimeError(f"TRL has dropped the column {POSITION!r} while it prepared the dataset.")
        if "input_ids" not in prepared.column_names:
            raise ValueError("The dataset has no column 'input_ids', which skip_prepare_dataset=True asks for.")
        position = prepared.select_columns(POSITION).with_format("numpy")[:][POSITION]
        length, trained = count_tokens(prepared)
        kept = np.flatnonzero((trained > 0) & (length <= (window or np.inf)))
        rows = prepared.remove_columns(POSITION)
        given = given or Rows.of(source, TRAINING, args.unusable_rows, args.process_index == 0)
        lengths = dict(zip(position.tolist(), length.tolist(), strict=True))
        given.without(_flaws(given, lengths, position[kept], args, window))
        self.source = source
        self.dataset = rows.select(kept) if len(kept) < len(rows) else rows
        self.position: IntArray = position[kept]
        self.length: IntArray = length[kept]
        if args.packing and self.length.max() > args.max_length:
            longest = int(self.length.argmax())
            raise ValueError(
                f"Row {self.position[longest]} has {self.length[longest]} tokens and max_length is "
                f"{args.max_length}: rows that are given tokenized must be truncated before."
            )
        self._read = self.dataset

    def found(self, tokenizer: Any, max_length: int | None) -> dict[str, str]:
        """How long the longest row is, and the first one, for what is printed before training."""
        of = "" if max_length is None else f", of max_length={max_length:,}"
        longest = f"{int(self.length.max()):,} tokens in row {self.position[int(self.length.argmax())]}{of}"
        return {"longest": longest, "first row": quoted(tokenizer.decode(self[[0]][0]["input_ids"]))}

    def read_only(self, columns: list[str] | None) -> None:
        """Reads no other columns than these from now on."""
        names = self.dataset.column_names
        self._read = self.dataset.select_columns([name for name in names if columns is None or name in columns])

    def __getitem__(self, rows: Any) -> list[dict[str, Any]]:
        return self._read.__getitems__(np.asarray(rows).tolist())

    def select(self, rows: IntArray) -> Dataset:
        """These rows, to be read later."""
        return self._read.select(rows)

    def as_given(self, rows: Any) -> list[dict[str, Any]]:
        """Rows of the user's dataset."""
        return self.source.__getitems__(self.position[np.asarray(rows)].tolist())

    def without_tokens(self) -> Dataset:
        """What the user gave of each row that is left, for the pool."""
        made = [name for name in ("input_ids", "labels") if name not in self.source.column_names]
        return self.dataset.remove_columns(made)

    def template_options(self, rows: IntArray) -> list[dict[str, Any]] | None:
        """What each row hands to the chat template; `None` where none has anything."""
        if not {"tools", "chat_template_kwargs"} & set(self.source.column_names):
            return None
        return [options_of(row) for row in self.as_given(rows)]

    def prompts(self, rows: IntArray, asks_for_answer: bool, as_trained: bool = False) -> list[Any]:
        """
        Prompts of rows: texts, messages, or the tokens before the first one that is trained on.

        `asks_for_answer` says whether something is put in front of the question, which tokens do not allow, and
        `as_trained` whether the tokens before a completion are wanted, rendered and cut as they are trained on.
        """
        if as_trained and not asks_for_answer and {"prompt", "completion"} <= set(self.source.column_names):
            return [_before(row["input_ids"], row["labels"]) for row in self[rows]]
        prompts = [prompt_of(row) for row in self.as_given(rows)]
        missing = [int(self.position[k]) for k, prompt in zip(rows, prompts, strict=True) if prompt is None]
        if not missing:
            return prompts
        if len(missing) < len(prompts):
            raise ValueError(f"Row {missing[0]} has neither a prompt nor messages, as others have; give it one.")
        if asks_for_answer:
            raise ValueError(
                "quick_answer asks for a short answer to a question, but the rows have neither a prompt nor messages; "
                "set quick_answer: null in the probe's options to take the tokens before the first that is trained on."
            )
        return [_tokens_before(row) for row in self[rows]]


def look_for_nan(position: IntArray, broken: NDArray, trained: NDArray, step: int) -> None:
    """Warns of rows, by their places, whose loss is `broken`; raises where all that were `trained` on are."""
    if not broken.any():
        return
    where = sorted(set(position[broken].tolist()))
    text = f"{', '.join(map(str, where[:5]))}{', ...' if len(where) > 5 else ''}"
    if (broken == trained).all():
        raise FloatingPointError(
            f"All losses of step {step} are nan or infinite (rows {text}): the model has diverged, or these rows "
            "are broken; resume from a checkpoint before with a smaller learning rate."
        )
    logger.warning(
        "The loss of rows %s is nan or infinite at step %d: the curriculum learns nothing from them, but their "
        "gradient is not a number either; take them out of the dataset.",
        *(text, step),
    )


def _tokens_before(row: dict[str, Any]) -> list[int]:
    labels = row.get("labels")
    if labels is None or labels[0] != -100:
        raise ValueError(
            "A prefix entropy is that of an answer to a prompt, but these rows are trained on from their first token; "
            "give them as prompt and completion, or as messages."
        )
    return _before(row["input_ids"], labels)


def _before(ids: list[int], labels: list[int]) -> list[int]:
    """The tokens before the first one that is trained on."""
    return ids[: next(k for k, label in enumerate(labels) if label != -100)]


def _flaws(given: Rows, length: dict[int, int], trained: IntArray, args: Any, window: int | None) -> Flaws:
    """Why rows are not trained on, of which `length` has the tokens that are left of them."""
    it = "`input_ids`" if "input_ids" in given.dataset.column_names else "it"
    nothing = f"no token of {it} is trained on: all are masked, or behind max_length={args.max_length}"
    long = f"it does not fit into the {window} tokens that the model reads (max_length={args.max_length})"
    known, flaws = set(trained.tolist()), {}
    for k, row in enumerate(given.position.tolist()):
        if row not in known:
            n = length.get(row, 0)
            flaws[k] = f"{long} | {n} tokens" if window is not None and n > window else nothing
    return flaws
