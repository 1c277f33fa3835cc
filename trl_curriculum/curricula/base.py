"""What every curriculum is: a method, which is a value, and what it becomes over a pool of rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..disk.state import StateError
from ..pool import Pool
from ..records import PoolMapping, Stateful, check_array, load_generator, value_state
from ..registry import Method, Registry
from ..signals import Feedback, FloatArray, IntArray
from .draw import NOTHING, Draw, RoundBegan, check_picked
from .fits import check_pool
from .outlook import Foreseen


STATE_VERSION = 4
MAX_LOGGED_ARMS = 64


@dataclass(frozen=True)
class CurriculumMethod(Method):
    """
    A curriculum with its options, before it has a pool. `bind` makes what draws and observes.

    Three words say what it needs of a trainer: `follows`, the columns of [`Feedback`] that it cannot do without;
    `wants`, the late columns that it would like (a trainer may spend a collective on them); and `probe`, what must be
    measured on purpose before it draws: `"loss"`, `"prefix_entropy"` or `"prompt_entropy"`. `neighbours` says how many
    rows that are alike it wants to know of each.
    """

    signal: ClassVar[str] = "none"  # in words, for tables
    cost: ClassVar[str] = "free"
    follows: ClassVar[tuple[str, ...]] = ()
    wants: ClassVar[tuple[str, ...]] = ()
    probe: ClassVar[str | None] = None
    neighbours: ClassVar[int] = 0
    bound: ClassVar[type["Curriculum"]]

    def bind(self, pool: Pool, seed: int = 0) -> "Curriculum":
        """
        What draws from a pool.

        Args:
            pool ([`Pool`]):
                Rows to choose from.
            seed (`int`, *optional*, defaults to `0`):
                Seed of the method's own random generator, which is part of its state.

        Raises:
            `ValueError`: where the pool lacks what the method needs, such as arms or difficulties.
        """
        if not hasattr(self, "bound"):
            name = type(self).__name__
            raise TypeError(f"{name} is bound to no curriculum: write `class Mine(Curriculum, of={name})`.")
        return self.bound(self, pool, seed)


CURRICULA: Registry[CurriculumMethod] = Registry("curriculum", CurriculumMethod, "trl_curriculum.curricula")


class Curriculum(Stateful, Foreseen, ABC):
    """
    Chooses which rows of a pool to train on next: a method bound to the pool.

    A method implements `_pick` and, as far as it learns anything, `observe`, `observe_probe`, `observe_late` and
    `metrics`. What it remembers it declares ([`~trl_curriculum.records.row_state`] and the like).

    `class Mine(Curriculum, of=Method)` says what a method is bound to.

    Args:
        method ([`CurriculumMethod`]):
            The options.
        pool ([`Pool`]):
            Rows to choose from.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the method's own random generator.
    """

    drawn: int = value_state(0, least=0)
    progress: float = value_state(0.0, least=0, most=1)

    takes_estimated_arms: ClassVar[bool] = False  # whether arms may change while it trains
    takes_streams: ClassVar[bool] = False  # whether it draws by arm, and takes the rows of each as they come

    def __init_subclass__(cls, of: type[CurriculumMethod] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if of is not None:
            of.bound = cls

    def __init__(self, method: Any, pool: Pool, seed: int = 0) -> None:
        check_pool(self, method, pool)
        self.method, self.pool, self.seed = method, pool, seed
        self.rng = np.random.default_rng(seed)
        self._waiting = NOTHING
        self._events: list[RoundBegan] = []
        self.start(pool.size, len(self.arm_names))

    @property
    def name(self) -> str:
        """Name of the method, or of its class where it is not registered."""
        return self.method.name or type(self.method).__name__.lower()

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Names of the arms that draws are reported under."""
        return self.pool.arm_names

    @property
    def row_arm(self) -> IntArray:
        """Arm of each row now, shape `(size,)`, a position in `arm_names`."""
        return self.pool.arm

    # Drawing

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
        again, self._waiting = (self._waiting[:n], self._waiting[n:]) if len(self._waiting) else (NOTHING, NOTHING)
        new = n - len(again)
        if new == 0:
            return again
        row, arm, probability = check_picked(self._pick(new), new, self)
        ids = np.arange(self.drawn, self.drawn + new)
        self.drawn += new
        events, self._events = tuple(self._events), []
        drawn = Draw(row.astype(np.int64), arm.astype(np.int64), probability, ids, events)
        return again + drawn if len(again) else drawn

    @abstractmethod
    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Returns rows, their arms and their probabilities, each of shape `(n,)`."""

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

    # Learning

    def observe(self, feedback: Feedback) -> None:
        """Learns from what the last draws showed; the default learns nothing."""

    def observe_late(self, row: IntArray, draw: IntArray, **columns: FloatArray) -> None:
        """
        Learns what draws show later than their feedback, such as `prefix_entropy`; the default learns nothing.

        Args:
            row, draw (`IntArray`, shape `(n,)`):
                Rows and draw ids, one entry per rollout.
            columns (`FloatArray`, shape `(n,)` each):
                By name; NaN where it was not observed.
        """

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        """
        Rows for which the method's `probe` has to be measured before the next `select`, or `None`.

        It is asked again after each answer, until it is `None`.
        """
        return None

    def observe_probe(self, row: IntArray, value: FloatArray, scores: Any = None) -> None:
        """
        Learns what `rows_to_probe` asked for.

        Args:
            row (`IntArray`, shape `(n,)`):
                The rows that it asked for.
            value (`FloatArray`, shape `(n,)`):
                Losses in nats per trained token, or entropies; NaN where there is none.
            scores ([`~trl_curriculum.probes.scores.Scores`], *optional*):
                More about entropies: what they cost, and which prompts are equal.
        """
        raise NotImplementedError(f"Curriculum {self.name!r} asked for no probe.")

    # Reporting

    def metrics(self) -> dict[str, float]:
        """What a person wants to watch; logged as `curriculum/<key>`."""
        return {}

    def unfinished(self) -> str | None:
        """At the end of a training: a sentence on what it never came to do, or `None`."""
        return None

    # State

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next draws depend on: arrays and plain values only."""
        return {
            "version": STATE_VERSION,
            "method": self.name,
            "options": _saved_options(self.method),
            "pool": self.pool.state_dict(),
            "rng": self.rng.bit_generator.state,
            "waiting": self._waiting.columns(),
            "own": super().state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], carry_over: bool = False) -> PoolMapping | None:  # type: ignore[override]
        """
        Continues from a saved state.

        Args:
            state (`dict`):
                What `state_dict` returned.
            carry_over (`bool`, *optional*, defaults to `False`):
                Whether to accept another pool: rows are then matched by content, arms by name; draws that were put
                back are forgotten.

        Returns:
            [`PoolMapping`] or `None`: which rows were carried over, where the pool changed.

        Raises:
            [`StateError`]: on a state of another method, version, options or pool, or one that is damaged.
        """
        if state.get("version", STATE_VERSION) != STATE_VERSION:
            raise StateError(
                f"The saved state has version {state['version']}, this release reads version {STATE_VERSION}; "
                "resume with the release that wrote it."
            )
        for key in ("version", "method", "options", "pool", "rng", "waiting", "own"):
            if key not in state:
                raise StateError(f"The saved state has no entry {key!r}; it is not a curriculum's or it is damaged.")
            if key not in ("version", "method") and not isinstance(state[key], dict):
                raise StateError(f"The saved state's {key!r} is {state[key]!r}, and must be a mapping: it is damaged.")
        if state["method"] != self.name:
            raise StateError(
                f"The checkpoint was made with curriculum {state['method']!r}, but this run uses {self.name!r}; "
                f"resume with curriculum={state['method']!r} or start a new run."
            )
        for name, value in _saved_options(self.method).items():
            if name not in state["options"]:
                raise StateError(f"The saved state does not say the option {name!r}: it is damaged.")
            if state["options"][name] != value:
                raise StateError(
                    f"The checkpoint was made with {name}={state['options'][name]!r}, but this run has "
                    f"{name}={value!r}; resume with the same value or start a new run."
                )
        mapping = self.pool.mapping_from(state["pool"], carry_over)
        super().load_state_dict(state["own"], None if mapping is None else self.own_mapping(mapping))
        self._waiting = self._read_waiting(state["waiting"]) if mapping is None else NOTHING
        load_generator(self.rng, state["rng"])
        self._loaded(mapping)
        return mapping

    def own_mapping(self, mapping: PoolMapping) -> PoolMapping:
        """Which of its own arms each new one continues, where these are not the pool's."""
        return mapping

    def _loaded(self, mapping: PoolMapping | None) -> None:
        """Called when a state was loaded: works out anew what is not saved."""

    def _read_waiting(self, saved: dict[str, Any]) -> Draw:
        for name, value in NOTHING.columns().items():
            shape = getattr(saved.get("row"), "shape", None)
            if shape is not None and len(shape) != 1:
                raise StateError("The saved draws that wait have no whole 'row': the state is damaged.")
            check_array(name, saved.get(name), value.dtype, shape, nan=True)
        draw = Draw(**{name: saved[name] for name in NOTHING.columns()})
        inside = (
            ~(draw.probability < 0)
            & (draw.row >= 0)
            & (draw.row < self.pool.size)
            & (draw.id >= 0)
            & (draw.id < self.drawn)
        )
        if not (inside & (draw.arm >= 0) & (draw.arm < len(self.arm_names))).all():
            raise StateError("The saved draws that wait are not of this pool: the state is damaged.")
        return draw


def _saved_options(method: CurriculumMethod) -> dict[str, Any]:
    """Options as plain values, as a state keeps them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in method.options.items()}
