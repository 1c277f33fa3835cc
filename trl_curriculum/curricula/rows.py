"""Weights per row that are renewed at every refresh: the part that all curricula over row losses share."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..records import row_state, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import MAX_LOGGED_ARMS, Curriculum, CurriculumMethod
from .outlook import Outlook
from .parts.row_sampler import RowSampler
from .parts.selectors import entropy


@dataclass(frozen=True)
class RowMethod(CurriculumMethod):
    """
    Draws rows by weights that it computes from the rows' losses, anew at every refresh.

    The losses are a by-product of training (`"free"`: a row shows its loss whenever it is trained on), or measured on
    purpose right before a refresh (`"probe"`: one forward over the pool, or over a share of it, which the trainer
    runs and reports). Until the first refresh all rows weigh the same. Arms are only reported.

    A method implements `weights`.
    """

    measure: Literal["free", "probe"] = option(
        "free",
        "Losses that training shows anyway, or a forward over the pool at every refresh.",
        kw_only=True,
    )
    refresh_steps: int | None = option(
        None,
        "Optimizer steps between two refreshes; default: as many as it takes to draw as many rows as the pool has.",
        least=1,
        kw_only=True,
    )

    refreshes_to_act: ClassVar[int] = 1  # after which rows are no longer drawn alike
    probe_share: ClassVar[float] = 1.0  # of the pool that a probe measures, drawn at random each time
    replacement: ClassVar[bool] = False  # whether a row can come again between two refreshes
    cost = "free; with measure: probe, 1 forward over the pool at each refresh"

    @property
    def follows(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("loss",) if self.measure == "free" else ()

    @property
    def probe(self) -> str | None:  # type: ignore[override]
        return "loss" if self.measure == "probe" else None

    def draws_per_refresh(self, now: "RowCurriculum") -> int:
        """Draws until the next refresh, where `refresh_steps` does not say it."""
        return now.pool.size

    @property
    def uniform_by(self) -> str | None:
        """The option by which all rows are drawn alike whatever is seen, such as `"share=1"`, or `None`."""
        return None

    def weights(
        self, now: "RowCurriculum", row: IntArray, loss: FloatArray, inclusion_weight: FloatArray
    ) -> FloatArray:
        """
        Weights of all rows, shape `(size,)` and not all 0, from what was seen since the last refresh.

        Free losses are not those of a random sample: each stands for 1/π rows, where π is the probability that its row
        was drawn since the last refresh (Horvitz-Thompson). With packing π is approximate: rows that were drawn and
        still wait count as drawn.

        Args:
            now ([`RowCurriculum`]):
                The pool, the last loss of every row, the share of the training that is done, a random generator.
            row, loss, inclusion_weight (shape `(n,)`, n >= 1):
                Rows that showed a loss since then, in the order of the pool, the last loss of each, and 1/π.
        """
        raise NotImplementedError


class RowCurriculum(Curriculum, of=RowMethod):
    """A [`RowMethod`] over a pool."""

    method: RowMethod
    loss: NDArray = row_state(np.nan)
    last_refresh_seen: NDArray = row_state(-1, np.int32, -1)  # refresh before which a row showed its loss last
    refreshes: int = value_state(0, least=0)
    steps: int = value_state(0, least=0)  # since the last refresh
    refreshed_at: int = value_state(0, least=0)  # draws

    def __init__(self, method: RowMethod, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.sampler = RowSampler(pool.size, self.rng, method.replacement)
        self._arm_mass: FloatArray | None = None

    @property
    def choice(self) -> int:
        return self.refreshes

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        method, probes = self.method, self.method.measure == "probe"
        needed = method.refreshes_to_act
        events = self._refreshes_in(batches, rows, needed)
        inside = events if batches is None else [batch for batch in events if batch <= batches]
        most = ((batches or 0) - 1) // max(needed - probes, 1)
        by_option = "refresh_steps" in method.options and most > 0
        uniform = method.uniform_by
        return Outlook(
            acts_at=events[needed - 1] if len(events) >= needed else None,
            remedy=f"set refresh_steps to at most {most}" if by_option else "train for more steps, or on fewer rows",
            event="refresh",
            events=tuple(inside),
            probes=len(inside) if probes else 0,
            probed_rows=max(1, round(method.probe_share * self.pool.size)) if probes else 0,
            odd=(f"{uniform} draws all rows alike, as 'uniform' does",) if uniform else (),
        )

    def _refreshes_in(self, batches: int | None, rows: int | None, least: int) -> list[int]:
        """Batches, counted from 1, before which refreshes fall; at least so many of them, where that is known."""
        now, at = copy.copy(self), [1] if self.method.measure == "probe" else []
        while len(at) < least or (at[-1] < (batches or 0) and len(at) < 1000):
            now.refreshes = len(at)
            every = self.method.refresh_steps
            if every is None and rows is None:
                break
            if every is None:
                every = max(1, -(-self.method.draws_per_refresh(now) // (rows or 1)))
            at.append((at[-1] if at else 1) + every)
        return at

    # Losses

    def observe(self, feedback: Feedback) -> None:
        self.steps += 1
        if self.method.measure == "free" and feedback.loss is not None:
            self._saw(*feedback.per_row(feedback.loss))

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        if self.method.measure == "free" or not self._due(first=True):
            return None
        if self.method.probe_share == 1:
            return np.arange(self.pool.size)
        # A stream of its own, which depends on the saved state only: asked again, or after a resume, it is the same
        rng = np.random.Generator(self.rng.bit_generator.jumped())  # type: ignore[attr-defined]
        n = max(1, round(self.method.probe_share * self.pool.size))
        return np.sort(rng.choice(self.pool.size, n, replace=False))

    def observe_probe(self, row: IntArray, value: FloatArray, scores: Any = None) -> None:
        self._saw(row, value)
        self._refresh(np.ones(self.pool.size))

    def _saw(self, row: IntArray, loss: FloatArray) -> None:
        finite = np.isfinite(loss)
        self.loss[row[finite]] = loss[finite]
        self.last_refresh_seen[row[finite]] = self.refreshes

    # Refresh

    def _due(self, first: bool) -> bool:
        if self.refreshes == 0 and first:
            return True
        if self.steps == 0:  # a packed step draws several times: it is one and the same model
            return False
        if self.method.refresh_steps is not None:
            return self.steps >= self.method.refresh_steps
        return self.drawn - self.refreshed_at >= self.method.draws_per_refresh(self)

    def _refresh(self, inclusion_weight: FloatArray | None = None) -> None:
        row = np.flatnonzero(self.last_refresh_seen == self.refreshes)
        if inclusion_weight is None:
            drawn = self.sampler.inclusion(row, self.drawn - self.refreshed_at)
            # A row that cannot be drawn now was drawn before the last refresh and put back: it stands for itself.
            inclusion_weight = np.divide(1, drawn, out=np.ones(len(row)), where=drawn > 0)
        else:
            inclusion_weight = inclusion_weight[row]
        if len(row):
            loss = self.loss[row].astype(float)
            self.sampler.cumulative = None  # its place is needed: the new weights take as much
            self.sampler.set(self.method.weights(self, row, loss, inclusion_weight))
            self._arm_mass = None
        self.refreshes += 1
        self.steps, self.refreshed_at = 0, self.drawn

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        if self.method.measure == "free" and self._due(first=False):
            self._refresh()
        row = self.sampler.draw(n)
        return row, self.pool.arm[row], self.sampler.probability(row)

    def probabilities(self) -> FloatArray:
        """Probability of each row to be drawn next, shape `(size,)`; takes O(size)."""
        return self.sampler.probability(np.arange(self.pool.size))

    def metrics(self) -> dict[str, float]:
        values = {"refreshes": float(self.refreshes), "seen_rows": float((self.last_refresh_seen >= 0).mean())}
        if self.pool.n_arms <= MAX_LOGGED_ARMS:
            mass = self._arm_mass
            if mass is None:
                mass = self._arm_mass = np.bincount(self.pool.arm, self.probabilities(), self.pool.n_arms).astype(
                    float
                )
            values |= {f"probability/{name}": float(p) for name, p in zip(self.arm_names, mass, strict=True)}
            values["distribution_entropy"] = entropy(mass)
        return values

    def unfinished(self) -> str | None:
        if self.refreshes:
            return None
        return (
            f"{self.name} drew all rows alike: training ended before its first refresh; set refresh_steps to fewer "
            "steps than training has."
        )

    def _loaded(self, mapping: Any) -> None:
        self._arm_mass = None
        if self.refreshed_at > self.drawn:
            raise self.damaged("refreshed_at")
