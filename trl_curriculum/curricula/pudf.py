import logging
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from ..pool import Pool
from ..records import PoolMapping, row_state, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA
from .difficulty import DifficultyCurriculum, DifficultyMethod
from .outlook import Outlook
from .parts.row_sampler import RowSampler


logger = logging.getLogger(__name__)

NARROW = (
    "its window has fewer rows at first than are drawn at once, so that the nearest come again and again until the "
    "ability rises: set upper, or scale: pass_rates where the difficulties are shares of right answers"
)
PATIENCE, NUDGE = 2, 0.1  # refreshes in which the ability may stall, and what it is raised by then
NEVER = 0.01  # least and, from 1, largest pass rate: a handful of answers is no proof of a 0


@CURRICULA.add(
    "pudf", paper="arXiv 2408.05326", signal="ability of the model, from what it gets right of known difficulty"
)
@dataclass(frozen=True)
class PUDF(DifficultyMethod):
    r"""
    PUDF: rows whose difficulty, on the scale of item response theory, is within the model's reach.

    With b the difficulty of a row and θ the ability of the model, a row is answered rightly with probability

    $$ P_i = \frac{1}{1 + e^{-(\theta - b_i)}}. $$

    At each refresh θ is the most probable one given what the rows r have shown that were trained on since the last
    one, with a prior N(0, 1): the root of

    $$ \sum_{i \in r} (y_i - P_i) - \theta = 0, $$

    and until the next refresh rows come in random order that have θ + `lower` <= b <= θ + `upper`, each once before
    any comes again. Where these are fewer than are drawn at once, the nearest others join (ours). θ starts at 0. If it
    does not rise above its highest value in 2 refreshes, the window moves up by .1 for good.

    y is the mean reward of a row's rollouts (the paper: right or wrong, on up to 1,000 rows that it answers on purpose
    before each epoch, where here what training shows is taken). In SFT nothing is right or wrong, and y = exp(-loss),
    as `data_maps` has it (`response: loss`; ours).

    b comes from what other models, or this one, got right of the row: their pass rate p (`scale: pass_rates`) gives
    b = ln((1 - p) / p), with p kept within [.01, .99] (ours); py-irt's difficulties are taken as they are
    (`scale: logits`). In SFT with `difficulty: probe`, b = ln(e^loss - 1), so that θ is 0 before training and b and y
    have one scale, which they do not have where b comes from elsewhere.

    Rows beyond the window are never seen unless θ rises, so hard rows cost nothing until then; a wrong difficulty is
    not noticed.

    Source: Meng et al. 2024, arXiv 2408.05326, and its code. Rasch 1960.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Feedback, Pool
    >>> from trl_curriculum.curricula import PUDF
    >>> pudf = PUDF(scale="pass_rates", refresh_steps=1).bind(Pool(3, difficulty=[0.9, 0.5, 0.1]))
    >>> draw = pudf.select(2)
    >>> sorted(draw.row.tolist())
    [0, 1]
    >>> pudf.observe(Feedback(draw.row, draw.id, 0, reward=np.ones(2)))
    >>> draw = pudf.select(2)
    >>> round(pudf.metrics()["ability"], 2)  # the mean of N(0, 1) is 0
    0.45

    ```
    """

    lower: float | None = option(
        None, "Lower end of the window, from θ; default: none.", "its code's", least=-1e6, most=1e6
    )
    upper: float = option(0.0, "Upper end of the window, from θ.", "its code's", least=-1e6, most=1e6)
    scale: Literal["logits", "pass_rates"] = option(
        "logits", "What the column of difficulties holds: b, or shares of right answers, of which larger is easier."
    )
    response: Literal["reward", "loss"] = option("reward", "What shows whether a row is answered: `loss` in SFT.")
    refresh_steps: int | None = option(
        None,
        "Batches between two refreshes; default: as many as draw each row of the window once.",
        "the paper's epoch",
        least=1,
        kw_only=True,
    )
    outcome: str | None = option(
        None, "Reward function that says what success is, in [0, 1]; default: the weighted sum.", kw_only=True
    )

    def check(self) -> None:
        if self.lower is not None and self.lower > self.upper:
            raise ValueError(f"lower={self.lower} of pudf is above upper={self.upper}: no row would be in.")
        if self.scale == "pass_rates" and self.difficulty == "probe":
            raise ValueError("scale='pass_rates' of pudf says what a column holds: leave it out with a probe.")
        if self.response == "loss" and self.outcome is not None:
            raise ValueError(f"outcome={self.outcome!r} of pudf names a reward, and response='loss' follows none.")

    @property
    def follows(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.response,)


