"""Ways to score all rows of a pool for less than their whole answers cost, for `prefix_entropy.py`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from prefix_entropy_scores import LENGTHS, Pool, agreement, bootstrap, interval, reliability

from trl_curriculum.curricula.parts.shared_belief import SharedBelief


DRAWS = 40  # of the rows that are probed, where that is a part


@dataclass(frozen=True)
class Method:
    """A way to score all rows; `make` gives scores and tokens spent, using run A or B where it needs a sampled one."""

    title: str
    group: str
    make: Callable[[Pool, int, np.random.Generator], tuple[np.ndarray, float]]
    draws: int = 1  # of the rows that are probed


def prefix(length: int, share: float, run: int | None = 2, prompt: str = "plain") -> Callable:
    """One prefix of every row; `run=None` is the sampled one."""

    def make(pool: Pool, sampled: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        which = sampled if run is None else run
        return pool.score(which, length, share, prompt=prompt), pool.tokens(which, length, prompt).sum()

    return make


def longest_prefix(saved: float, share: float) -> Callable:
    """The longest greedy prefix of every row that saves so much."""

    def make(pool: Pool, sampled: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        allowed = (1 - saved) * pool.whole_tokens() * len(pool.task)
        length = max(n for n in range(1, 256) if n == 1 or pool.tokens(2, n).sum() <= allowed)
        return prefix(length, share)(pool, sampled, rng)

    return make


def some(pool: Pool, part: float, rng: np.random.Generator) -> np.ndarray:
    """A part of every task's rows, at least two."""
    return np.concatenate([rng.permutation(rows)[: max(2, round(part * len(rows)))] for rows in pool.rows])


