from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..pool import Pool
from ..registry import option
from ..signals import FloatArray
from .base import CURRICULA
from .levels import LevelCurriculum, LevelMethod


@CURRICULA.add("e2h", paper="arXiv 2506.06632", signal="nothing: a schedule over levels, from easy to hard")
@dataclass(frozen=True)
class E2H(LevelMethod):
    r"""
    E2H: probabilities of levels move from easy to hard, as a Gaussian whose centre moves or as a cosine.

    With K levels k = 0, …, K - 1 and t the share of training done, E2H-G draws level k with

    $$ q_k \propto \exp\left(-\frac{(k - \mu_t)^2}{2 \sigma^2}\right), \quad \mu_t = t^{\beta} (K - 1), \quad
    p_k = f + (1 - K f)\, q_k, $$

    so that no level falls below the floor f. E2H-C goes from one ramp to its mirror image,

    $$ p_k = a\, \frac{K - k}{S} + (1 - a)\, \frac{k + 1}{S}, \quad a = \tfrac12 (1 + \cos \pi t), \quad
    S = \tfrac12 K (K + 1), $$

    where the floor 2 / (K (K + 1)) is kept by itself. A level is used up before one of its rows comes again.

    Nothing of it follows what the model can do: where the easy levels are solved already, `adarft` leaves them sooner.

    Source: Parashar et al. 2025, arXiv 2506.06632, and its code, whose σ and β are the defaults.

    Example:

    ```python
    >>> from trl_curriculum.curricula import E2H
    >>> E2H(floor=0.1).schedule(0.25, 3).round(3).tolist()  # μ = .25 ** .5 * 2 = 1
    [0.175, 0.651, 0.175]
    >>> E2H(form="cosine").schedule(0.0, 3).round(3).tolist()
    [0.5, 0.333, 0.167]

    ```
    """

    form: Literal["gaussian", "cosine"] = option(
        "gaussian", "E2H-G or E2H-C.", "ours (its code's configuration: cosine)"
    )
    beta: float = option(0.5, "β: below 1 the centre moves fast at first.", "its code's", above=0, most=100)
    sigma: float = option(0.5, "σ, in levels.", "its code's", least=1e-3, most=1e3)
    floor: float | None = option(
        None, "Least probability f of a level; default: 2 / (K (K + 1)).", "its code's", least=0, most=1
    )

    def check(self) -> None:
        super().check()
        changed = self.spec[self.name] if isinstance(self.spec, dict) else {}
        if self.form == "cosine" and (void := {"beta", "sigma", "floor"} & changed.keys()):
            raise ValueError(f"form='cosine' of e2h is no Gaussian: leave {min(void)} out.")

    def schedule(self, progress: float, n_levels: int) -> FloatArray:
        level = np.arange(n_levels)
        total = n_levels * (n_levels + 1) / 2
        if self.form == "cosine":
            early = (1 + np.cos(np.pi * progress)) / 2
            return (early * (n_levels - level) + (1 - early) * (level + 1)) / total
        away = (level - progress**self.beta * (n_levels - 1)) ** 2 / (2 * self.sigma**2)
        q = np.exp(away.min() - away)
        floor = 1 / total if self.floor is None else self.floor
        return floor + (1 - n_levels * floor) * q / q.sum()


class E2HCurriculum(LevelCurriculum, of=E2H):
    """[`E2H`] over a pool."""

    method: E2H

    def __init__(self, method: E2H, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        n = pool.n_arms if method.levels is None else method.levels
        if method.floor is not None and n * method.floor > 1:
            raise ValueError(
                f"floor={method.floor} of e2h for each of {n} levels is more than there is: set at most {1 / n:.3g}."
            )
