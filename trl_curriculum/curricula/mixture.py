from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.names import match, shown
from ..pool import Pool
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import CURRICULA, MAX_LOGGED_ARMS, Curriculum, CurriculumMethod
from .outlook import Outlook
from .parts.queues import queues_of
from .parts.selectors import draw_arms, entropy


@CURRICULA.add("mixture", paper="arXiv 1910.10683", signal="nothing: fixed weights of the arms")
@dataclass(frozen=True)
class Mixture(CurriculumMethod):
    r"""
    A mixture of arms (datasets, languages, tasks) whose weights do not change.

    Each slot of a batch draws an arm and then the next row of its shuffled queue: an arm is used up before one of its
    rows comes again. Without weights the arms are mixed by their number of rows at a temperature,

    $$ p(\text{arm}) \propto \text{rows}(\text{arm})^{1/T}, $$

    which at T = 1 is in proportion to the rows and towards infinity equal for all arms. T5 compares T = 2, 4 and 8;
    mT5's exponent .3 is T = 3.33. Both also limit or balance by other means, which are left out: T5 counts at most
    2^21 rows of an arm.

    Source: temperature-scaled mixing, Raffel et al. 2019 (T5), arXiv 1910.10683; Xue et al. 2020 (mT5), 2010.11934.

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import Mixture
    >>> pool = Pool(5, arm=[0, 0, 0, 0, 1], arm_names=["web", "code"])
    >>> Mixture(temperature=2).bind(pool).probabilities().round(3).tolist()
    [0.667, 0.333]
    >>> Mixture(weights={"web": 1, "code": 3}).bind(pool).probabilities().tolist()
    [0.25, 0.75]

    ```
    """

    weights: dict[str | int | float | bool, float] | None = option(
        None, "Weight of each arm by its name, in any unit; 0 leaves an arm out, and every arm has to be named."
    )
    temperature: float = option(1.0, "T, where no weights are given.", "plain mixing by rows", above=0)

    def __post_init__(self) -> None:
        if not isinstance(self.weights, dict | None):
            raise TypeError(
                f"weights={self.weights!r} of mixture must say which arm has which weight: give a mapping such as "
                "{easy: 0.2, hard: 0.8}."
            )
        if self.weights is not None:  # names as a recipe holds them, numbers among them, are those of the data as text
            if twice := [one for one, n in Counter(map(str, self.weights)).items() if n > 1]:
                raise ValueError(f"weights of mixture names the arm {twice[0]!r} twice: leave one out.")
            object.__setattr__(self, "weights", {str(name): weight for name, weight in self.weights.items()})
        super().__post_init__()

    def check(self) -> None:
        if self.weights is not None and self.temperature != 1:
            raise ValueError("Give either weights or a temperature: weights are taken as they are.")
        for name, weight in (self.weights or {}).items():
            if not 0 <= weight < np.inf:
                raise ValueError(f"weights[{name!r}]={weight!r} is not a number of at least 0.")
        if self.weights is not None and not any(self.weights.values()):
            raise ValueError("All weights are 0: nothing could be drawn.")


class MixtureCurriculum(Curriculum, of=Mixture):
    """[`Mixture`] over a pool."""

    takes_streams = True
    method: Mixture

    def __init__(self, method: Mixture, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.queues = queues_of(pool, self.rng)
        share = self.queues.size / self.queues.size.max()  # at most 1: no power of it overflows
        weights = method.weights
        worth = share ** (1 / method.temperature) if weights is None else self._given(weights)
        self._probabilities = worth / worth.sum()

    def _given(self, weights: dict[Any, float]) -> FloatArray:
        names = self.pool.arm_names
        meant = match(weights, names, "weights")
        weight = {meant[name]: value for name, value in weights.items()}
        if missing := [name for name in names if name not in weight]:
            raise ValueError(f"weights lacks the arm {shown(missing[0])!r}: name every arm, with 0 to leave one out.")
        return np.array([weight[name] for name in names], float)

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        return Outlook(by_arm=True)

    def probabilities(self) -> FloatArray:
        """Probability that a slot of the next batch goes to each arm, shape `(n_arms,)`."""
        return self._probabilities

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        p = self._probabilities
        arm = draw_arms(self.rng, p, n)
        return self.queues.pop(arm), arm, self.queues.chance(p, arm)

    def metrics(self) -> dict[str, float]:
        p = self._probabilities
        values = {"distribution_entropy": entropy(p)}
        if len(p) <= MAX_LOGGED_ARMS:
            values |= {f"probability/{name}": float(p[k]) for k, name in enumerate(self.pool.arm_names)}
        return values
