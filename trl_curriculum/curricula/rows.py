"""Weights per row that are renewed at every refresh: the part that all curricula over row losses share."""

from abc import abstractmethod
from typing import Any, Literal

import numpy as np

from ..pool import Pool
from ..signals import Feedback, FloatArray, IntArray
from .arms import MAX_LOGGED_ARMS
from .base import Carried, Curriculum
from .parts.row_sampler import RowSampler
from .parts.selectors import entropy


Measure = Literal["free", "probe"]


class RowCurriculum(Curriculum):
    """
    Draws rows by weights that a method computes from the rows' losses, anew at every refresh.

    The losses are a by-product of training (`"free"`: a row shows its loss whenever it is trained on), or measured on
    purpose right before a refresh (`"probe"`: one forward over the pool, or over a share of it, which the trainer
    runs and reports). Until the first refresh all rows weigh the same.

    A method implements `_weights`. Free losses are not those of a random sample: each stands for 1/π rows, where π is
    the probability that its row was drawn since the last refresh (Horvitz-Thompson). `_weights` is told 1/π. With
    packing π is approximate: rows that were drawn and still wait count as drawn.

    Args:
        pool ([`Pool`]):
            Rows to choose from.
        measure (`str`):
            `"free"` or `"probe"`.
        refresh_steps (`int`, *optional*):
            Optimizer steps between two refreshes; default: as many as it takes to draw as many rows as the pool has.
        probe_share (`float`):
            Share of the pool that a probe measures, drawn at random each time.
        replacement (`bool`):
            Whether a row can come again between two refreshes.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.
    """

    probabilistic = True

    def __init__(
        self,
        pool: Pool,
        *,
        measure: Measure = "free",
        refresh_steps: int | None = None,
        probe_share: float = 1.0,
        replacement: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(pool, seed)
        if measure not in ("free", "probe"):
            raise ValueError(f"measure={measure!r} is neither 'free' nor 'probe'.")
        if refresh_steps is not None and refresh_steps < 1:
            raise ValueError(f"refresh_steps={refresh_steps} must be at least 1.")
        if not 0 < probe_share <= 1:
            raise ValueError(f"probe_share={probe_share} is not a share of the pool in (0, 1].")
        self.measure, self.refresh_steps, self.probe_share = measure, refresh_steps, probe_share
        self.replacement = replacement
        self.replaces = True
        self.sampler = RowSampler(pool.size, self.rng, replacement)
        self.loss = np.full(pool.size, np.nan, np.float32)
        self.seen_in = np.full(pool.size, -1, np.int32)  # refresh before which a row showed its loss last
        self.refreshes = 0
        self.steps = 0  # since the last refresh
        self.refreshed_at = 0  # draws
        self._arm_mass: FloatArray | None = None

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("loss",) if self.measure == "free" else ()

    @property
    def asks_for(self) -> str | None:  # type: ignore[override]
        return "loss" if self.measure == "probe" else None

    @abstractmethod
    def _weights(self, row: IntArray, loss: FloatArray, stands_for: FloatArray) -> FloatArray:
        """
        Weights of all rows, shape `(size,)` and not all 0, from what was seen since the last refresh.

        Args:
            row, loss, stands_for (shape `(n,)`, n >= 1):
                Rows that showed a loss since then, in the order of the pool, the last loss of each, and how many rows
                of the pool each stands for.
        """

    # Losses

    def observe(self, feedback: Feedback) -> None:
        self.steps += 1
        if self.measure == "free" and feedback.loss is not None:
            self._saw(*feedback.per_row(feedback.loss))

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        if self.measure == "free" or not self._due(first=True):
            return None
        if self.probe_share == 1:
            return np.arange(self.pool.size)
        # A stream of its own, which depends on the saved state only: asked again, or after a resume, it is the same
        rng = np.random.Generator(self.rng.bit_generator.jumped())  # type: ignore[attr-defined]
        n = max(1, round(self.probe_share * self.pool.size))
        return np.sort(rng.choice(self.pool.size, n, replace=False))

    def observe_probe(self, row: IntArray, value: FloatArray, measured: Any = None) -> None:
        self._saw(row, value)
        self._refresh(np.ones(self.pool.size))

    def _saw(self, row: IntArray, loss: FloatArray) -> None:
        finite = np.isfinite(loss)
        self.loss[row[finite]] = loss[finite]
        self.seen_in[row[finite]] = self.refreshes

    # Refresh

    def _due(self, first: bool) -> bool:
        if self.refreshes == 0 and first:
            return True
        if self.steps == 0:  # a packed step draws several times: it is one and the same model
            return False
        if self.refresh_steps is not None:
            return self.steps >= self.refresh_steps
        return self.drawn - self.refreshed_at >= self._draws_per_refresh()

    def _draws_per_refresh(self) -> int:
        """Draws until the next refresh, where `refresh_steps` does not say it."""
        return self.pool.size

    def _refresh(self, stands_for: FloatArray | None = None) -> None:
        row = np.flatnonzero(self.seen_in == self.refreshes)
        if stands_for is None:
            drawn = self.sampler.inclusion(row, self.drawn - self.refreshed_at)
            # A row that cannot be drawn now was drawn before the last refresh and put back: it stands for itself.
            stands_for = np.divide(1, drawn, out=np.ones(len(row)), where=drawn > 0)
        else:
            stands_for = stands_for[row]
        if len(row):
            loss = self.loss[row].astype(float)
            self.sampler.cumulative = None  # its place is needed: the new weights take as much
            self.sampler.set(self._weights(row, loss, stands_for))
            self._arm_mass = None
        self.refreshes += 1
        self.steps, self.refreshed_at = 0, self.drawn

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        if self.measure == "free" and self._due(first=False):
            self._refresh()
        row = self.sampler.draw(n)
        return row, self.pool.arm[row], self.sampler.probability(row)

    def probabilities(self) -> FloatArray:
        """Probability of each row to be drawn next, shape `(size,)`; takes O(size)."""
        return self.sampler.probability(np.arange(self.pool.size))

    def metrics(self) -> dict[str, float]:
        values = {"refreshes": float(self.refreshes), "seen_rows": float((self.seen_in >= 0).mean())}
        if self.pool.n_arms <= MAX_LOGGED_ARMS:
            mass = self._arm_mass
            if mass is None:
                mass = self._arm_mass = np.bincount(self.pool.arm, self.probabilities(), self.pool.n_arms).astype(
                    float
                )
            values |= {f"probability/{name}": float(p) for name, p in zip(self.arm_names, mass, strict=True)}
            values["distribution_entropy"] = entropy(mass)
        return values

    # State

    def _state(self) -> dict[str, Any]:
        return {
            "sampler": self.sampler.state_dict(),
            "loss": self.loss.copy(),
            "seen_in": self.seen_in.copy(),
            "refreshes": self.refreshes,
            "steps": self.steps,
            "refreshed_at": self.refreshed_at,
        }

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        self.sampler.load_state_dict(state["sampler"], carried)
        for name, start in (("loss", np.nan), ("seen_in", -1)):
            old = state[name]
            setattr(self, name, carried.rows(old, start) if carried is not None else old.copy())
        self.refreshes, self.steps, self.refreshed_at = (
            state[name] for name in ("refreshes", "steps", "refreshed_at")
        )
        self._arm_mass = None
