from dataclasses import dataclass

import numpy as np
import torch

from ..pool import Pool
from ..records import Stateful, row_state
from ..registry import option
from ..signals import BoolArray, FloatArray, Rollouts, Tokens
from .base import SHAPING, Hooks, Shaper


RISE, FALL = 0.2, 0.05  # shares of a new value that is better, or worse, than the record


@SHAPING.add("ceeh", paper="arXiv 2602.22642")
@dataclass(frozen=True)
class CEEH(Shaper):
    """
    Lets the model explore where prompts are hard, and shortens its answers where they are not.

    Of every row two records are kept, moving averages that follow what is better by .2 and what is worse by .05: of
    the accuracy of its groups, and of the length L of their shortest right answer. A row is hard where its group's
    accuracy is not above the mean record of all rows. On its tokens, of entropy H,

        A + bonus min(.4 H, |A| / 2)

    replaces the advantage A. A right rollout of l tokens gets on top of its reward, where its group's accuracy is at
    least the row's record and L is known,

        max(-.9, length (L - l) / L)

    The paper has no standard deviation in its advantages (`scale_rewards: none`) and clips at .28 above. In its code
    the accuracy of a row that was not seen counts as -1, so that hardly any is hard at first, and a record of 0 is
    replaced, not moved; here records begin at .5. Where rows are drawn once or twice, their records say little. Not
    beside another control of the entropy. Right is a reward above one half.

    Example:

    ```python
    >>> import torch
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.shaping import CEEH
    >>> from trl_curriculum.signals import Tokens
    >>> true, entropy = torch.ones(2, 2, dtype=torch.bool), torch.tensor([[2., 0.5], [2., 0.5]])
    >>> row = torch.tensor([4, 7])
    >>> batch = Tokens(true, true, -entropy, entropy, torch.ones(2, 2), 0, 0.0, torch.Generator(), row=row)
    >>> records = CEEH().bind(Pool(10), 0)
    >>> records.hard[4] = True
    >>> records.tokens(batch)
    tensor([[1.5000, 1.2000],
            [1.0000, 1.0000]])

    ```
    """

    steers_entropy = True

    bonus: float = option(1.0, "Weight of entropy on hard rows.", "paper and code", least=0, most=2)
    length: float = option(0.1, "Weight of length on the others.", "paper and code", least=0, most=1e6)
    outcome: str | None = option(None, "Reward function that says what is right; by default the weighted sum.")

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return Records(self, pool)


class Records(Stateful, Hooks):
    accuracy: FloatArray = row_state(0.5, least=0, most=1)
    shortest: FloatArray = row_state(np.nan, least=0)  # L
    hard: BoolArray = row_state(False, bool)  # when it was last drawn

    def __init__(self, method: CEEH, pool: Pool) -> None:
        self.method = method
        self.start(pool.size, pool.n_arms)

    def reward(self, rollouts: Rollouts) -> FloatArray:
        right, accuracy = rollouts.right(self.method.outcome), self._accuracy(rollouts)
        shortest = self.shortest[rollouts.row]
        shorter = np.maximum(-0.9, self.method.length * (shortest - rollouts.length) / shortest)
        return np.where(right & (accuracy >= self.accuracy[rollouts.row]), shorter, 0.0)

    def observe(self, rollouts: Rollouts) -> None:
        right = rollouts.right(self.method.outcome)
        rows, accuracy = rollouts.per_row(self._accuracy(rollouts))
        length = np.full(len(rows), np.inf)
        np.minimum.at(length, np.searchsorted(rows, rollouts.row[right]), np.maximum(1, rollouts.length[right]))
        seen, solved = np.isfinite(accuracy), np.isfinite(length)
        self.hard[rows[seen]] = accuracy[seen] <= self.accuracy.mean()
        self.accuracy[rows[seen]] = _moved(self.accuracy[rows[seen]], accuracy[seen], 1)
        known = np.where(np.isnan(self.shortest[rows]), length, self.shortest[rows])[solved]
        self.shortest[rows[solved]] = _moved(known, length[solved], -1)

    def metrics(self) -> dict[str, float]:
        return {"hard": float(self.hard.mean())}

    def tokens(self, tokens: Tokens) -> torch.Tensor:
        assert tokens.row is not None
        hard = torch.as_tensor(self.hard, device=tokens.row.device)[tokens.row]
        extra = torch.minimum(0.4 * tokens.entropy, tokens.advantage.abs() / 2)
        return tokens.advantage + self.method.bonus * extra * hard[:, None]

    def _accuracy(self, rollouts: Rollouts) -> FloatArray:
        """Share of each rollout's group that is right; NaN where none has a reward."""
        outcome = self.method.outcome
        return rollouts.mean(np.where(np.isfinite(rollouts.outcome(outcome)), rollouts.right(outcome), np.nan))


def _moved(record: FloatArray, value: FloatArray, better: int) -> FloatArray:
    """Records after a new value, which is better where it is higher (1) or lower (-1)."""
    return record + np.where(better * (value - record) > 0, RISE, FALL) * (value - record)