def task_mean(length: int, part: float, share: float) -> Callable:
    """What probes must beat: the task's mean of a part of the rows' greedy prefixes, and nothing of the row itself."""

    def make(pool: Pool, sampled: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        drawn, value = some(pool, part, rng), pool.score(2, length, share)
        known = np.array([value[np.intersect1d(rows, drawn)].mean() for rows in pool.rows])
        return known[pool.task], pool.tokens(2, length)[drawn].sum()

    return make


def prompt_length(pool: Pool, sampled: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    return -pool.prompt_tokens, 0.0


def shared(length: int, part: float, share: float, free: float = 0.0) -> Callable:
    """
    The library's [`SharedBelief`] with a greedy prefix of a part of the rows; `free` more have the whole answer of a
    rollout, which costs nothing.
    """

    def make(pool: Pool, sampled: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        belief = SharedBelief(pool.task, len(pool.rows))
        drawn = some(pool, free + part, rng) if free + part < 1 else rng.permutation(len(pool.task))
        given = np.zeros(len(pool.task), bool)
        if free:
            given[some(pool, free, rng)] = True
            rows = np.flatnonzero(given)
            belief.observe(rows, pool.score(sampled, None, share)[rows], 0, "free")
        drawn = drawn[~given[drawn]]
        if part:
            belief.observe(drawn, pool.score(2, length, share)[drawn], 0, "probe")
        return belief.scores(0), pool.tokens(2, length)[drawn].sum() if part else 0.0

    return make


def two_level(length: int, part: float, long: int, share: float, free: float = 0.0, size: float = 0.0) -> Callable:
    """
    Short greedy prefixes of all rows, and longer ones of a part of them, or whole answers from a part's rollouts,
    which are free. A task's mean is that of its longer ones. A row's deviation is its short prefix's, in standard
    deviations of the task, less `size` times that of its prompt's length, times the slope of longer on that within
    tasks. It is moved half-way to what the row's own rollout shows (as by `SharedBelief` while no row comes twice).
    """

    def make(pool: Pool, sampled: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        drawn = some(pool, free or part, rng)
        better = pool.score(sampled, None, share) if free else pool.score(2, long, share)
        cost = pool.tokens(2, length).sum()
        own = pool.standard(pool.score(2, length, share)) - size * pool.standard(pool.prompt_tokens)
        known = [np.intersect1d(rows, drawn) for rows in pool.rows]
        mean, base = (np.array([v[rows].mean() for rows in known])[pool.task] for v in (better, own))
        x, y = (own - base)[drawn], (better - mean)[drawn]
        slope = max(float(x @ y) / float(x @ x + 1e-12), 1e-3)  # never 0: a tie would waste what the prefixes say
        value = mean + slope * own
        if free:
            value[drawn] += 0.5 * (better - value)[drawn]
        else:  # the longer prefix begins with the shorter one
            cost += (pool.tokens(2, long) - pool.tokens(2, length))[drawn].sum()
        return value, cost

    return make


def judge(pool: Pool, method: Method, share: float, seed: int = 0) -> dict:
    """Share of the whole answers' tokens that a method saves, and what its scores agree with, by 95 % intervals."""
    rng = np.random.default_rng(seed)
    pairs, costs, base = [], [], []
    for _ in range(method.draws):
        for run in (0, 1):
            value, cost = method.make(pool, run, rng)
            pairs.append((value, pool.score(1 - run, None, share)))
            costs.append(cost / len(value))
            base.append((task_mean(LONG, PARTS[1], share)(pool, run, rng)[0], pairs[-1][1]))
    top = reliability(pool, share)
    found, most = agreement(pairs, pool.rows), agreement(top, pool.rows)
    drawn, drawn_top, drawn_base = bootstrap(pool, pairs, top, base)
    return {
        "saved": 1 - float(np.mean(costs)) / pool.whole_tokens(),
        "rho": found[0],
        "rho_within": found[1],
        "rho_interval": interval(drawn[0]),
        "rho_within_interval": interval(drawn[1]),
        "ratio": found[0] / most[0],
        "ratio_within": found[1] / most[1],
        "ratio_interval": interval(drawn[0] / drawn_top[0]),
        "of_root": found[0] / np.sqrt(max(most[0], 0)),
        "over_task_mean": found[0] - agreement(base, pool.rows)[0],
        "over_task_mean_interval": interval(drawn[0] - drawn_base[0]),
    }


# Chosen on other prompts: the score (top 20 %), the short and the long prefix of the two-level beliefs, and what a
# standard deviation of the prompt's length counts, in those of the short prefix. A task alone has no means to learn:
# there the choice was the longest greedy prefix that saves 90 %.
SHARE, SHORT, LONG, SIZE = 0.2, 2, 64, 0.25
CHOSEN = {
    "mixed": f"two-level with prompt length, L = {SHORT} and {LONG} of 15%",
    "one": "greedy, the longest L that saves 90%",
}
PARTS = (0.08, 0.15, 0.3, 0.5)
METHODS = (
    Method(CHOSEN["one"], "greedy prefix of all rows", longest_prefix(0.9, SHARE)),
    *(Method(f"greedy, L = {n}", "greedy prefix of all rows", prefix(n, SHARE)) for n in (2, 4, 8, 14, *LENGTHS[1:])),
    *(
        Method(f"sampled, L = {n}", "sampled prefix of all rows", prefix(n, SHARE, None))
        for n in (2, 4, 8, 14, *LENGTHS[1:])
    ),
    *(
        Method(f"task mean from L = {LONG} of {part:.0%}", "task mean", task_mean(LONG, part, SHARE), DRAWS)
        for part in PARTS
    ),
    Method("prompt length, sign turned", "prompt length", prompt_length),
    *(
        Method(f"SharedBelief, L = {LONG} of {part:.0%}", "SharedBelief", shared(LONG, part, SHARE), DRAWS)
        for part in PARTS
    ),
    *(
        Method(
            f"SharedBelief, rollouts of {free:.0%}, L = {n} of {part:.0%}",
            "SharedBelief with rollouts",
            shared(n, part, SHARE, free),
            DRAWS,
        )
        for free, n, part in ((0.25, 32, 0.2), (0.5, 32, 0.2), (0.5, 32, 0.0))
    ),
    *(
        Method(
            f"two-level, L = {SHORT} and {LONG} of {part:.0%}", "two-level", two_level(SHORT, part, LONG, SHARE), DRAWS
        )
        for part in PARTS
    ),
    *(
        Method(
            f"two-level with prompt length, L = {SHORT} and {LONG} of {part:.0%}",
            "two-level with prompt length",
            two_level(SHORT, part, LONG, SHARE, size=SIZE),
            DRAWS,
        )
        for part in PARTS
    ),
    *(
        Method(
            f"two-level with prompt length, L = {SHORT} and rollouts of {free:.0%}",
            "two-level with prompt length and rollouts",
            two_level(SHORT, 0, 0, SHARE, free, SIZE),
            DRAWS,
        )
        for free in (0.25, 0.5, 0.75)
    ),
    *(
        Method(
            f"two-level, L = 8 and rollouts of {free:.0%}",
            "two-level with rollouts",
            two_level(8, 0, 0, SHARE, free),
            DRAWS,
        )
        for free in (0.25, 0.5, 0.75)
    ),
)
