"""The rows as a curriculum sees them: how many, the arm of each, static columns. No tokens, no text."""

import json
import logging
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import xxhash
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .arms import ArmSource, make_arms
from .data.columns import read_column
from .data.names import listed
from .disk.state import StateError
from .records import PoolMapping, check_array
from .signals import FloatArray, IntArray, count_arms


if TYPE_CHECKING:
    from datasets import Dataset
    from scipy.sparse import csr_matrix


logger = logging.getLogger(__name__)


class Pool:
    """
    Rows to choose from.

    Args:
        size (`int`):
            Number of rows.
        arm (`NDArray`, shape `(size,)`, *optional*):
            Arm (category) of each row, as a position in `arm_names`. Without it all rows share one arm.
        arm_names (`Sequence[str]`, *optional*):
            Name of each arm.
        difficulty (`NDArray`, shape `(size,)`, *optional*):
            Static difficulty of each row, any unit, larger is harder.
        row_hash (`NDArray[np.uint64]`, shape `(size,)`, *optional*):
            Content hash of each row; lets a resume see that the data changed and match the rows that stayed.
        estimated ([`~trl_curriculum.arms.ArmSource`], *optional*):
            Estimates arms while training, for a pool without labels.
        other_columns (`Mapping[str, str]`, *optional*):
            A fingerprint of each column that does not count to a row's content, by its name: a resume warns of one
            that has changed.
        neighbours (`csr_matrix`, shape `(size, size)`, *optional*):
            How much each row is like others, with rows that sum to 1; worked out anew at a resume, and not saved.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> pool = Pool(4, arm=[0, 0, 1, 1], arm_names=["easy", "hard"])
    >>> pool.arm_size.tolist()
    [2, 2]

    ```
    """

    is_stream: ClassVar[bool] = False  # whether rows come once, in the order of a stream

    def __init__(
        self,
        size: int,
        arm: Sequence[int] | NDArray | None = None,
        arm_names: Sequence[str] | None = None,
        difficulty: Sequence[float] | NDArray | None = None,
        row_hash: NDArray[np.uint64] | None = None,
        estimated: ArmSource | None = None,
        other_columns: Mapping[str, str] | None = None,
        neighbours: "csr_matrix | None" = None,
    ) -> None:
        if size < 1:
            raise ValueError("The dataset is empty: a curriculum needs at least one row to choose from.")
        self.size, self.neighbours = size, neighbours
        if arm is None:
            self.arm: IntArray = np.broadcast_to(np.int32(0), size)
            self.arm_names: tuple[str, ...] = ("all",)
        else:
            self.arm = np.asarray(arm, dtype=np.int32)
            n_arms = int(self.arm.max()) + 1
            self.arm_names = tuple(arm_names) if arm_names is not None else tuple(map(str, range(n_arms)))
            if n_arms > len(self.arm_names):
                raise ValueError(f"Arm {n_arms - 1} has no name: {len(self.arm_names)} names were given.")
        self.difficulty = None if difficulty is None else np.asarray(difficulty, dtype=np.float64)
        self.row_hash, self.estimated, self.other_columns = row_hash, estimated, dict(other_columns or {})
        if estimated is not None and self.n_arms > 1:
            raise ValueError(f"The pool has {self.n_arms} arms already: leave `arms: {estimated.name}` or them out.")
        for name in ("arm", "difficulty", "row_hash"):
            value = getattr(self, name)
            if value is not None and value.shape != (size,):
                raise ValueError(f"Pool.{name} has shape {value.shape}, but the pool has {size} rows.")
        self.arm_size: IntArray = count_arms(self.arm, len(self.arm_names))
        if not self.arm_size.all():
            raise ValueError(
                f"Every arm needs at least one row, but arm {self.arm_names[int(self.arm_size.argmin())]!r} has none."
            )

    @property
    def n_arms(self) -> int:
        return len(self.arm_names)

    @property
    def digest(self) -> str:
        """Fingerprint of the whole pool: content, arms and difficulties of its rows, in their order."""
        hasher = xxhash.xxh3_64()
        for column in (self.row_hash, self.arm, self.difficulty):
            if column is not None:
                hasher.update(np.ascontiguousarray(column).data)
        return f"{self.size}-{hasher.hexdigest()}"

    @classmethod
    def from_dataset(
        cls,
        dataset: "Dataset",
        arms: Any = None,
        difficulty_column: str | None = None,
        hash_rows: bool = True,
        content: Sequence[str] | None = None,
    ) -> "Pool":
        """
        Reads a pool off a dataset's columns.

        Args:
            dataset (`datasets.Dataset`):
                Rows to choose from.
            arms (*optional*):
                Where arms come from: a column, several columns, or another spec of
                [`~trl_curriculum.arms.make_arms`].
            difficulty_column (`str`, *optional*):
                Numeric column, larger is harder.
            hash_rows (`bool`, *optional*, defaults to `True`):
                Whether to hash every row's content, which reads the whole dataset once.
            content (`Sequence[str]`, *optional*):
                Columns that training reads, by which a row is known again; those that the dataset lacks do not count.
                Default: all.

        Raises:
            `ValueError`: on an empty dataset, a missing column, nulls, or a column of the wrong type.
        """
        if len(dataset) == 0:
            raise ValueError("The dataset is empty: a curriculum needs at least one row to choose from.")
        source = make_arms(arms)
        estimated = source if source is not None and source.estimated else None
        arm, arm_names = source.label(dataset) if source is not None and estimated is None else (None, None)
        difficulty = _difficulty(dataset, difficulty_column) if difficulty_column else None
        if not hash_rows:
            return cls(len(dataset), arm, arm_names, difficulty, None, estimated)
        names = [name for name in dataset.column_names if content is None or name in content]
        hashes, others = _hash_rows(dataset, names or dataset.column_names)
        return cls(len(dataset), arm, arm_names, difficulty, hashes, estimated, others)

    def state_dict(self) -> dict[str, Any]:
        """What tells this pool from another, and matches its rows with those of another."""
        state = {"digest": self.digest, "size": self.size, "arm_names": list(self.arm_names)}
        state["other_columns"] = dict(self.other_columns)
        if self.n_arms > 1:
            state["arm"] = self.arm
        return state | ({} if self.row_hash is None else {"row_hash": self.row_hash})

    def mapping_from(self, old: dict[str, Any], carry_over: bool) -> PoolMapping | None:
        """
        Which rows and arms of a saved pool continue in this one; `None` where it is the same.

        Args:
            old (`dict`):
                What `state_dict` of the saved one returned.
            carry_over (`bool`):
                Whether another pool is accepted: rows are matched by content, arms by name.

        Raises:
            [`StateError`]: where the pool is another, and that is not accepted or rows cannot be matched.
        """
        _check_saved(old)
        self._warn_of_columns(old["other_columns"])
        if old["digest"] == self.digest and old["arm_names"] == list(self.arm_names):
            own = () if self.row_hash is None else self.row_hash
            if old["size"] != self.size or not np.array_equal(old.get("row_hash", ()), own):
                raise StateError("The saved pool contradicts its own fingerprint: the state is damaged.")
            return None
        if "row_hash" not in old or self.row_hash is None:
            raise StateError(
                f"The checkpoint belongs to another pool ({old['size']} rows, arms {listed(old['arm_names'])}; "
                f"now {self.size} rows, arms {listed(self.arm_names)}) and its rows were not hashed, so they "
                "cannot be matched; resume on the same data or start a new run."
            )
        row = match_rows(old["row_hash"], self.row_hash)
        arm_of = {name: k for k, name in enumerate(old["arm_names"])}
        arm = np.array([arm_of.get(name, -1) for name in self.arm_names])
        renamed = _renamed(arm, row, self.arm, old.get("arm", np.zeros(old["size"], np.int32)), len(arm_of))
        words = [f"arm {old['arm_names'][k]!r} is now {self.arm_names[new]!r}" for new, k in renamed.items()]
        for new, k in renamed.items():
            arm[new] = k
        mapping = PoolMapping(row=row, arm=arm, old_size=old["size"], renamed=tuple(words))
        if not carry_over:
            if np.array_equal(row, np.arange(old["size"])) and list(arm_of) == list(self.arm_names):
                raise StateError(
                    "The rows are those of the checkpoint, but their arms or difficulties are not: resume with the "
                    "same arms and difficulty_column, or set on_data_change='carry_over'."
                )
            raise StateError(
                f"The dataset changed since the checkpoint: {mapping.summary()}; arms {listed(old['arm_names'])} "
                f"before, {listed(self.arm_names)} now. Resume on the same data, or set on_data_change='carry_over'."
            )
        return mapping

    def _warn_of_columns(self, old: dict[str, str]) -> None:
        """Names the columns that are no part of a row's content, and are not what they were."""
        now = self.other_columns
        found = {
            "new": [name for name in now if name not in old],
            "gone": [name for name in old if name not in now],
            "changed": [name for name in now if old.get(name, now[name]) != now[name]],
        }
        words = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in found.items() if names)
        if words:
            logger.warning("Columns that training does not read are not those of the checkpoint (%s).", words)


