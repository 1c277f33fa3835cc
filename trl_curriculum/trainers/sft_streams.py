"""Streams of rows to imitate, which TRL prepares as they come."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset

from ..data.reserved import without_images
from ..data.streams import Streams
from ..signals import IntArray
from ..stream_pool import StreamPool
from .row_checks import FORMATS, SFTChecks, with_roles_in
from .sft_rows import POSITION, SFTRows, with_positions
from .sizes import sft_run
from .streamed import StreamedRows


class StreamedSFTRows(StreamedRows):
    """
    [`~.streamed.StreamedRows`] of an SFT trainer.

    TRL prepares a stream without reading it. So it is given one whose rows are, whenever it is read, those of the last
    draw, and what it makes of that one is read at every draw.
    """

    def __init__(self, streams: Streams) -> None:
        super().__init__(streams)
        self._drawn: list[Dataset] = []  # the last draw
        self._prepared: IterableDataset | None = None  # what TRL makes of it; None where it prepares nothing
        self._trainer: Any = None
        self._checks: Any = None
        self._columns: list[str] | None = None
        self._window: int | None = None

    @classmethod
    def refuse(cls, args: Any) -> None:
        if args.packing:
            raise ValueError(
                "packing=True puts rows back that do not fit, and a row of a stream is gone once it was read: leave "
                "it out (padding_free=True saves the padding), or load the rows without streaming."
            )
        if args.max_tokens is not None:
            raise ValueError(
                f"max_tokens={args.max_tokens} needs the lengths of all rows beforehand, and a stream tells them as "
                "they come: set max_steps in its place."
            )
        super().refuse(args)

    def make_pool(self, args: Any, made: tuple[tuple[Any, ...], tuple[Any, ...]]) -> StreamPool:
        """
        The streams as a curriculum sees them.

        Args:
            args ([`CurriculumSFTConfig`]):
                Of the run.
            made (`tuple`):
                Methods of rollouts, which SFT has none of, and shapers.
        """
        return self.count(sft_run(args, 0, args.world_size), made)

    def preparing(self, prepare: Callable[..., Any]) -> Callable[..., Dataset]:
        """TRL's `prepare`, which from then on prepares what is drawn as it does the dataset that it is given first."""

        def prepare_too(dataset: Dataset, *args: Any) -> Dataset:
            stream = _stream_of(self._drawn)
            self._drawn[:] = [dataset]  # by which TRL knows the form of the rows
            self._prepared = prepare(stream, *args)
            return self._prepare(dataset)

        return prepare_too

    def read_for(self, trainer: Any, checks: SFTChecks, columns: Sequence[str] | None, window: int | None) -> None:
        """
        Is to be called once the trainer is made, before rows are read.

        Args:
            trainer ([`CurriculumSFTTrainer`]):
                Who reads.
            checks ([`~.row_checks.SFTChecks`]):
                Those of its rows.
            columns (`Sequence[str]`, *optional*):
                Those that a collator is given. Default: all.
            window (`int`, *optional*):
                Tokens that the model reads at most.
        """
        self._trainer, self._checks, self._window = trainer, checks, window
        self._columns = None if columns is None else list(columns)

    def _checked(self, table: Dataset, numbers: IntArray) -> Iterable[dict[str, Any]]:
        trainer, table = self._trainer, without_images(table, "the streams")
        if self._checks.whole_rows:
            table = with_roles_in(table, *FORMATS)
        given = self._named(with_positions(table, numbers), numbers)
        given = self._checks.check(given, trainer.processing_class, trainer.chat_template)
        rows = SFTRows(table, self._prepare(given.dataset), trainer.args, given, self._window)
        rows.read_only(self._columns)
        return rows[np.argsort(rows.position)]  # TRL may have shuffled them

    def _prepare(self, dataset: Dataset) -> Dataset:
        if self._prepared is None:
            return dataset
        self._drawn[:] = [dataset]
        made = list(self._prepared)
        return Dataset.from_list(made) if made else Dataset.from_dict({name: [] for name in (POSITION, "input_ids")})


def _stream_of(drawn: list[Dataset]) -> IterableDataset:
    """A stream of the rows that a list holds at the time when it is read."""

    def read() -> Iterator[dict[str, Any]]:
        for rows in drawn:
            yield from rows

    return IterableDataset.from_generator(read)
