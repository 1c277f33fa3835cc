from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk.state import StateError
from ..pool import Pool
from ..records import PoolMapping, Stateful, arm_state, row_state, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA, Curriculum, CurriculumMethod
from .outlook import Outlook
from .parts.queues import Queues, StreamQueues


@CURRICULA.add("placebo", signal="what its method follows, of other arms or rows", cost="its method's")
@dataclass(frozen=True)
class Placebo(CurriculumMethod):
    r"""
    The placebo of a curriculum: it draws as unevenly as the method, from the wrong places.

    The method learns from all that rows show, each under its own name, and chooses as it always does. What it has
    chosen is then exchanged for something else of its kind, by a random permutation π that is made anew whenever the
    method chooses anew. So at any time the probabilities are those that the method gives, in another order, and
    whatever the method looks at tells nothing of what is trained on: how far the method is above its placebo is what
    its signal is worth.

    A method that chooses among arms has its arms exchanged: where it draws arm k, the next row of arm π(k) is trained
    on, whatever the sizes of the two are; an arm is used up before one of its rows comes again. A bandit has another π
    in each batch, `ucb1` in each round; `mixture` and `order`, which choose once and for all, have one π for good,
    which is not the one that changes nothing. Between two arms that is a swap, so the opposite of the method.

    A method that chooses among rows has its rows exchanged: where it draws row i, row π(i) is trained on, so that rows
    come again as often as its own would. It has another π whenever the method chooses anew by what it has seen: in
    each batch, after each refresh, in each round, and with estimated arms whenever these are regrouped. One that never
    does has one for good.

    It trains where its method trains, and is probed like it.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import Placebo
    >>> pool = Pool(4, arm=[0, 0, 1, 1], arm_names=["web", "code"])
    >>> Placebo(of={"mixture": {"weights": {"web": 1, "code": 0}}}).bind(pool).select(2).arm.tolist()
    [1, 1]

    ```
    """

    of: str | dict[str, Any] = option(help="The curriculum, with its options, as `curriculum` takes it.")

    def __post_init__(self) -> None:
        given = f"of={self.of!r:.80} of placebo"
        try:
            wrapped = CURRICULA.make(self.of)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{given} is no curriculum: {error}") from error
        if isinstance(wrapped, Placebo):
            raise ValueError(f"{given} is a placebo already: name the method that it is made of.")
        if not wrapped.name:
            raise ValueError(f"{given} has no name to be saved under: register it by CURRICULA.add.")
        facts = {"of": wrapped.spec, "_wrapped": wrapped, "trainers": wrapped.trainers, "cost": wrapped.cost}
        for name, value in (facts | {"signal": f"{wrapped.signal}, of other arms or rows"}).items():
            object.__setattr__(self, name, value)
        super().__post_init__()

    @property
    def follows(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.wrapped.follows

    @property
    def wants(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.wrapped.wants

    @property
    def probe(self) -> str | None:  # type: ignore[override]
        return self.wrapped.probe

    @property
    def neighbours(self) -> int:  # type: ignore[override]
        return self.wrapped.neighbours

    @property
    def outcome(self) -> str | None:
        """Reward function that its method follows, where it names one."""
        return getattr(self.wrapped, "outcome", None)

    @property
    def optimizer(self) -> str | None:
        """Whether its method's rounds start with a fresh optimizer."""
        return getattr(self.wrapped, "optimizer", None)

    @property
    def wrapped(self) -> CurriculumMethod:
        """The curriculum that it is the placebo of."""
        return self._wrapped  # type: ignore[attr-defined]


class PlaceboCurriculum(Curriculum, of=Placebo):
    """[`Placebo`] over a pool."""

    method: Placebo
    other_row: NDArray | None = row_state(0, np.int32, 0, optional=True)  # π of rows
    other_arm: IntArray = arm_state(0, np.int64, 0)  # π of arms
    exchanged_at: int = value_state(-1, least=-1)  # choice of the method that π was made for

    def __init__(self, method: Placebo, pool: Pool, seed: int = 0) -> None:
        self.inner = method.wrapped.bind(pool, seed)
        super().__init__(method, pool, seed)
        self.rng = np.random.default_rng([seed, 1])  # not the method's own numbers once more
        self.by_arm = self.chooses_arms and len(self.arm_names) > 1
        self.queues: Queues | StreamQueues | None = None
        if self.by_arm:
            of_rows = None if pool.is_stream else Queues(self.row_arm, len(self.arm_names), self.rng)
            self.queues = of_rows or StreamQueues(pool.arm_size)
        self._exchange()

    @property
    def takes_estimated_arms(self) -> bool:  # type: ignore[override]
        return self.inner.takes_estimated_arms

    @property
    def takes_streams(self) -> bool:  # type: ignore[override]
        return self.inner.takes_streams and self.chooses_arms and len(self.arm_names) > 1

    @property
    def arm_names(self) -> tuple[str, ...]:
        return self.inner.arm_names

    @property
    def row_arm(self) -> IntArray:
        return self.inner.row_arm

    @property
    def chooses_arms(self) -> bool:
        return self.inner.chooses_arms

    @property
    def choice(self) -> int | None:
        return self.inner.choice

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        swapped = self.by_arm and self.choice is None and len(self.arm_names) == 2
        odd = ("two arms can only be swapped, which is the opposite of the method: compare with 'uniform'",)
        return replace(self.inner.outlook(batches, rows), in_order=False, odd=odd if swapped else ())

    def _exchange(self) -> None:
        """Makes another π."""
        n = len(self.arm_names) if self.by_arm else self.pool.size
        other = self.rng.permutation(n)
        while self.choice is None and n > 1 and (other == np.arange(n)).all():
            other = self.rng.permutation(n)
        if self.by_arm:
            self.other_arm = other
        else:
            self.other_row = other.astype(np.int32)
        self.exchanged_at = -1 if self.choice is None else self.choice

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        draw = self.inner.select(n, self.progress)
        self._events += draw.events
        if self.choice is not None and self.choice != self.exchanged_at:
            self._exchange()
        if self.queues is not None:
            arm = self.other_arm[draw.arm]
            size = self.queues.size
            return self.queues.pop(arm), arm, draw.probability * size[draw.arm] / size[arm]
        assert self.other_row is not None
        row = self.other_row[draw.row]
        return row, self.row_arm[row], draw.probability

    def observe(self, feedback: Feedback) -> None:
        self.inner.observe(feedback)

    def observe_late(self, row: IntArray, draw: IntArray, **columns: FloatArray) -> None:
        self.inner.observe_late(row, draw, **columns)

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        return self.inner.rows_to_probe(progress)

    def observe_probe(self, row: IntArray, value: FloatArray, scores: Any = None) -> None:
        self.inner.observe_probe(row, value, scores)

    def metrics(self) -> dict[str, float]:
        # The method's probability of an arm is another arm's here
        return {key: value for key, value in self.inner.metrics().items() if not key.startswith("probability/")}

    def unfinished(self) -> str | None:
        return self.inner.unfinished()

    # State

    def parts(self) -> dict[str, Stateful]:
        return {} if self.queues is None else {"queues": self.queues}  # the method's is a state of the same pool

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"of": {k: v for k, v in self.inner.state_dict().items() if k != "pool"}}

    def load_state_dict(self, state: dict[str, Any], carry_over: bool = False) -> PoolMapping | None:  # type: ignore[override]
        mapping = super().load_state_dict(state, carry_over)
        if not isinstance(state.get("of"), dict):
            raise StateError("The saved state of a placebo has no whole 'of', its method's state: it is damaged.")
        self.inner.load_state_dict(state["of"] | {"pool": state["pool"]}, carry_over)
        if self.inner.drawn != self.drawn:
            raise self.damaged("drawn")
        if mapping is not None:
            self._exchange()  # of what there is now
        return mapping

    def own_mapping(self, mapping: PoolMapping) -> PoolMapping:
        return self.inner.own_mapping(mapping) if self.by_arm else mapping

    def _loaded(self, mapping: PoolMapping | None) -> None:
        name, n = ("other_arm", len(self.arm_names)) if self.by_arm else ("other_row", self.pool.size)
        saved = getattr(self, name)
        if mapping is None and (saved is None or not np.array_equal(np.sort(saved), np.arange(n))):
            raise self.damaged(name)