class PUDFCurriculum(DifficultyCurriculum, of=PUDF):
    """[`PUDF`] over a pool."""

    method: PUDF
    ability: float = value_state(0.0)  # θ
    highest: float = value_state(np.nan)
    stalled: int = value_state(0, least=0, most=PATIENCE)  # refreshes since it rose
    raised: float = value_state(0.0, least=0)
    admitted: int = value_state(0, least=0)  # rows of the window
    refreshes: int = value_state(0, least=0)
    steps: int = value_state(0, least=0)  # since the last refresh
    refreshed_at: int = value_state(0, least=0)  # draws
    response: NDArray = row_state(np.nan, np.float32, 0, 1)  # y, since the last refresh

    def __init__(self, method: PUDF, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.sampler = RowSampler(pool.size, self.rng, replacement=False)

    @property
    def choice(self) -> int:
        return self.refreshes

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        every, fixed = self.method.refresh_steps, self.method.refresh_steps is not None
        if every is None and rows is not None and self.hardness is not None:
            every = -(-max(int((self._away() == 0).sum()), rows) // rows)
        most = (batches or 0) - 1
        seen = super().outlook(batches, rows)
        few = rows is not None and self.hardness is not None and (self._away() == 0).sum() < min(rows, self.pool.size)
        return replace(
            seen,
            odd=(*seen.odd, NARROW) if few else seen.odd,
            acts_at=None if every is None else every + 1,
            remedy=f"set refresh_steps to at most {most}" if most > 0 else "train for more steps",
            event="refresh",
            events=tuple(range(1, (batches or 0) + 1, every)[:1000]) if fixed and every is not None else (),
        )

    def _sort(self, hardness: FloatArray) -> None:
        if self.method.difficulty == "probe":
            self._b = np.log(np.expm1(np.maximum(hardness, 1e-6)))
        elif self.method.scale == "pass_rates":
            self._b = from_pass_rates(hardness)
        else:
            self._b = hardness

    def _away(self) -> FloatArray:
        """How far each row is from the window, shape `(size,)`."""
        over = self._b - (self.ability + self.raised)
        below = 0.0 if self.method.lower is None else self.method.lower - over
        return np.maximum(np.maximum(over - self.method.upper, below), 0.0)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        self._need_hardness()
        if self._due():
            self._refresh(n)
        row = self.sampler.draw(n)
        return row, self.pool.arm[row], self.sampler.probability(row)

    def _due(self) -> bool:
        if self.refreshes == 0:
            return True
        if self.steps == 0:  # a packed step draws several times: it is one and the same model
            return False
        if self.method.refresh_steps is not None:
            return self.steps >= self.method.refresh_steps
        return self.drawn - self.refreshed_at >= self.admitted

    def _refresh(self, n: int) -> None:
        seen = np.isfinite(self.response)
        if seen.any():
            self.ability = most_probable_ability(self._b[seen], self.response[seen].astype(float))
            rose = not self.ability <= self.highest  # at first it is not known
            self.stalled = 0 if rose else self.stalled + 1
            self.highest = self.ability if rose else self.highest
            if self.stalled == PATIENCE:
                self.stalled, self.raised = 0, self.raised + NUDGE
        self.response[:] = np.nan
        self.refreshes, self.steps, self.refreshed_at = self.refreshes + 1, 0, self.drawn
        self._aim(n)

    def _aim(self, n: int) -> None:
        away = self._away()
        inside = away == 0
        if inside.sum() < n:
            if self.refreshes == 1 and self.method.difficulty == "probe":  # of a column the outlook has said it
                logger.warning("Curriculum %r: %s.", self.name, NARROW)
            inside[np.lexsort((self.rng.random(len(away)), away))[:n]] = True
        self.admitted = int(inside.sum())
        self.sampler.set(inside.astype(float))

    def observe(self, feedback: Feedback) -> None:
        self.steps += 1
        if self.method.response == "reward":
            row, shown = feedback.per_row(feedback.success(self.method.outcome))
        else:
            assert feedback.loss is not None  # which it follows
            row, shown = feedback.per_row(np.exp(-np.maximum(feedback.loss, 0)))
        finite = np.isfinite(shown)
        self.response[row[finite]] = shown[finite]

    def metrics(self) -> dict[str, float]:
        return {"ability": self.ability + self.raised, "admitted": self.admitted / self.pool.size}

    def _loaded(self, mapping: PoolMapping | None) -> None:
        if self.refreshed_at > self.drawn:
            raise self.damaged("refreshed_at")
        if mapping is None and self.admitted > self.pool.size:
            raise self.damaged("admitted")
        if mapping is not None and self.refreshes and self.hardness is not None:
            self._aim(1)  # at the difficulties of now


def most_probable_ability(b: FloatArray, y: FloatArray) -> float:
    """
    The ability θ that is most probable with a prior N(0, 1), in logits.

    Args:
        b (`FloatArray`, shape `(n,)`):
            Difficulties, in logits.
        y (`FloatArray`, shape `(n,)`):
            Shares of right answers.
    """

    def slope(ability: float) -> float:  # of the log-probability, which falls
        return float((y - expit(ability - b)).sum() - ability)

    return float(brentq(slope, -len(b) - 1, len(b) + 1))


def from_pass_rates(rate: FloatArray) -> FloatArray:
    """
    Difficulties b in logits from shares of right answers, of one model or of several on average, shape `(n,)` each.

    Raises:
        `ValueError`: where one is not in [0, 1].
    """
    if len(outside := np.flatnonzero((rate < 0) | (rate > 1))):
        raise ValueError(
            f"scale='pass_rates' of pudf reads shares of right answers, and row {outside[0]} holds "
            f"{rate[outside[0]]:g}: they must lie in [0, 1]."
        )
    return np.asarray(-logit(np.clip(rate, NEVER, 1 - NEVER)), float)
