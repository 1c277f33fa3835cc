"""
What is remembered per row, per arm or once: declared in one line, and saved, checked and carried over by the base.

    class Curriculum(Stateful):
        loss: FloatArray = row_state(np.nan, np.float32)
        pulls: IntArray = arm_state(0, np.int64)
        refreshes: int = value_state(0, least=0)
"""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from .disk.state import StateError
from .signals import IntArray


@dataclass(frozen=True)
class PoolMapping:
    """
    Which old row and which old arm each new one continues, -1 where it is new; `renamed` tells, in words, which arms
    have another name.
    """

    row: IntArray
    arm: IntArray
    old_size: int
    renamed: tuple[str, ...] = ()

    def arms(self, old: np.ndarray, default: float | int) -> np.ndarray:
        """Per-arm array of the new pool: the old value where the arm continues, `default` where it is new."""
        return _mapped(self.arm, old, default)

    def rows(self, old: np.ndarray, default: float | int) -> np.ndarray:
        """Per-row array of the new pool: the old value where the row continues, `default` where it is new."""
        return _mapped(self.row, old, default)

    def with_arms(self, arm: IntArray) -> "PoolMapping":
        """The same rows, with arms that are not the pool's."""
        return PoolMapping(self.row, arm, self.old_size, self.renamed)

    def summary(self) -> str:
        """How many rows were kept, are new and were lost, and which arms have another name, in words."""
        kept = int((self.row >= 0).sum())
        counts = f"{kept} rows kept, {len(self.row) - kept} new, {self.old_size - kept} lost"
        shown = [*self.renamed[:5], *([f"{len(self.renamed) - 5} more"] if len(self.renamed) > 5 else [])]
        return "; ".join([counts, *shown])


def _mapped(position: IntArray, old: np.ndarray, default: float | int) -> np.ndarray:
    new = np.full((len(position), *old.shape[1:]), default, dtype=old.dtype)
    new[position >= 0] = old[position[position >= 0]]
    return new


@dataclass(frozen=True)
class Declared:
    """One piece of state: see [`row_state`], [`arm_state`] and [`value_state`]."""

    kind: str
    start: Any
    dtype: Any = None
    least: float | None = None
    most: float | None = None
    width: str | None = None  # attribute that says how many numbers there are of each
    optional: bool = False  # `None` until it is known

    def shape(self, owner: Any, n_rows: int, n_arms: int) -> tuple[int, ...]:
        """Shape of an array."""
        n = n_rows if self.kind == "row" else n_arms
        return (n,) if self.width is None else (n, getattr(owner, self.width))

    def make(self, owner: Any, n_rows: int, n_arms: int) -> Any:
        """What it is at the start."""
        if self.kind == "value":
            return self.start
        return None if self.optional else np.full(self.shape(owner, n_rows, n_arms), self.start, self.dtype)

    def check(self, name: str, value: Any, shape: tuple[int, ...] | None) -> None:
        """Raises [`StateError`] on a saved value of another kind, type, shape or range."""
        if self.kind != "value":
            check_array(name, value, self.dtype, shape, self.least, self.most, bool(np.isnan(self.start)))
            return
        wanted: Any = float if isinstance(self.start, float) else type(self.start)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number and (wanted is float or isinstance(value, int)) if wanted in (int, float) else None
        if not (isinstance(value, wanted) if fits is None else fits):
            raise StateError(f"The saved state's {name!r} is {value!r}, and must be of type {wanted.__name__}.")
        if number and not _inside(np.asarray(value, float), self.least, self.most, bool(np.isnan(self.start))):
            raise StateError(f"The saved state's {name!r} is {value!r}, which it never is: the state is damaged.")


def row_state(
    start: Any,
    dtype: Any = np.float32,
    least: float | None = None,
    most: float | None = None,
    optional: bool = False,
) -> Any:
    """
    Declares an array over the pool's rows.

    Args:
        start:
            Value at the start, and of rows that join; it is NaN later only where it starts so.
        dtype (*optional*, defaults to float32):
            Type.
        least, most (`float`, *optional*):
            Limits.
        optional (`bool`, *optional*, defaults to `False`):
            Whether it is `None` until it is known.
    """
    return Declared("row", start, np.dtype(dtype), least, most, None, optional)


def arm_state(
    start: Any,
    dtype: Any = np.float64,
    least: float | None = None,
    most: float | None = None,
    width: str | None = None,
) -> Any:
    """Declares an array over the arms, as [`row_state`] over rows; `width` names the attribute that says how wide."""
    return Declared("arm", start, np.dtype(dtype), least, most, width)


def value_state(start: Any, least: float | None = None, most: float | None = None) -> Any:
    """Declares a number, a truth value or a text."""
    return Declared("value", start, None, least, most)


