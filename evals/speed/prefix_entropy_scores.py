"""Rank correlations of cheap scores with those of whole answers, for `prefix_entropy.py`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from prefix_entropy_data import KINDS
from scipy.stats import rankdata

from trl_curriculum.lm.entropy import aggregate


LENGTHS = (8, 16, 32, 64, 128)
RESAMPLES = 300
Pairs = list[tuple[np.ndarray, np.ndarray]]  # a score of every row, and the whole answers' scores it should rank like


@dataclass
class Pool:
    """Answers to the prompts of one pool: `found[prompt][run][row]` has shape `(tokens, 4)`."""

    name: str
    task: np.ndarray
    prompt_tokens: np.ndarray
    found: dict[str, list[list[np.ndarray]]]
    prompt_entropy: np.ndarray | None = None  # where it was measured

    def __post_init__(self) -> None:
        self.task = np.unique(self.task, return_inverse=True)[1]
        self.scores: dict[tuple, np.ndarray] = {}
        self.rows = [np.flatnonzero(self.task == k) for k in range(self.task.max() + 1)]

    def score(
        self, run: int, length: int | None, share: float, kind: str = "exact", prompt: str = "plain"
    ) -> np.ndarray:
        key, column = (run, length, share, kind, prompt), KINDS.index(kind)
        if key not in self.scores:
            found = self.found[prompt][run]
            self.scores[key] = np.array([aggregate(one[:length, column].astype(float), share) for one in found])
        return self.scores[key]

    def tokens(self, run: int, length: int | None = None, prompt: str = "plain") -> np.ndarray:
        return np.array([len(one[:length]) for one in self.found[prompt][run]])

    def whole_tokens(self) -> float:
        """Tokens a row that one whole answer costs."""
        return float(np.mean([self.tokens(run).mean() for run in (0, 1)]))

    def means(self, value: np.ndarray) -> np.ndarray:
        """Every row's task mean."""
        return np.array([value[rows].mean() for rows in self.rows])[self.task]

    def standard(self, value: np.ndarray) -> np.ndarray:
        """Deviations from the task's mean in its standard deviations."""
        away = value - self.means(value)
        return away / (np.sqrt(self.means(away**2)) + 1e-9)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's along the last axis; 0 where one of them says nothing."""
    x, y = (rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in (x, y))
    norm = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return np.divide((x * y).sum(-1), norm, out=np.zeros_like(norm), where=norm > 0)


def agreement(pairs: Pairs, groups: list[np.ndarray]) -> np.ndarray:
    """
    Mean over the pairs of the correlation over all rows, and of its mean within groups of rows.

    Groups may be arrays of draws, shape `(draws, rows)`: then there is one result a draw, shape `(2, draws)`.
    """
    every = np.concatenate(groups, axis=-1)
    whole = [rank_correlation(x[every], y[every]) for x, y in pairs]
    inside = [np.mean([rank_correlation(x[rows], y[rows]) for rows in groups], axis=0) for x, y in pairs]
    return np.array([np.mean(whole, axis=0), np.mean(inside, axis=0)])


def bootstrap(pool: Pool, *scores: Pairs, seed: int = 0) -> list[np.ndarray]:
    """`agreement` of several scores on the same prompts, drawn anew within their tasks, each of shape `(2, draws)`."""
    rng = np.random.default_rng(seed)
    draws = [rng.choice(rows, (RESAMPLES, len(rows))) for rows in pool.rows]
    return [agreement(pairs, draws) for pairs in scores]


def interval(values: np.ndarray) -> list[float]:
    """95 % interval of bootstrapped values."""
    return np.nanquantile(values, [0.025, 0.975]).tolist()


def reliability(pool: Pool, share: float, prompt: str = "plain") -> Pairs:
    return [(pool.score(0, None, share, prompt=prompt), pool.score(1, None, share, prompt=prompt))]


def against(
    pool: Pool, make: Callable[[int], np.ndarray], share: float, prompt: str = "plain", twice: bool = True
) -> Pairs:
    """Pairs of what is made of run A and run B's whole scores, and the other way round."""
    return [(make(run), pool.score(1 - run, None, share, prompt=prompt)) for run in ((0, 1) if twice else (0,))]
