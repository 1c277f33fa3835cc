from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk.state import StateError
from ..options import shorten
from ..pool import Pool
from ..records import PoolMapping, row_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA, Curriculum, CurriculumMethod
from .outlook import Outlook


@CURRICULA.add("placebo", signal="what its method follows, of other arms or rows", cost="its method's")
@dataclass(frozen=True)
class Placebo(CurriculumMethod):
    r"""
    The placebo of a curriculum: it draws as unevenly as the method, from the wrong places.

    The method learns from all that rows show, each under its own name, and draws. Row π(i) is trained on where it drew
    row i, with π a random permutation that is fixed at the start. So the row probabilities of each draw are those that
    the method gives, in another order, rows come as often or as seldom again, and whatever the method looks at tells
    nothing of the row that is trained on. What a method gains over its placebo is what its signal is worth; what its
    placebo gains over `uniform` comes of drawing unevenly.

    A method that chooses among arms has its arms exchanged: with π an equally likely permutation of the arms but not
    the one that leaves all in their places, as many rows of each arm as fit change to its place in the other arm, and
    those that do not fit, where arms are of unequal sizes, take the places that are left at random. Two arms can only
    be swapped, which is the opposite of the method and no placebo. A method that chooses among rows, or among arms
    that are estimated, has all rows exchanged.

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
        given = f"of={shorten(self.of)} of placebo"
        try:
            wrapped = CURRICULA.make(self.of)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{given} is no curriculum: {error}") from error
        if isinstance(wrapped, Placebo):
            raise ValueError(f"{given} is a placebo already: name the method that it is made of.")
        if not wrapped.name:
            raise ValueError(f"{given} has no name to be saved under: register it by CURRICULA.add.")
        facts = {"of": wrapped.spec, "wrapped": wrapped, "trainers": wrapped.trainers, "cost": wrapped.cost}
        for name, value in (facts | {"signal": f"{wrapped.signal}, of other arms or rows"}).items():
            object.__setattr__(self, name, value)
        super().__post_init__()

    @property
    def follows(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._wrapped.follows

    @property
    def wants(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._wrapped.wants

    @property
    def probe(self) -> str | None:  # type: ignore[override]
        return self._wrapped.probe

    @property
    def outcome(self) -> str | None:
        """Reward function that its method follows, where it names one."""
        return getattr(self._wrapped, "outcome", None)

    @property
    def optimizer(self) -> str | None:
        """Whether its method's rounds start with a fresh optimizer."""
        return getattr(self._wrapped, "optimizer", None)

    @property
    def _wrapped(self) -> CurriculumMethod:
        wrapped: CurriculumMethod = vars(self)["wrapped"]
        return wrapped


class PlaceboCurriculum(Curriculum, of=Placebo):
    """[`Placebo`] over a pool."""

    method: Placebo
    moved: NDArray = row_state(0, np.int32, 0)  # π: the row that is trained on in place of each

    def __init__(self, method: Placebo, pool: Pool, seed: int = 0) -> None:
        self.inner = method._wrapped.bind(pool, seed)
        super().__init__(method, pool, seed)
        self.moved = self._exchange()

    @property
    def takes_estimated_arms(self) -> bool:  # type: ignore[override]
        return self.inner.takes_estimated_arms

    @property
    def arm_names(self) -> tuple[str, ...]:
        return self.inner.arm_names

    @property
    def row_arm(self) -> IntArray:
        return self.inner.row_arm

    @property
    def chooses_arms(self) -> bool:
        return self.inner.chooses_arms

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        two = self.chooses_arms and len(self.arm_names) == 2
        odd = ("two arms can only be swapped, which is the opposite of the method: compare with 'uniform'",)
        return replace(self.inner.outlook(batches, rows), in_order=False, odd=odd if two else ())

    def _exchange(self) -> NDArray:
        """Row that takes the place of each, shape `(size,)`."""
        # A stream of its own: the method's generator has the same seed
        rng = np.random.Generator(self.rng.bit_generator.jumped())  # type: ignore[attr-defined]
        if not self.chooses_arms or len(self.arm_names) == 1:
            return rng.permutation(self.pool.size).astype(np.int32)
        return exchange(self.row_arm, len(self.arm_names), rng)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        draw = self.inner.select(n, self.progress)
        self._events += draw.events
        row = self.moved[draw.row]
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

    def parts(self) -> dict[str, Any]:
        return {}  # the method's state is one of its own, of the same pool

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"of": {k: v for k, v in self.inner.state_dict().items() if k != "pool"}}

    def load_state_dict(self, state: dict[str, Any], carry_over: bool = False) -> PoolMapping | None:  # type: ignore[override]
        mapping = super().load_state_dict(state, carry_over)
        if not isinstance(state.get("of"), dict):
            raise StateError("The saved state of a placebo has no whole 'of', its method's state: it is damaged.")
        self.inner.load_state_dict(state["of"] | {"pool": state["pool"]}, carry_over)
        if self.inner.drawn != self.drawn:
            raise self.damaged("drawn")
        return mapping

    def _loaded(self, mapping: PoolMapping | None) -> None:
        if mapping is not None:
            self.moved = self._exchange()  # of the rows that there are now
        elif not np.array_equal(np.sort(self.moved), np.arange(self.pool.size)):
            raise self.damaged("moved")


def exchange(arm: IntArray, n_arms: int, rng: np.random.Generator) -> NDArray:
    """
    A random permutation of rows that moves whole arms, as far as these are of equal sizes; not every arm stays.

    Args:
        arm (`IntArray`, shape `(size,)`):
            Arm of each row.
        n_arms (`int`):
            Number of arms, 2 at least; each has a row.
        rng (`np.random.Generator`):
            Where the permutation comes from.

    Returns:
        `NDArray[np.int32]`, shape `(size,)`: the row that takes the place of each.
    """
    to = rng.permutation(n_arms)
    while (to == np.arange(n_arms)).all():
        to = rng.permutation(n_arms)
    mixed = rng.permutation(len(arm))
    by_arm = mixed[np.argsort(arm[mixed], kind="stable")]
    size = np.bincount(arm, minlength=n_arms)
    start = np.cumsum(size) - size
    place = np.arange(len(arm)) - start[arm[by_arm]]
    goal = to[arm[by_arm]]
    fits = place < size[goal]
    taken = start[goal[fits]] + place[fits]
    moved = np.empty(len(arm), np.int32)
    moved[by_arm[fits]] = by_arm[taken]
    moved[by_arm[~fits]] = rng.permutation(np.delete(by_arm, taken))
    return moved