def _renamed(arm: IntArray, row: IntArray, now: IntArray, before: IntArray, n_before: int) -> dict[int, int]:
    """Which arm without a name of before has exactly the rows of an arm whose name is gone: new position to old."""
    kept = row >= 0
    old_arm = np.where(kept, before[np.where(kept, row, 0)], -1)
    gone = set(range(n_before)) - set(arm.tolist())
    found = {}
    for new in np.flatnonzero(arm < 0):
        olds = np.unique(old_arm[(now == new) & kept])
        if len(olds) == 1 and int(olds[0]) in gone and set(now[kept & (old_arm == olds[0])].tolist()) == {int(new)}:
            found[int(new)] = int(olds[0])
    return found


def _check_saved(old: dict[str, Any]) -> None:
    names, size, others = old.get("arm_names"), old.get("size"), old.get("other_columns")
    if not isinstance(old.get("digest"), str) or type(size) is not int or size < 1:
        raise StateError("The saved state has no whole 'pool': it is damaged.")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise StateError(f"The saved pool's 'arm_names' is {names!r}, and must be names: the state is damaged.")
    if not isinstance(others, dict) or not all(isinstance(value, str) for value in others.values()):
        raise StateError(f"The saved pool's 'other_columns' is {others!r}, and must be texts: the state is damaged.")
    if "row_hash" in old:
        check_array("row_hash", old["row_hash"], np.uint64, (size,))
    if len(names) > 1 or "arm" in old:
        check_array("arm", old.get("arm"), np.int32, (size,), 0, len(names) - 1)


