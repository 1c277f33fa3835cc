from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..records import PoolMapping, row_state, value_state
from ..registry import option
from ..signals import FloatArray, IntArray, group_mean
from .base import CURRICULA, MAX_LOGGED_ARMS, Curriculum, CurriculumMethod
from .draw import RoundBegan
from .outlook import Outlook, parts
from .parts.row_sampler import RowSampler
from .parts.shared_belief import SharedBelief


ASKS = 3  # how often a round may ask for more rows before it begins
MAX_AGE = 2  # rounds after which what a row itself has shown is old, and it is asked for again
PILOT = 8  # rows of each arm that are known anew before a round


@CURRICULA.add(
    "edco",
    paper="arXiv 2601.03725",
    signal="prefix entropy of a row, the largest",
    cost="a short generation for every row of the pool in each round (less with reprobe: uncertain)",
)
@dataclass(frozen=True)
class EDCO(CurriculumMethod):
    r"""
    EDCO: in rounds, the rows of the whole pool about whose answer the model is least certain now.

    1. Score every row by its prefix entropy: the model starts a quick answer, and the entropies of its first L tokens
       are averaged ([`~trl_curriculum.probes.prefix_entropy.PrefixEntropy`]).
    2. Train on the N rows with the largest scores, each as often as any other, in random order or (`order`) always in
       that of their scores, the largest first, as the code's GRPO does.
    3. Begin again with the model that came out; rows can be chosen again.

    Rows with equal prompts count once: the first of them. Rows without a score come last, in random order.

    With `reprobe="uncertain"` only a part of the pool is scored
    ([`~trl_curriculum.curricula.parts.shared_belief.SharedBelief`], ours): rows of an arm share what is known of any
    of them, rollouts add their own first tokens for free (GRPO), and a row is asked for only where its place among all
    rows is still uncertain or what is known of it is two rounds old.

    Source: Pang et al. 2026, arXiv 2601.03725, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import EDCO
    >>> edco = EDCO(top_n=2).bind(Pool(4))
    >>> edco.observe_probe(edco.rows_to_probe(), np.array([0.3, 2.0, 0.1, 1.0]))
    >>> sorted(edco.select(2).row.tolist())
    [1, 3]

    ```
    """

    rounds: int = option(
        5, "Equal parts of the training, each with rows of its own.", "the paper's in GRPO (8 and 4 in SFT)", least=1
    )
    top_n: int | None = option(
        None, "Rows of a round, N; default: a `share` of them.", "the code's in GRPO: 200, 320 or 800", least=1
    )
    share: float = option(
        0.25,
        "Share of the distinct rows, where `top_n` is not set.",
        "the code's in SFT: epochs / rounds",
        above=0,
        most=1,
    )
    score_by: Literal["prefix_entropy", "loss", "random"] = option(
        "prefix_entropy",
        "`loss`: of the answer, the paper's dynamic baseline; `random`: the same rounds without a score, its control.",
        "the paper's",
    )
    reprobe: Literal["all", "uncertain"] = option("all", "Rows that are scored before a round.", "the paper's")
    optimizer: Literal["reset", "keep"] = option(
        "reset", "Whether a round starts with a fresh optimizer or goes on with it.", "the code's"
    )
    order: Literal["random", "descending"] = option(
        "random",
        "Of a round's rows: random in every pass, or in every pass that of their scores, the largest first.",
        "the code's in SFT; in GRPO it does not shuffle: descending",
    )
    tolerance: float = option(
        0.5,
        "A row is uncertain where the standard deviation of its score is above this share of that of all scores.",
        least=0,
    )

    def check(self) -> None:
        if self.score_by != "prefix_entropy" and self.reprobe != "all":
            raise ValueError(
                f"reprobe={self.reprobe!r} is about prefix entropies: leave it out with score_by={self.score_by!r}."
            )
        if self.score_by == "random" and self.order != "random":
            raise ValueError(
                f"order={self.order!r} goes by scores: leave it out with score_by='random', which has none."
            )

    @property
    def probe(self) -> str | None:  # type: ignore[override]
        return None if self.score_by == "random" else self.score_by

    @property
    def wants(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("prefix_entropy",) if self.reprobe == "uncertain" else ()


class EDCOCurriculum(Curriculum, of=EDCO):
    """[`EDCO`] over a pool."""

    method: EDCO
    score: NDArray = row_state(np.nan)  # as of the last probe
    prompt: NDArray = row_state(0, np.uint64)  # hash of each prompt, 0 where it is not known
    asked: NDArray = row_state(False, bool)  # for the round to come
    asks: int = value_state(0, least=0)
    round: int = value_state(0, least=0)
    part: int = value_state(-1, least=-1)  # of the training, in which this round began
    began_at: int = value_state(0, least=-1)  # draws

    def __init__(self, method: EDCO, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.sampler = RowSampler(pool.size, self.rng, replacement=False)
        self.belief = SharedBelief(pool.arm, pool.n_arms) if method.reprobe == "uncertain" else None
        self.report: dict[str, float] = {}  # on the round's beginning

    @property
    def choice(self) -> int:
        return self.round

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        method, begins = self.method, parts(self.method.rounds, batches)
        n = method.top_n if method.top_n is not None else max(1, round(method.share * self.pool.size))
        odd = []
        if n >= self.pool.size:
            name = "share" if method.top_n is None else "top_n"
            odd.append(f"{name}={getattr(method, name)} takes all {self.pool.size:,} rows in every round: set fewer")
        if batches is not None and len(begins) < method.rounds:
            odd.append(f"rounds={method.rounds} are asked for and only {len(begins)} begin: train for more steps")
        return Outlook(
            event="round",
            events=begins,
            probes=0 if method.probe is None else len(begins) or method.rounds,
            probed_rows=self.pool.size,
            or_fewer=method.reprobe == "uncertain",
            odd=tuple(odd),
        )

    # Scores

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        if self.method.probe is None or self.asks >= ASKS or not self._due(progress):
            return None
        rows = np.flatnonzero(~self.asked) if self.belief is None else self._unknown(self.belief)
        return rows if len(rows) else None

    def _unknown(self, belief: SharedBelief) -> IntArray:
        """Rows to ask for: first a few of each arm, then all that are still uncertain or were seen long ago."""
        fresh = self.asked | (belief.seen_in == self.round)
        known = np.bincount(self.pool.arm[fresh], minlength=self.pool.n_arms)
        short = known < np.minimum(PILOT, self.pool.arm_size)
        if short.any():
            # A stream of its own, from the saved state only: asked again, or after a resume, it is the same
            rng = np.random.Generator(self.rng.bit_generator.jumped())  # type: ignore[attr-defined]
            mixed = rng.permutation(np.flatnonzero(~fresh & short[self.pool.arm]))
            by_arm = mixed[np.argsort(self.pool.arm[mixed], kind="stable")]
            arm = self.pool.arm[by_arm]
            place = np.arange(len(arm)) - np.searchsorted(arm, arm)
            return np.sort(by_arm[place < (PILOT - known)[arm]])
        uncertain, age = belief.uncertainty(self.round) > self.method.tolerance, belief.age(self.round)
        old = np.isfinite(age) & (age > MAX_AGE)  # one that was never seen is as uncertain as its arm says
        return np.flatnonzero(~fresh & (uncertain | old))

    def observe_probe(self, row: IntArray, value: FloatArray, scores: Any = None) -> None:
        self.asks += 1
        self.asked[row] = True
        self.score[row] = value
        if scores is not None:
            self.prompt[row] = scores.prompt
        if self.belief is not None:
            self.belief.observe(row, value, self.round)

    def observe_late(self, row: IntArray, draw: IntArray, **columns: FloatArray) -> None:
        if self.belief is None or "prefix_entropy" not in columns:
            return
        value = columns["prefix_entropy"]
        rows, group = np.unique(row, return_inverse=True)
        count = np.bincount(group[np.isfinite(value)], minlength=len(rows))
        self.belief.observe(rows, group_mean(value, group, len(rows)), self.round, "free", count)

    # Rounds

    def _due(self, progress: float) -> bool:
        if self.round == 0 or self.asks > 0:  # what it asked for must not count against the round it was for
            return True
        return self.drawn != self.began_at and self._part_of(progress) > self.part

    def _part_of(self, progress: float) -> int:
        return min(int(progress * self.method.rounds + 1e-9), self.method.rounds - 1)

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        if self._due(self.progress):
            if self.rows_to_probe(self.progress) is not None:
                raise RuntimeError(
                    f"Curriculum {self.name!r} was asked for rows before their scores were measured: answer "
                    "rows_to_probe(progress) with observe_probe(row, value) until it is None."
                )
            self._begin_round()
        row = self.sampler.draw(n)
        return row, self.pool.arm[row], self.sampler.probability(row)

    def _begin_round(self) -> None:
        score: FloatArray = self.score.astype(float) if self.belief is None else self.belief.scores(self.round)
        distinct = self._ranked(score)
        n = self.method.top_n if self.method.top_n is not None else max(1, round(self.method.share * len(distinct)))
        chosen = distinct[:n]
        weight = np.zeros(self.pool.size)
        weight[chosen] = 1
        self.sampler.set(weight, chosen if self.method.order == "descending" else None)
        self.report = self._report(score, chosen, len(distinct))
        self.round += 1
        self._events.append(RoundBegan(self.round, self.method.optimizer == "reset" and self.round > 1))
        self.part, self.began_at = self._part_of(self.progress), self.drawn
        self.asked[:] = False
        self.asks = 0
        if self.belief is not None:
            self.belief.next_round()

    def _ranked(self, score: FloatArray) -> IntArray:
        """The rows by their score, the largest first, ties and NaN at random; of equal prompts the first."""
        mixed = self.rng.permutation(self.pool.size)
        order = mixed[np.argsort(-score[mixed], kind="stable")]  # NaN comes last
        first = np.zeros(len(order), bool)
        first[np.unique(self.prompt[order], return_index=True)[1]] = True
        return order[first | (self.prompt[order] == 0)]

    def _report(self, score: FloatArray, chosen: IntArray, distinct: int) -> dict[str, float]:
        report = {
            "probed_rows": float(self.asked.mean()),
            "duplicates": float(self.pool.size - distinct),
            "score": _mean(score),
            "score_chosen": _mean(score[chosen]),
        }
        if self.belief is not None:
            age = self.belief.age(self.round)
            report |= {
                "probes_spared": 1 - report["probed_rows"],
                "belief_uncertainty": float(self.belief.uncertainty(self.round).mean()),
                "belief_age": _mean(age),
                "belief_never_seen": float(np.isinf(age).mean()),
            }
        if self.method.probe is not None and self.pool.n_arms <= MAX_LOGGED_ARMS:
            report |= {f"score/{name}": _mean(score[self.pool.arm == k]) for k, name in enumerate(self.arm_names)}
        return {name: value for name, value in report.items() if np.isfinite(value)}

    def probabilities(self) -> FloatArray:
        """Probability of each row to be drawn next, shape `(size,)`; takes O(size)."""
        return self.sampler.probability(np.arange(self.pool.size))

    def metrics(self) -> dict[str, float]:
        return {"round": float(self.round)} | self.report

    # State

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"report": [[name, value] for name, value in self.report.items()]}

    def load_state_dict(self, state: dict[str, Any], carry_over: bool = False) -> PoolMapping | None:  # type: ignore[override]
        mapping = super().load_state_dict(state, carry_over)
        try:
            self.report = {str(name): float(value) for name, value in state["report"]}
        except (KeyError, TypeError, ValueError) as error:
            raise self.damaged("report") from error
        if [[*one] for one in self.report.items()] != state["report"] or not np.isfinite(
            [*self.report.values()]
        ).all():
            raise self.damaged("report")
        return mapping

    def _loaded(self, mapping: PoolMapping | None) -> None:
        if mapping is not None:
            self.part, self.began_at = -1, -1  # other rows: a round begins with the next draw


def _mean(value: FloatArray) -> float:
    """Mean of what is finite; NaN where nothing is."""
    finite = value[np.isfinite(value)]
    return float(finite.mean()) if len(finite) else np.nan
