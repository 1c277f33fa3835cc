"""Rows of streams by their places: read when they are asked for, and found again after a resume."""

import copy
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import xxhash
from datasets import Dataset, Features, IterableDataset
from tqdm.auto import tqdm

from ..disk.state import StateError
from .names import shown


logger = logging.getLogger(__name__)

AHEAD = 4  # rows behind a saved place that a resume must find again
LONG = 1000  # rows from which on a bar shows that they are read again

Row = dict[str, Any]


class Stream:
    """
    One stream, read in its order; one that ends starts over.

    Args:
        name (`str`):
            What it is called.
        dataset (`datasets.IterableDataset`):
            Its rows. Anything that can be iterated over again and again will do; what has no `state_dict` is read
            again up to its place after a resume.
    """

    def __init__(self, name: str, dataset: Iterable[Row]) -> None:
        self.name, self.fresh = name, dataset
        self.place = 0  # of the row that is read next
        self.began = 0  # where this pass over the stream did
        self._begin(copy.deepcopy(dataset))

    def _begin(self, dataset: Any) -> None:
        self.current = dataset
        self.rows: Iterator[Row] = iter(dataset)
        self.ahead: deque[tuple[Row, Any]] = deque()  # rows that were looked at, and the state behind each
        self.state: Any = None  # of the dataset at `place`

    def peek(self, n: int) -> list[Row]:
        """The next rows of this pass, `n` of them at most; they are still to be read."""
        while len(self.ahead) < n and (row := next(self.rows, None)) is not None:
            self.ahead.append((row, self._state()))
        return [row for row, _ in islice(self.ahead, n)]

    def read(self) -> Row:
        """
        The next row.

        Raises:
            `ValueError`: where the stream has none at all.
        """
        if not self.peek(1):
            if self.place == self.began:
                raise ValueError(f"The stream {shown(self.name)!r} has no rows: leave it out.")
            logger.warning(
                "The stream %r ended after %d rows: it starts over.", shown(self.name), self.place - self.began
            )
            self.began = self.place
            self._begin(copy.deepcopy(self.fresh))
            return self.read()
        row, self.state = self.ahead.popleft()
        self.place += 1
        return row

    def go_to(self, place: int) -> None:
        """Reads on, and past what others have read."""
        while self.place < place:
            self.read()

    def _state(self) -> Any:
        return copy.deepcopy(self.current.state_dict()) if hasattr(self.current, "state_dict") else None

    def state_dict(self) -> dict[str, Any]:
        """Where it is, and what comes there."""
        return {"place": self.place, "began": self.began, "state": self.state, "next": _keys(self.peek(AHEAD))}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """
        Goes on from a saved place: at once where the dataset finds it by its own state, else by reading again.

        Raises:
            [`StateError`]: where other rows come there than did.
        """
        try:
            self.place, self.began = int(saved["place"]), int(saved["began"])
            state, expected = saved["state"], list(saved["next"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"The saved place in the stream {shown(self.name)!r} is damaged.") from error
        if state is not None and hasattr(self.fresh, "load_state_dict"):
            dataset: Any = copy.deepcopy(self.fresh)
            dataset.load_state_dict(copy.deepcopy(state))
            self._begin(dataset)
            self.state = state
            if _keys(self.peek(AHEAD)) == expected:
                return
            # A buffer that shuffles is not part of its state
            logger.warning("The stream %r does not find its place by its own state.", shown(self.name))
        self._begin(copy.deepcopy(self.fresh))
        n = self.place - self.began
        for _ in tqdm(range(n), desc=f"Reading {shown(self.name)} again", disable=n < LONG):
            if not self.peek(1):
                break
            _, self.state = self.ahead.popleft()
        if _keys(self.peek(AHEAD)) != expected:
            raise StateError(
                f"The stream {shown(self.name)!r} has other rows from its row {n} on (counted from 0) than when the "
                "checkpoint was saved: resume on the same stream, or start a new run."
            )


class Streams:
    """
    Rows of several streams by their numbers: row r is row r // k of stream r % k.

    Args:
        datasets (`Mapping[str, datasets.IterableDataset]`):
            The streams by their names, in order.
        look (`int`):
            Rows of each that are looked at before training.

    Attributes:
        head (`datasets.Dataset`):
            These rows, those of the first stream first.
    """

    def __init__(self, datasets: Mapping[str, Iterable[Row]], look: int = 8) -> None:
        self.streams = [Stream(str(name), dataset) for name, dataset in datasets.items()]
        first = [(one, one.peek(look)) for one in self.streams]
        if empty := [one.name for one, rows in first if not rows]:
            raise ValueError(f"The stream {shown(empty[0])!r} has no rows: leave it out.")
        self.head = _table([row for _, rows in first for row in rows], None, "the streams' first rows")
        self.upto = np.zeros(len(self.streams), np.int64)  # rows of each that some process has drawn

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.streams]

    @property
    def key(self) -> str:
        """A fingerprint of how they begin."""
        hasher = xxhash.xxh3_64()
        for one in (*self.names, *_keys(list(self.head))):
            hasher.update(one.encode(errors="surrogatepass"))
        return hasher.hexdigest()

    def drawn(self, rows: Sequence[int] | np.ndarray) -> None:
        """Takes note of the rows that all processes together have drawn."""
        rows, n = np.asarray(rows), len(self.streams)
        np.maximum.at(self.upto, rows % n, rows // n + 1)

    def read(self, rows: Sequence[int]) -> Dataset:
        """
        Rows, each once, in the order of their numbers; those between are skipped, and gone.

        Raises:
            `ValueError`: where a row has other columns, or values of other types, than the first ones.
        """
        found = []
        for row in sorted(set(rows)):
            stream, place = self.streams[row % len(self.streams)], row // len(self.streams)
            if place < stream.place:
                raise RuntimeError(f"Row {place} of the stream {stream.name!r} was asked for again, and is gone.")
            stream.go_to(place)
            found.append(stream.read())
        return _table(found, self.head.features, f"rows {sorted(set(rows))} of the streams")

    def state_dict(self) -> dict[str, Any]:
        """Where each stream is, once it has read what all processes have drawn."""
        for stream, upto in zip(self.streams, self.upto, strict=True):
            stream.go_to(int(upto))
        return {one.name: one.state_dict() for one in self.streams}

    def load_state_dict(self, state: Any) -> None:
        """
        Goes on from saved places.

        Raises:
            [`StateError`]: where these are of other streams, or other rows come there.
        """
        if not isinstance(state, dict) or list(state) != self.names:
            raise StateError("The checkpoint does not say where these streams were: it is another run's, or damaged.")
        for one in self.streams:
            one.load_state_dict(state[one.name])
        self.upto = np.array([one.place for one in self.streams])


def streams_of(dataset: Any) -> dict[str, IterableDataset] | None:
    """Streams by their names: those of a mapping, or a single one; `None` where there is none."""
    if isinstance(dataset, IterableDataset):
        return {"all": dataset}
    if isinstance(dataset, Mapping) and dataset and all(isinstance(one, IterableDataset) for one in dataset.values()):
        return {str(name): one for name, one in dataset.items()}
    return None


def _table(rows: list[Row], features: Features | None, what: str) -> Dataset:
    other = next((row for row in rows if set(row) != set(rows[0] if features is None else features)), None)
    if other is not None:
        known = ", ".join(rows[0] if features is None else features)
        raise ValueError(f"A row of {what} has the columns {', '.join(other)}, and the first one {known}: mend it.")
    try:
        return Dataset.from_list(rows, features=features)
    except (TypeError, ValueError) as error:  # pyarrow's errors are both
        raise ValueError(f"Values in {what} are not of the types of the first ones ({error}): mend them.") from error


def _keys(rows: list[Row]) -> list[str]:
    return [xxhash.xxh3_64_hexdigest(repr(sorted(row.items())).encode(errors="surrogatepass")) for row in rows]