def match_rows(old_hash: NDArray[np.uint64], new_hash: NDArray[np.uint64]) -> IntArray:
    """
    Position in the old pool of each row of the new one, -1 where the row is new, shape `(len(new_hash),)`.

    Equal rows are matched in order: the k-th copy in one pool is the k-th in the other.
    """
    old, new = (pd.DataFrame({"hash": h, "position": np.arange(len(h))}) for h in (old_hash, new_hash))
    for frame in (old, new):
        frame["copy"] = frame.groupby("hash").cumcount()
    both = new.merge(old, on=["hash", "copy"], how="left", suffixes=("", "_old"))
    return both["position_old"].fillna(-1).to_numpy(np.int64)


def _difficulty(dataset: "Dataset", name: str) -> FloatArray:
    series = read_column(dataset, name, "difficulty_column")
    if pd.api.types.is_object_dtype(series):  # lists and the like are no numbers
        series = series.map(lambda value: value if isinstance(value, str | Number) else None)
    numbers = pd.to_numeric(series, errors="coerce").to_numpy(np.float64)  # a CSV's `0.50` is a text
    if not np.isfinite(numbers).all():
        bad = np.flatnonzero(~np.isfinite(numbers))
        value = dataset[int(bad[0])][name]
        raise ValueError(
            f"difficulty_column {name!r} holds {str(value)[:40]!r} in row {bad[0]} (counted from 0; {len(bad)} of "
            f"{len(numbers)} rows hold no finite number): it must be numeric, larger is harder."
        )
    return numbers


def _hash_rows(dataset: "Dataset", content: Sequence[str]) -> tuple[NDArray[np.uint64], dict[str, str]]:
    """A hash of each row's content, and a fingerprint of each other column."""
    hashes = np.empty(len(dataset), np.uint64)
    others = {name: xxhash.xxh3_64() for name in dataset.column_names if name not in content}
    start = 0
    batches = dataset.with_format("arrow").iter(batch_size=1000)
    with tqdm(total=len(dataset), desc="Hashing rows", disable=len(dataset) < 100_000) as bar:
        for table in batches:
            for i, row in enumerate(table.select([*content]).to_pylist()):
                hashes[start + i] = xxhash.xxh3_64_intdigest(_as_bytes(row))
            for name, hasher in others.items():
                hasher.update(_as_bytes(table.column(name).to_pylist()))
            start += len(table)
            bar.update(len(table))
    return hashes, {name: hasher.hexdigest() for name, hasher in others.items()}


def _as_bytes(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False).encode(errors="surrogatepass")
