from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pool import Pool
from ..records import PoolMapping, row_state, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA, Curriculum, CurriculumMethod
from .outlook import Outlook
from .parts.queues import OneQueue


EQUAL = 1e-8  # spread of rewards that counts as none


@CURRICULA.add(
    "hive",
    paper="arXiv 2603.25184",
    signal="entropy of a prompt's own tokens, among rows whose last groups did not all earn the same",
    cost="one forward over the prompts of some candidates before each draw",
)
@dataclass(frozen=True)
class HIVE(CurriculumMethod):
    r"""
    HIVE: of the rows for which their history speaks, those whose prompts the model finds uncertain now.

    Before each draw m candidates are taken from a shuffled queue of all rows, which pass two gates.

    1. *History.* A row whose last c groups in a row had equal rewards passes with the probability

       $$ \max(q^c, q_{\min}), $$

       where q is `easy` if the last of them earned more than 0, and `hard` otherwise; a row that was never seen, or
       whose last group had rewards that differ, passes. One that does not waits for the queue's next pass. Where a
       whole pass has too few, those that were turned away come too.
    2. *Now.* History is as old as a row's last turn. So the prompts of the m candidates are read by the model
       ([`~trl_curriculum.probes.prompt_entropy.PromptEntropy`]), and those whose entropy is the median or more may be
       drawn, at random. Only where they do not fill the batch others follow, the largest entropy first.

    The paper is known here by its abstract, and no code of it was found: the first gate is GRESO's, which the paper
    compares with, the median is what was noted of the second one, and how they are put together is ours.

    Not for rows whose rewards differ for reasons of chance, which always pass; and not where a prompt's length or
    template decides its entropy.

    Source: Wu et al. 2026, arXiv 2603.25184; the first gate: GRESO, Zheng et al. 2025, arXiv 2506.02177, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import HIVE
    >>> hive = HIVE(candidates=4).bind(Pool(4))
    >>> hive.observe_probe(hive.rows_to_probe(), np.array([0.3, 2.0, 0.1, 1.0]))
    >>> sorted(hive.select(2).row.tolist())
    [1, 3]

    ```
    """

    candidates: int = option(
        64, "Rows m whose prompts are read before each draw; give at least twice the rows of a draw.", least=2
    )
    hard: float = option(0.5, "q of a row whose rewards were all 0 or less.", "GRESO's code", above=0, most=1)
    easy: float = option(0.75, "q of a row whose rewards were all alike and above 0.", "GRESO's code", above=0, most=1)
    least: float = option(0.01, "Least probability of passing the first gate.", "GRESO's code", above=0, most=1)
    outcome: str | None = option(None, "Reward function that is followed; default: the weighted sum of all.")

    follows = ("reward",)
    trainers = ("GRPO",)
    probe = "prompt_entropy"


class HIVECurriculum(Curriculum, of=HIVE):
    """[`HIVE`] over a pool."""

    method: HIVE
    flat: IntArray = row_state(0, np.int32, 0)  # groups in a row whose rewards were all alike
    solved: NDArray[np.bool_] = row_state(False, bool)  # whether the last of them earned more than 0
    candidate: NDArray[np.bool_] = row_state(False, bool)  # for the next draw
    entropy: NDArray = row_state(np.nan)  # of the prompt when it was a candidate last
    is_probed: bool = value_state(False)  # whether the candidates are
    threshold: float = value_state(np.nan)
    passed: float = value_state(np.nan, 0, 1)  # share of the rows that came up for the last candidates

    def __init__(self, method: HIVE, pool: Pool, seed: int = 0) -> None:
        super().__init__(method, pool, seed)
        self.queue = OneQueue(pool.size, self.rng)

    @property
    def choice(self) -> int:
        return self.drawn

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        m = min(self.method.candidates, self.pool.size)
        few = f"candidates={self.method.candidates} are less than twice the {rows} rows of a draw"
        odd = f"{few}, so that prompts below the median are drawn too: set at least {2 * (rows or 0)}"
        return Outlook(
            acts_at=1,  # by what the prompts showed just before
            event="draw",
            probes=batches or 1,
            probed_rows=m,
            odd=(odd,) if rows is not None and 2 * rows > m < self.pool.size else (),
        )

    # Candidates

    def chance(self, row: IntArray) -> FloatArray:
        """Probability of rows to pass the first gate, shape `(n,)`."""
        method = self.method
        q = np.where(self.solved[row], method.easy, method.hard)
        return np.maximum(q ** self.flat[row], method.least)

    def _candidates(self, n: int) -> IntArray:
        """Rows of the queue that pass the first gate, `n` of them unless the pool is smaller, each once."""
        passed, away = np.empty(0, np.int64), np.empty(0, np.int64)
        came = 0
        while len(passed) < n and came < self.pool.size:
            row = self.queue.pop(np.zeros(min(n - len(passed), self.pool.size - came), np.int64))
            came += len(row)
            through = self.rng.random(len(row)) < self.chance(row)
            passed, away = np.union1d(passed, row[through]), np.concatenate([away, row[~through]])
        self.passed = len(passed) / came
        others = away[~np.isin(away, passed)][: n - len(passed)]
        return np.union1d(passed, others)

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        if self.is_probed:
            return None
        if not self.candidate.any():
            self.candidate[self._candidates(self.method.candidates)] = True
        return np.flatnonzero(self.candidate)

    def observe_probe(self, row: IntArray, value: FloatArray, scores: Any = None) -> None:
        self.entropy[row] = value
        self.is_probed = True

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        if not self.is_probed:
            raise RuntimeError(
                f"Curriculum {self.name!r} was asked for rows before their prompts were read: answer "
                "rows_to_probe(progress) with observe_probe(row, value) until it is None."
            )
        rows = self.rng.permutation(np.flatnonzero(self.candidate))
        entropy = self.entropy[rows]
        known = entropy[np.isfinite(entropy)]
        self.threshold = float(np.median(known)) if len(known) else np.nan
        verified = entropy >= self.threshold
        others = np.flatnonzero(~verified)
        rows = np.concatenate([rows[verified], rows[others[np.argsort(-entropy[others], kind="stable")]]])
        self.candidate[:], self.is_probed = False, False
        while len(rows) < n:  # a batch that is larger than the candidates
            rows = np.concatenate([rows, self._candidates(n - len(rows))])
        return rows[:n], self.pool.arm[rows[:n]], np.full(n, np.nan)

    # History

    def observe(self, feedback: Feedback) -> None:
        reward = feedback.outcome(self.method.outcome)
        first = np.unique(feedback.draw, return_index=True)[1]
        scored = np.bincount(feedback.group, np.isfinite(reward), len(first)) > 1  # of one reward nothing can be said
        row, mean = feedback.row[first], feedback.mean(reward)[first]
        flat = scored & (feedback.std(reward)[first] <= EQUAL)
        np.add.at(self.flat, row[flat], 1)
        self.solved[row[flat]] = mean[flat] > 0
        self.flat[row[scored & ~flat]] = 0

    def metrics(self) -> dict[str, float]:
        values = {"passed_history": self.passed, "entropy_threshold": self.threshold}
        values["flat_rows"] = float((self.flat > 0).mean())
        return {name: value for name, value in values.items() if np.isfinite(value)}

    # State

    def _loaded(self, mapping: PoolMapping | None) -> None:
        if mapping is not None:  # other rows: there are new candidates
            self.candidate[:], self.is_probed = False, False
        elif self.is_probed and not self.candidate.any():
            raise self.damaged("is_probed")
