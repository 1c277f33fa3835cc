"""A curriculum under test, what holds for all of them, and what their invariants have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..curricula import Curriculum, Draw, SuccessRate
from ..pool import Pool
from .case import Case
from .simulated import pool, run


SUCCESS = np.linspace(0, 1, 60)


@dataclass(frozen=True)
class CurriculumCase(Case):
    """
    A curriculum, and what its invariants have to know of it.

    Args:
        probabilities (`bool`, *optional*):
            Whether draws have probabilities. Default: they may have.
        floor (`float`, *optional*, defaults to `0.0`):
            The least probability of a row, in units of the uniform one.
        in_turn (`"arm"` or `"pool"`, *optional*):
            What is used up before one of its rows comes again.
        seeded (`bool`, *optional*, defaults to `True`):
            Whether another seed gives other draws.
        forgets (`bool`, *optional*, defaults to `False`):
            Whether feedback without entries changes what it believes.
        rounds (`int`, *optional*, defaults to `0`):
            Rounds that it announces in the course of a training.
        fresh_optimizer (`bool`, *optional*, defaults to `True`):
            Whether its rounds but the first begin with a fresh optimizer.
        labelled (`bool`, *optional*, defaults to `True`):
            Whether the pool has arms.
        estimated ([`~trl_curriculum.curricula.SuccessRate`], *optional*):
            Arms that are estimated, in place of the pool's.
        adapted (`Callable`, *optional*):
            Says for the method and a pool of fewer arms which method takes its place.
    """

    probabilities: bool | None = None
    floor: float = 0.0
    in_turn: Literal["arm", "pool"] | None = None
    seeded: bool = True
    forgets: bool = False
    rounds: int = 0
    fresh_optimizer: bool = True
    labelled: bool = True
    estimated: SuccessRate | None = None
    adapted: Callable[[Any, Pool], Any] | None = None

    def bind(self, over: Pool | None = None, seed: int = 0) -> Curriculum:
        """The curriculum over a pool, with the arms that it is tested with."""
        labelled = self.labelled and self.estimated is None
        if over is None:
            over = pool(labelled=labelled, estimated=self.estimated)
        elif not labelled:
            over = Pool(over.size, difficulty=over.difficulty, row_hash=over.row_hash, estimated=self.estimated)
        method = self.method if self.adapted is None else self.adapted(self.method, over)
        bound: Curriculum = method.bind(over, seed)
        return bound

    def try_out(self) -> None:
        bound = self.bind()
        for draw in run(bound, 6, SUCCESS):
            assert ((draw.row >= 0) & (draw.row < len(SUCCESS))).all() and not (draw.probability < 0).any()


def rows(draws: list[Draw]) -> list[int]:
    """The rows of several draws, one after the other."""
    drawn: list[int] = np.concatenate([draw.row for draw in draws]).tolist()
    return drawn


def a_state_names_all_options(case: CurriculumCase) -> None:
    assert set(case.bind().state_dict()["options"]) == set(case.method.options)
