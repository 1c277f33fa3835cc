"""What every curriculum is: what it is asked and told, and nothing of any method."""

import inspect
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..disk.state import StateError
from ..pool import Pool, match_rows
from ..signals import Feedback, FloatArray, IntArray


STATE_VERSION = 2


@dataclass(frozen=True)
class Draw:
    """
    Rows to train on next, one entry per draw.

    Args:
        row (`IntArray`, shape `(n,)`):
            Positions in the pool.
        arm (`IntArray`, shape `(n,)`):
            Arm of each draw at the time it was drawn, a position in the curriculum's `arm_names`.
        probability (`FloatArray`, shape `(n,)`):
            Marginal probability of the row: its own, or that of its arm over the arm's rows, which come in turn where
            a method draws without replacement. NaN where the method has none.
        id (`IntArray`, shape `(n,)`):
            Number of the draw, counted from the start of the run.
    """

    row: IntArray
    arm: IntArray
    probability: FloatArray
    id: IntArray

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, which: slice | np.ndarray) -> "Draw":
        return Draw(self.row[which], self.arm[which], self.probability[which], self.id[which])

    def __add__(self, other: "Draw") -> "Draw":
        return Draw(*(np.concatenate(pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)))


NOTHING = Draw(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


@dataclass(frozen=True)
class Carried:
    """Which old row and which old arm each new one continues; -1 where it is new."""

    row: IntArray
    arm: IntArray
    old_size: int

    def arms(self, old: np.ndarray, default: float | int) -> np.ndarray:
        """Per-arm array of the new pool: the old value where the arm continues, `default` where it is new."""
        new = np.full((len(self.arm), *old.shape[1:]), default, dtype=old.dtype)
        new[self.arm >= 0] = old[self.arm[self.arm >= 0]]
        return new

    def rows(self, old: np.ndarray, default: float | int) -> np.ndarray:
        """Per-row array of the new pool: the old value where the row continues, `default` where it is new."""
        new = np.full((len(self.row), *old.shape[1:]), default, dtype=old.dtype)
        new[self.row >= 0] = old[self.row[self.row >= 0]]
        return new

    def summary(self) -> str:
        """How many rows were kept, are new and were lost, in words."""
        kept = int((self.row >= 0).sum())
        return f"{kept} rows kept, {len(self.row) - kept} new, {self.old_size - kept} lost"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return getattr(value, "__name__", None) or repr(value)


class Curriculum(ABC):
    """
    Chooses which rows of a pool to train on next.

    A method implements `_pick` and, as far as it learns or remembers anything, `observe`, `metrics`, `_state` and
    `_load`. Every constructor option is kept as an attribute of the same name: that is how a saved state knows
    whether it was made with the same options.

    Args:
        pool ([`Pool`]):
            Rows to choose from.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the method's own random generator, which is part of its state.
    """

    name: ClassVar[str]
    needs: tuple[str, ...] = ()  # fields of Feedback that it cannot do without
    uses: tuple[str, ...] = ()  # fields that it would like: a trainer may spend a collective on them
    asks_for: str | None = None  # what `rows_to_probe` wants measured: "loss" or "prefix_entropy"
    round: int = 0  # rounds begun, for methods that train in rounds
    fresh_optimizer: bool = False  # whether a round starts with a fresh optimizer
    signal: ClassVar[str] = "none"
    cost: ClassVar[str] = "none"
    paper: ClassVar[str] = "-"
    probabilistic: ClassVar[bool] = False
    has_floor: ClassVar[bool] = False
    replaces: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "name"):
            cls.name = cls.__name__.lower()

    def __init__(self, pool: Pool, seed: int = 0) -> None:
        self.pool = pool
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.drawn = 0
        self.progress = 0.0
        self._waiting = NOTHING

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Names of the arms that draws are reported under."""
        return self.pool.arm_names

    def select(self, n: int, progress: float = 0.0) -> Draw:
        """
        Draws `n` rows for the batch that is trained on now; rows that were put back come first.

        Args:
            n (`int`):
                How many rows.
            progress (`float`, *optional*, defaults to `0.0`):
                How much of the training is done, from 0 to 1, for methods that follow a schedule.
        """
        if n < 1:
            raise ValueError(f"select(n) draws at least one row, got n={n}.")
        self.progress = progress
        again, self._waiting = self._waiting[:n], self._waiting[n:]
        new = n - len(again)
        if new == 0:
            return again
        row, arm, probability = self._pick(new)
        ids = np.arange(self.drawn, self.drawn + new)
        self.drawn += new
        return again + Draw(row.astype(np.int64), arm.astype(np.int64), probability, ids)

    def put_back(self, draw: Draw) -> None:
        """
        Takes back draws that were not trained on: they come first in the next `select`, with their old ids.

        So every draw is trained on once, and rows that are hard to place in a batch are not drawn less often.
        """
        self._waiting = draw + self._waiting

    @property
    def waiting(self) -> IntArray:
        """Ids of the draws that were put back."""
        return self._waiting.id

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        """
        Rows for which `asks_for` has to be measured before the next `select`, or `None`.

        It is asked again after each answer, until it is `None`.
        """
        return None

    def observe_probe(self, row: IntArray, value: FloatArray, measured: Any = None) -> None:
        """
        Learns what `rows_to_probe` asked for.

        Args:
            row (`IntArray`, shape `(n,)`):
                The rows that it asked for.
            value (`FloatArray`, shape `(n,)`):
                Losses in nats per trained token, or prefix entropies; NaN where there is none.
            measured ([`~trl_curriculum.probes.prefix_entropy.Scores`], *optional*):
                More about prefix entropies: what they cost, and which prompts are equal.
        """
        raise NotImplementedError(f"{type(self).__name__} asked for no probe.")

    @abstractmethod
    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Returns rows, their arms and their probabilities, each of shape `(n,)`."""

    def observe(self, feedback: Feedback) -> None:  # noqa: B027
        """Learns from what the last draws showed; the default learns nothing."""

    def metrics(self) -> dict[str, float]:
        """What a person wants to watch; logged as `curriculum/<key>`."""
        return {}

    def options(self) -> dict[str, Any]:
        """The constructor's options with their values, as plain values; parts and functions by what they print."""
        names = [name for name in inspect.signature(type(self)).parameters if name not in ("pool", "seed")]
        missing = [name for name in names if not hasattr(self, name)]
        if missing:
            raise TypeError(
                f"{type(self).__name__} does not keep its option {missing[0]!r} as an attribute of that name, so a "
                "saved state could not tell what it was made with."
            )
        return {name: _plain(getattr(self, name)) for name in names}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next draws depend on: arrays and plain values only."""
        pool = {"digest": self.pool.digest, "size": self.pool.size, "arm_names": list(self.pool.arm_names)}
        if self.pool.row_hash is not None:
            pool["row_hash"] = self.pool.row_hash
        return {
            "version": STATE_VERSION,
            "method": self.name,
            "options": self.options(),
            "pool": pool,
            "drawn": self.drawn,
            "progress": self.progress,
            "rng": self.rng.bit_generator.state,
            "waiting": vars(self._waiting).copy(),
            "own": self._state(),
        }

    def load_state_dict(self, state: dict[str, Any], carry_over: bool = False) -> Carried | None:
        """
        Continues from a saved state.

        Args:
            state (`dict`):
                What `state_dict` returned.
            carry_over (`bool`, *optional*, defaults to `False`):
                Whether to accept another pool: rows are then matched by content, arms by name; draws that were put
                back are forgotten.

        Returns:
            [`Carried`] or `None`: which rows were carried over, where the pool changed.

        Raises:
            [`StateError`]: on a state of another method, version, options or pool.
        """
        if state.get("version", STATE_VERSION) != STATE_VERSION:
            raise StateError(
                f"The saved state has version {state['version']}, this release reads version {STATE_VERSION}; "
                "resume with the release that wrote it."
            )
        for key in ("version", "method", "options", "pool", "drawn", "progress", "rng", "waiting", "own"):
            if key not in state:
                raise StateError(f"The saved state has no entry {key!r}; it is not a curriculum's or it is damaged.")
        if state["method"] != self.name:
            raise StateError(
                f"The checkpoint was made with curriculum {state['method']!r}, but this run uses {self.name!r}; "
                f"resume with curriculum={state['method']!r} or start a new run."
            )
        for name, value in self.options().items():
            if state["options"].get(name) != value:
                raise StateError(
                    f"The checkpoint was made with {name}={state['options'].get(name)!r}, but this run has "
                    f"{name}={value!r}; resume with the same value or start a new run."
                )
        carried = self._compare_pool(state["pool"], carry_over)
        self._load(state["own"], carried)
        self._waiting = Draw(**state["waiting"]) if carried is None else NOTHING
        self.drawn, self.progress = state["drawn"], state["progress"]
        self.rng.bit_generator.state = state["rng"]
        return carried

    def _compare_pool(self, old: dict[str, Any], carry_over: bool) -> Carried | None:
        if old["digest"] == self.pool.digest and list(old["arm_names"]) == list(self.pool.arm_names):
            return None
        if "row_hash" not in old or self.pool.row_hash is None:
            raise StateError(
                f"The checkpoint belongs to another pool ({old['size']} rows, arms {old['arm_names']}; now "
                f"{self.pool.size} rows, arms {list(self.pool.arm_names)}) and its rows were not hashed, so they "
                "cannot be matched; resume on the same data or start a new run."
            )
        arm_of = {name: k for k, name in enumerate(old["arm_names"])}
        carried = Carried(
            row=match_rows(old["row_hash"], self.pool.row_hash),
            arm=np.array([arm_of.get(name, -1) for name in self.pool.arm_names]),
            old_size=old["size"],
        )
        if not carry_over:
            if np.array_equal(carried.row, np.arange(old["size"])) and list(arm_of) == list(self.pool.arm_names):
                raise StateError(
                    "The rows are those of the checkpoint, but their arms or difficulties are not: resume with the "
                    "same arm_column and difficulty_column, or set on_data_change='carry_over'."
                )
            raise StateError(
                f"The dataset changed since the checkpoint: {carried.summary()}; arms {old['arm_names']} before, "
                f"{list(self.pool.arm_names)} now. Resume on the same data, or set on_data_change='carry_over'."
            )
        return carried

    def _state(self) -> dict[str, Any]:
        """The method's own state: arrays and plain values only."""
        return {}

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:  # noqa: B027
        """Restores what `_state` returned; `carried` maps old rows and arms to new ones where the pool changed."""
