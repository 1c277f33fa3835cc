from dataclasses import dataclass
from typing import Any

import numpy as np

from ..pool import Pool
from ..records import Stateful, value_state
from ..registry import option
from ..signals import BoolArray, FloatArray, Rollouts, group_mean
from .base import SHAPING, Hooks, Shaper, refuse_unlimited


@SHAPING.add("lead", paper="arXiv 2605.09806")
@dataclass(frozen=True)
class Lead(Shaper):
    """
    Balances being right and being as long as right answers to the same prompt are, by what there is to learn of each.

    The target length L of a prompt is the mean length of its group's right rollouts, not below `least`, and
    `max_completion_length` where none is right. A rollout of l tokens is as efficient as

        e = max(-1, 1 - |l - L| / L)

    and with c whether it is right (in the reward's unit), and A(.) the advantages that TRL would give,

        A = whitened( w A(c) + (1 - w) A(e) )

    over the batch. With D the coefficient of variation, standard deviation over |mean|, times what is missing to the
    best mean, w is a moving average of D(c) / (D(c) + D(e)), and never acts below `floor`. D(e) is that of right
    rollouts, with its mean brought from [-1, 1] to [0, 1]; the variance is that within groups and between.

    Too short is as bad as too long: this is the form of the paper's script; its code's default is another. That code
    sets `least` to 1000 tokens, which makes short answers longer where that is more than they need: four right ones of
    10, 20, 30 and 40 tokens get -1.16, -.39, .39, 1.16. Whitening is over rollouts here, over tokens there. Where
    there is nothing to learn w stays here; there it rises where all are wrong, and falls where all are right and of
    one length, by what keeps its divisions from 0. Right is a reward above one half.

    Example:

    ```python
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.shaping import Lead
    >>> from trl_curriculum.signals import Rollouts
    >>> group, length, reward = np.zeros(4, int), np.array([10, 20, 30, 40]), np.ones(4)
    >>> rollouts = Rollouts(group, group, 0, reward=reward, advantage=np.zeros(4), length=length)
    >>> lead = Lead().bind(Pool(1), 0)
    >>> lead.meet(SimpleNamespace(max_completion_length=100), None)
    >>> lead.advantage(rollouts).round(2)  # L = 25: e = .4, .8, .8, .4
    array([-0.87,  0.87,  0.87, -0.87])
    >>> lead.w
    0.475

    ```
    """

    replaces = True

    floor: float = option(0.3, "Least weight w of being right.", "paper and code", least=0, most=1)
    momentum: float = option(0.95, "Share of the old w in the new one.", "code", least=0, most=1)
    least: int = option(1, "Least target length L, in tokens.", "ours (code: 1000)", least=1)
    outcome: str | None = option(None, "Reward function that says what is right; by default the weighted sum.")

    def refuse(self, args: Any) -> None:
        refuse_unlimited(self.name, args)
        if self.least > args.max_completion_length:
            raise ValueError(
                f"least={self.least} of lead is longer than any completion (max_completion_length="
                f"{args.max_completion_length}), so that longer would always be better: make it smaller."
            )

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return Balance(self)


class Balance(Stateful, Hooks):
    w: float = value_state(0.5, least=0, most=1)  # of being right, before the floor
    longest: int

    def __init__(self, method: Lead) -> None:
        self.method = method
        self.start(0, 0)

    def meet(self, args: Any, tokenizer: Any) -> None:
        self.longest = args.max_completion_length

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        method, length = self.method, rollouts.length.astype(float)
        correct, right = rollouts.success(method.outcome), rollouts.right(method.outcome)
        target = np.nan_to_num(rollouts.mean(length, where=right), nan=self.longest).clip(method.least, self.longest)
        efficient = np.maximum(-1.0, 1 - np.abs(length - target) / target)
        efficient = np.where(np.isfinite(correct), efficient, np.nan)
        self._learn(rollouts.group, correct, efficient, right)
        w = self.metrics()["weight"]
        return whitened(w * rollouts.advantages_of(correct) + (1 - w) * rollouts.advantages_of(efficient), correct)

    def metrics(self) -> dict[str, float]:
        return {"weight": max(self.w, self.method.floor)}

    def _learn(self, group: np.ndarray, correct: FloatArray, efficient: FloatArray, right: BoolArray) -> None:
        of_right = np.where(right, efficient, np.nan)
        mean, variation = zip(*(_mean_and_variation(value, group) for value in (correct, of_right)), strict=True)
        to_learn = np.array(variation) * np.array([1 - mean[0], (1 - mean[1]) / 2])
        if to_learn.sum() > 1e-8:
            self.w = float(self.method.momentum * self.w + (1 - self.method.momentum) * to_learn[0] / to_learn.sum())


def _mean_and_variation(value: FloatArray, group: np.ndarray) -> tuple[float, float]:
    """Mean over groups, and the coefficient of variation by the variances within groups and between; 0 of nothing."""
    mean = group_mean(value, group)
    within = group_mean((value - mean[group]) ** 2, group)
    seen = np.isfinite(mean)
    if not seen.any():
        return 0.0, 0.0
    middle = float(mean[seen].mean())
    return middle, float(np.sqrt(within[seen].mean() + mean[seen].var()) / (abs(middle) + 1e-8))


def whitened(value: FloatArray, seen: FloatArray) -> FloatArray:
    """Brought to mean 0 and standard deviation 1 over the entries where `seen` is a number; 0 elsewhere."""
    known = np.isfinite(seen)
    if known.sum() < 2:
        return np.zeros(len(value))
    return np.where(known, (value - value[known].mean()) / (value[known].std(ddof=1) + 1e-8), 0.0)