class Stateful:
    """
    Has its state declared as class attributes. Attributes that are [`Stateful`] themselves are parts of its state.

    A subclass calls `start(n_rows, n_arms)` in its constructor.
    """

    def start(self, n_rows: int, n_arms: int) -> None:
        """Gives every declared piece of state its value at the start."""
        self._sizes = n_rows, n_arms
        for name, declared in self.declared().items():
            setattr(self, name, declared.make(self, n_rows, n_arms))

    @classmethod
    def declared(cls) -> dict[str, Declared]:
        """What is declared, by name, in the order of its declaration."""
        found: dict[str, Declared] = {}
        for one in reversed(inspect.getmro(cls)):
            found |= {name: value for name, value in vars(one).items() if isinstance(value, Declared)}
        return found

    def parts(self) -> dict[str, "Stateful"]:
        """The parts that keep a state of their own, by the name of their attribute."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Stateful)}

    def state_dict(self) -> dict[str, Any]:
        """Arrays and plain values, as copies."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts().items()}
        for name in self.declared():
            value = getattr(self, name)
            if value is not None:
                state[name] = value.copy() if isinstance(value, np.ndarray) else value
        return state

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        """
        Continues from a saved state, whose rows and arms `mapping` brings to those of another pool.

        Raises:
            [`StateError`]: on a value that is missing, of another type or shape, or out of its range.
        """
        for name, declared in self.declared().items():
            if declared.optional and isinstance(state, dict) and name not in state:
                setattr(self, name, None)
                continue
            value = self._entry(state, name)
            fixed = mapping is None and declared.kind != "value"
            declared.check(name, value, declared.shape(self, *self._sizes) if fixed else None)
            if mapping is not None and declared.kind != "value":
                value = (mapping.rows if declared.kind == "row" else mapping.arms)(value, declared.start)
            setattr(self, name, value.copy() if isinstance(value, np.ndarray) else value)
        self.before_parts(mapping)
        for name, part in self.parts().items():
            part.load_state_dict(self._part(state, name), self.mapping_of(name, mapping))

    def _entry(self, state: dict[str, Any], name: str) -> Any:
        if not isinstance(state, dict) or name not in state:
            raise StateError(f"The saved state of {type(self).__name__} has no entry {name!r}: it is damaged.")
        return state[name]

    def _part(self, state: dict[str, Any], name: str) -> dict[str, Any]:
        saved = self._entry(state, name)
        if not isinstance(saved, dict):
            raise StateError(f"The saved state of {type(self).__name__} has no whole {name!r}: it is damaged.")
        return saved

    def before_parts(self, mapping: PoolMapping | None) -> None:
        """Called when what is declared was loaded: makes parts that depend on it."""

    def damaged(self, name: str) -> StateError:
        """The error of a saved value that cannot be."""
        return StateError(f"The saved state's {name!r} of {type(self).__name__} cannot be: the state is damaged.")

    def mapping_of(self, part: str, mapping: PoolMapping | None) -> PoolMapping | None:
        """What a part is given: another mapping where its arms are not the pool's."""
        return mapping


def check_array(
    name: str,
    value: Any,
    dtype: Any,
    shape: tuple[int, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
    nan: bool = False,
) -> None:
    """
    Checks a saved array.

    Raises:
        [`StateError`]: on another type or shape, or a number that is out of range.
    """
    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        held = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise StateError(f"The saved state's {name!r} holds {held}, and must be an array of {np.dtype(dtype)}.")
    if shape is not None and value.shape != shape:
        raise StateError(f"The saved state's {name!r} has shape {value.shape}, and must have {shape}.")
    if value.dtype.kind in "iuf" and not _inside(value, least, most, nan):
        raise StateError(f"The saved state's {name!r} holds a number that it never holds: the state is damaged.")


def load_generator(rng: np.random.Generator, saved: Any) -> None:
    """
    Sets a random generator to a saved state.

    Raises:
        [`StateError`]: where that is none.
    """
    try:
        rng.bit_generator.state = saved
        numbers = [saved["has_uint32"], saved["uinteger"], *saved["state"].values()]
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise StateError(f"The saved random generator cannot be read ({error}): the state is damaged.") from error
    if rng.bit_generator.state != saved or {*map(type, numbers)} != {int} or numbers[0] not in (0, 1):
        raise StateError("The saved random generator cannot be: the state is damaged.")


def _inside(value: np.ndarray, least: float | None, most: float | None, nan: bool) -> bool:
    if value.dtype.kind == "f":
        if np.isinf(value).any() or (not nan and np.isnan(value).any()):
            return False
        value = value[~np.isnan(value)]
    if value.size == 0:
        return True
    return (least is None or value.min() >= least) and (most is None or value.max() <= most)
