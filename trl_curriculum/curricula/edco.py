from typing import Any, Literal

import numpy as np

from ..pool import Pool
from ..signals import Feedback, FloatArray, IntArray
from .arms import MAX_LOGGED_ARMS
from .base import Carried, Curriculum
from .parts.row_sampler import RowSampler
from .parts.selectors import check_share
from .parts.shared_belief import SharedBelief


ASKS = 3  # how often a round may ask for more rows before it begins


class EDCO(Curriculum):
    r"""
    EDCO: in rounds, the rows of the whole pool about whose answer the model is least certain now.

    1. Score every row by its prefix entropy: the model starts a quick answer, and the entropies of its first L tokens
       are averaged ([`~trl_curriculum.probes.prefix_entropy.PrefixEntropy`]).
    2. Train on the N rows with the largest scores, each as often as any other, in random order.
    3. Begin again with the model that came out; rows can be chosen again.

    Rows with equal prompts count once: the first of them. Rows without a score come last, by lot.

    With `reprobe="uncertain"` only a part of the pool is scored ([`SharedBelief`], ours): rows of an arm share what is
    known of any of them, rollouts add their own first tokens for free (GRPO), and a row is asked for only where its
    place among all rows is still uncertain or what is known of it is old.

    Args:
        pool ([`Pool`]):
            Rows; arms matter for `reprobe="uncertain"` only.
        rounds (`int`, *optional*, defaults to `5`):
            Equal parts of the training, each with rows of its own (the paper's in GRPO; 8 and 4 in SFT).
        top_n (`int`, *optional*):
            Rows of a round, N (the code's: 200, 320 or 800 in GRPO). Default: a `share` of the distinct rows.
        share (`float`, *optional*, defaults to `0.25`):
            See `top_n`. The code's in SFT: epochs / rounds = 2 / 8.
        skip_top (`float`, *optional*, defaults to `0.0`):
            Share of the distinct rows with the very largest scores that is left out, because they may be garbage (the
            code has .05, commented out).
        score_by (`str`, *optional*, defaults to `"prefix_entropy"`):
            `"loss"`: of the answer, the paper's dynamic baseline; `"random"`: the same rounds without a score, its
            control.
        reprobe (`str`, *optional*, defaults to `"all"`):
            Rows that are scored before a round: `"all"` (the paper's) or `"uncertain"` (ours).
        optimizer (`str`, *optional*, defaults to `"reset"`):
            Whether a round starts with a fresh optimizer, `"reset"` (the code's), or goes on with it, `"keep"`.
        budget (`float`, *optional*):
            Begin a round not at equal parts of the training, but as soon as all scoring, the coming one included,
            takes at most this share of the tokens that were trained on (ours).
        tolerance (`float`, *optional*, defaults to `0.5`):
            A row is uncertain where the standard deviation of its score is larger than this share of that of all
            scores (ours).
        max_age (`int`, *optional*, defaults to `2`):
            Rounds after which what a row itself has shown is old, and it is asked for again (ours).
        pilot (`int`, *optional*, defaults to `8`):
            Rows of each arm that are known anew before a round (ours).
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Source: Pang et al. 2026, arXiv 2601.03725, and its code.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import EDCO
    >>> edco = EDCO(Pool(4), top_n=2)
    >>> edco.observe_probe(edco.rows_to_probe(), np.array([0.3, 2.0, 0.1, 1.0]))
    >>> sorted(edco.select(2).row.tolist())
    [1, 3]

    ```
    """

    name = "edco"
    signal = "prefix entropy of a row, the largest"
    cost = "a short generation for every row of the pool in each round (less with reprobe: uncertain)"
    paper = "arXiv 2601.03725"
    probabilistic = True
    replaces = True

    def __init__(
        self,
        pool: Pool,
        rounds: int = 5,
        top_n: int | None = None,
        share: float = 0.25,
        skip_top: float = 0.0,
        score_by: Literal["prefix_entropy", "loss", "random"] = "prefix_entropy",
        reprobe: Literal["all", "uncertain"] = "all",
        optimizer: Literal["reset", "keep"] = "reset",
        budget: float | None = None,
        tolerance: float = 0.5,
        max_age: int = 2,
        pilot: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__(pool, seed)
        if rounds < 1 or max_age < 1 or pilot < 1:
            raise ValueError(f"rounds={rounds}, max_age={max_age} and pilot={pilot} must be at least 1.")
        if top_n is not None and top_n < 1:
            raise ValueError(f"top_n={top_n}: a round needs at least one row.")
        check_share(share)
        if not 0 <= skip_top < 1:
            raise ValueError(f"skip_top={skip_top} is not a share of the rows in [0, 1).")
        for option, value, known in (
            ("score_by", score_by, ("prefix_entropy", "loss", "random")),
            ("reprobe", reprobe, ("all", "uncertain")),
            ("optimizer", optimizer, ("reset", "keep")),
        ):
            if value not in known:
                raise ValueError(f"{option}={value!r} is none of {', '.join(known)}.")
        if score_by != "prefix_entropy" and (reprobe != "all" or budget is not None):
            raise ValueError(
                f"reprobe={reprobe!r} and budget={budget} are about prefix entropies: leave them out with "
                f"score_by={score_by!r}."
            )
        if not (budget is None or budget > 0) or not tolerance >= 0:
            raise ValueError(f"budget={budget} must be above 0, and tolerance={tolerance} not below.")
        self.rounds, self.top_n, self.share, self.skip_top = rounds, top_n, share, skip_top
        self.score_by, self.reprobe, self.optimizer, self.budget = score_by, reprobe, optimizer, budget
        self.tolerance, self.max_age, self.pilot = tolerance, max_age, pilot
        self.sampler = RowSampler(pool.size, self.rng, replacement=False)
        self.score = np.full(pool.size, np.nan, np.float32)  # as of the last probe
        self.prompt = np.zeros(pool.size, np.uint64)  # hash of each prompt, 0 where it is not known
        self.asked = np.zeros(pool.size, bool)  # for the round to come
        self.asks = 0
        self.belief = SharedBelief(pool.arm, pool.n_arms) if reprobe == "uncertain" else None
        self.round = 0
        self.part = -1  # of the training, in which this round began
        self.began_at = 0  # draws
        self.spent, self.last_cost, self.trained = 0, 0, 0  # tokens
        self.told: dict[str, float] = {}
        if score_by != "prefix_entropy":
            self.signal = "loss of a row's answer, the largest" if score_by == "loss" else "none: rows by lot"  # type: ignore[misc]
            self.cost = "a forward over the pool in each round" if score_by == "loss" else "none"  # type: ignore[misc]

    @property
    def asks_for(self) -> str | None:  # type: ignore[override]
        return None if self.score_by == "random" else self.score_by

    @property
    def uses(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("prefix_entropy",) if self.belief is not None else ()

    @property
    def fresh_optimizer(self) -> bool:  # type: ignore[override]
        return self.optimizer == "reset"

    # Scores

    def rows_to_probe(self, progress: float = 0.0) -> IntArray | None:
        if self.asks_for is None or self.asks >= ASKS or not self._due(progress):
            return None
        rows = np.flatnonzero(~self.asked) if self.belief is None else self._unknown(self.belief)
        return rows if len(rows) else None

    def _unknown(self, belief: SharedBelief) -> IntArray:
        """Rows to ask for: first a few of each arm, then all that are still uncertain or were seen long ago."""
        fresh = self.asked | (belief.seen_in == self.round)
        known = np.bincount(self.pool.arm[fresh], minlength=self.pool.n_arms)
        short = known < np.minimum(self.pilot, self.pool.arm_size)
        if short.any():
            # A stream of its own, from the saved state only: asked again, or after a resume, it is the same
            rng = np.random.Generator(self.rng.bit_generator.jumped())  # type: ignore[attr-defined]
            mixed = rng.permutation(np.flatnonzero(~fresh & short[self.pool.arm]))
            by_arm = mixed[np.argsort(self.pool.arm[mixed], kind="stable")]
            arm = self.pool.arm[by_arm]
            place = np.arange(len(arm)) - np.searchsorted(arm, arm)
            return np.sort(by_arm[place < (self.pilot - known)[arm]])
        uncertain, age = belief.uncertainty(self.round) > self.tolerance, belief.age(self.round)
        old = np.isfinite(age) & (age > self.max_age)  # one that was never seen is as uncertain as its arm says
        return np.flatnonzero(~fresh & (uncertain | old))

    def observe_probe(self, row: IntArray, value: FloatArray, measured: Any = None) -> None:
        self.asks += 1
        self.asked[row] = True
        self.score[row] = value
        if measured is not None:
            self.prompt[row] = measured.prompt
            cost = int(measured.tokens.sum())
            self.spent += cost
            self.last_cost = cost + (self.last_cost if self.asks > 1 else 0)
        if self.belief is not None:
            self.belief.observe(row, value, self.round)

    def observe(self, feedback: Feedback) -> None:
        if feedback.prefix_entropy is None:
            self.trained += int(feedback.length.sum()) if feedback.length is not None else 0
        elif self.belief is not None:
            rows, value = feedback.per_row(feedback.prefix_entropy)
            seen = np.isfinite(feedback.prefix_entropy)
            count = np.bincount(np.searchsorted(rows, feedback.row[seen]), minlength=len(rows))
            self.belief.observe(rows, value, self.round, "free", count)

    # Rounds

    def _due(self, progress: float) -> bool:
        if self.round == 0 or self.asks > 0:  # what it asked for must not count against the round it was for
            return True
        if self.drawn == self.began_at:
            return False
        if self.budget is not None and self.began_at >= 0:
            return self.spent + self.last_cost <= self.budget * self.trained
        return self._part_of(progress) > self.part

    def _part_of(self, progress: float) -> int:
        return min(int(progress * self.rounds + 1e-9), self.rounds - 1)

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
        n = self.top_n if self.top_n is not None else max(1, round(self.share * len(distinct)))
        known = int(np.isfinite(score[distinct]).sum())
        skip = min(int(self.skip_top * known), max(len(distinct) - n, 0))
        chosen = distinct[skip : skip + n]
        weight = np.zeros(self.pool.size)
        weight[chosen] = 1
        self.sampler.set(weight)
        self.told = self._tell(score, chosen, len(distinct))
        self.round += 1
        self.part, self.began_at = self._part_of(self.progress), self.drawn
        self.asked[:] = False
        self.asks = 0
        if self.belief is not None:
            self.belief.next_round()

    def _ranked(self, score: FloatArray) -> IntArray:
        """The rows by their score, the largest first, ties and rows without one by lot; of equal prompts the first."""
        mixed = self.rng.permutation(self.pool.size)
        order = mixed[np.argsort(-score[mixed], kind="stable")]  # NaN comes last
        first = np.zeros(len(order), bool)
        first[np.unique(self.prompt[order], return_index=True)[1]] = True
        return order[first | (self.prompt[order] == 0)]

    def _tell(self, score: FloatArray, chosen: IntArray, distinct: int) -> dict[str, float]:
        told = {
            "probed_rows": float(self.asked.mean()),
            "duplicates": float(self.pool.size - distinct),
            "score": float(np.nanmean(score)) if np.isfinite(score).any() else np.nan,
            "score_chosen": float(np.nanmean(score[chosen])) if np.isfinite(score[chosen]).any() else np.nan,
        }
        if self.belief is not None:
            age = self.belief.age(self.round)
            told |= {
                "probes_spared": 1 - told["probed_rows"],
                "belief_uncertainty": float(self.belief.uncertainty(self.round).mean()),
                "belief_age": float(age[np.isfinite(age)].mean()) if np.isfinite(age).any() else np.nan,
                "belief_never_seen": float(np.isinf(age).mean()),
            }
        if self.asks_for is not None and self.pool.n_arms <= MAX_LOGGED_ARMS:
            for k, name in enumerate(self.arm_names):
                of_arm = score[self.pool.arm == k]
                told[f"score/{name}"] = float(np.nanmean(of_arm)) if np.isfinite(of_arm).any() else np.nan
        return told

    def probabilities(self) -> FloatArray:
        """Probability of each row to be drawn next, shape `(size,)`; takes O(size)."""
        return self.sampler.probability(np.arange(self.pool.size))

    def metrics(self) -> dict[str, float]:
        return {"round": float(self.round)} | {name: value for name, value in self.told.items() if np.isfinite(value)}

    # State

    def _state(self) -> dict[str, Any]:
        numbers = ("round", "part", "began_at", "spent", "last_cost", "trained", "asks")
        return {
            "sampler": self.sampler.state_dict(),
            "belief": self.belief.state_dict() if self.belief is not None else {},
            "told": [[name, value] for name, value in self.told.items()],
            **{name: getattr(self, name).copy() for name in ("score", "prompt", "asked")},
            **{name: getattr(self, name) for name in numbers},
        }

    def _load(self, state: dict[str, Any], carried: Carried | None) -> None:
        self.sampler.load_state_dict(state["sampler"], carried)
        if self.belief is not None:
            self.belief.load_state_dict(state["belief"], carried)
        for name, start in (("score", np.nan), ("prompt", 0), ("asked", False)):
            old = state[name]
            setattr(self, name, carried.rows(old, start) if carried is not None else old.copy())
        for name in ("round", "part", "began_at", "spent", "last_cost", "trained", "asks"):
            setattr(self, name, state[name])
        self.told = dict(state["told"])
        if carried is not None:
            self.part, self.began_at = -1, -1  # other rows: a round begins with the next draw
