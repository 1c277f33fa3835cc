"""Rows of streams as a curriculum sees them: an arm a stream, and of each row its place."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .data.names import listed
from .disk.state import StateError
from .pool import Pool
from .records import PoolMapping
from .signals import IntArray


class StreamPool(Pool):
    """
    Rows that are read when they are drawn. Row r is row r // k of stream r % k, of k streams.

    A stream has no length that anybody knows. A run draws a number of rows at most, and so many of each are counted.

    Args:
        names (`Sequence[str]`):
            Of the streams.
        most (`int`):
            Rows of a stream that can be drawn in the run.
        key (`str`):
            A fingerprint of how they begin, by which a resume knows them again.

    Example:

    ```python
    >>> from trl_curriculum.curricula import Uniform
    >>> from trl_curriculum.stream_pool import StreamPool
    >>> pool = StreamPool(["web", "code"], most=100)
    >>> draw = Uniform().bind(pool).select(4)
    >>> [(pool.arm_names[k], pool.place(row).item()) for k, row in zip(draw.arm, draw.row)]
    [('web', 0), ('code', 0), ('web', 1), ('code', 1)]

    ```
    """

    is_stream = True

    def __init__(self, names: Sequence[str], most: int, key: str = "") -> None:
        super().__init__(len(names) * most, np.tile(np.arange(len(names), dtype=np.int32), most), names)
        self.key = key

    @property
    def digest(self) -> str:
        return f"streams-{self.key}"

    def place(self, row: Any) -> IntArray:
        """Places of rows in their streams."""
        return np.asarray(row) // self.n_arms

    def state_dict(self) -> dict[str, Any]:
        return {"digest": self.digest, "size": self.size, "arm_names": list(self.arm_names), "other_columns": {}}

    def mapping_from(self, old: dict[str, Any], carry_over: bool) -> PoolMapping | None:
        """
        Nothing: streams go on where they were.

        Raises:
            [`StateError`]: where they are others, or the saved rows are those of a dataset.
        """
        names = old.get("arm_names")
        if old.get("digest") != self.digest or names != list(self.arm_names):
            before = listed(names) if isinstance(names, list) else "unknown"
            raise StateError(
                f"The checkpoint belongs to other rows (arms {before}; now the streams {listed(self.arm_names)}), or "
                "the streams begin with others than then: resume with the same streams, or start a new run."
            )
        return None
