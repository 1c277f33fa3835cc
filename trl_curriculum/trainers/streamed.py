"""Streams in place of a dataset: trainers read their rows when they are drawn, and look at each before it is used."""

import copy
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from datasets import Dataset

from ..data.names import listed
from ..data.rows import Rows
from ..data.streams import Streams, streams_of
from ..signals import IntArray
from ..stream_pool import StreamPool
from .fit import refuse_unstreamable
from .sizes import Run


class StreamedRows:
    """
    The rows of streams as a trainer reads them.

    Each stream is an arm, whose rows come in its order; one that ends starts over. Their first rows stand for all of
    them where columns, rewards and the chat template are checked before training, and each row is checked like those
    of a dataset when it is drawn.

    Args:
        streams ([`~trl_curriculum.data.streams.Streams`]):
            Where they come from.

    Attributes:
        draws (`int`):
            Rows that the run draws, without those in place of others (`refill`).
    """

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.head: Dataset = streams.head
        self.pool: StreamPool | None = None
        self.draws = 0

    @classmethod
    def of(cls, args: Any, train_dataset: Any) -> Self | None:
        """
        What a trainer was given as streams; `None` where that is a dataset.

        Raises:
            `ValueError`: on arguments that ask for what streams do not have.
        """
        named = streams_of(train_dataset)
        if named is None:
            return None
        cls.refuse(args)
        return cls(Streams(named))

    @classmethod
    def refuse(cls, args: Any) -> None:
        """Refuses arguments that ask for what streams do not have."""
        for name, asked, instead in (
            ("arms", args.arms is not None, "the streams are the arms"),
            ("difficulty_column", args.difficulty_column is not None, "nothing is sorted"),
            ("unusable_rows", args.unusable_rows != "refuse", "leave rows out by `filter` of the stream"),
            ("on_data_change", args.on_data_change != "refuse", "a resume needs the same streams"),
        ):
            if asked:
                raise ValueError(f"{name}={getattr(args, name)!r} has no effect on streams: leave it out; {instead}.")
        if args.max_steps <= 0:
            raise ValueError("Streams have no length, so that epochs end nowhere: set max_steps.")

    def count(self, run: Run, made: tuple[tuple[Any, ...], tuple[Any, ...]]) -> StreamPool:
        """
        The streams as a curriculum sees them, with as many rows as a run can draw.

        Args:
            run ([`~.sizes.Run`]):
                Its sizes.
            made (`tuple`):
                Methods of rollouts and shapers.

        Raises:
            `ValueError`: where one of them can do nothing with rows that come once.
        """
        refuse_unstreamable(*made)
        assert run.batches is not None and run.rows is not None
        self.draws = (run.batches + 1) * run.rows  # one more: an open window may be generated anew
        tries = max((getattr(method, "tries", 1) for method in made[0]), default=1)
        self.pool = StreamPool(self.streams.names, self.draws * tries, self.streams.key)
        return self.pool

    def drawn(self, rows: IntArray) -> None:
        """Takes note of what all processes have drawn."""
        self.streams.drawn(rows)

    def __getitems__(self, rows: list[int]) -> list[dict[str, Any]]:
        """Rows by their numbers, a copy for each time that one is asked for."""
        numbers = sorted(set(rows))
        found = dict(zip(numbers, self._checked(self.streams.read(numbers), np.array(numbers)), strict=True))
        return [copy.deepcopy(found[row]) for row in rows]

    def _checked(self, table: Dataset, numbers: IntArray) -> Iterable[dict[str, Any]]:
        """
        Rows in the form in which those of a dataset come.

        Raises:
            `ValueError`: where one cannot be used.
        """
        raise NotImplementedError

    def _named(self, table: Dataset, numbers: IntArray) -> Rows:
        """What was drawn, as an error calls it."""
        k = len(self.streams.names)
        what = f"what is drawn from {listed(self.streams.names)} (row r is row r // {k} of stream r % {k})"
        return Rows(table, numbers, len(numbers), what, how="filter")

    def state_dict(self) -> dict[str, Any]:
        """Where the streams are."""
        return self.streams.state_dict()

    def load_state_dict(self, state: Any) -> None:
        """Goes on from there."""
        self.streams.load_state_dict(state)
