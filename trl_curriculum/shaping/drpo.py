from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..pool import Pool
from ..registry import option
from ..signals import BoolArray, FloatArray, Rollouts, Tokens
from .base import SHAPING, Hooks, Shaper, refuse_unlimited
from .token_statistics import mean_of


@SHAPING.add("drpo", paper="arXiv 2510.04474")
@dataclass(frozen=True)
class DRPO(Shaper):
    """
    Rewards right rollouts for being short among right ones alone, so that a long right one is never discouraged.

    In a group of G rollouts, some right and some wrong,

        A = G w / (sum of w over the right ones),   w = exp((1 - l / C) / lambda)      of a right one of l tokens
        A = -G softmax(s / tau) over the wrong ones                                    of a wrong one

    where C is `max_completion_length` and s the mean log-probability of a rollout's tokens under the model that
    generated it. Groups that are all right or all wrong get 0.

    With `loss_type: grpo` the gradient is that of the paper's discriminative loss at the model that generated; others
    are refused. The paper bounds the KL from that model by a penalty of its own, which is left out: PPO's clip and
    `beta` take its place. In its code s is of the model that is trained, so that both differ once that has moved.
    Right is a reward above one half; there 1 is right, and 0 wrong.

    Example:

    ```python
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.shaping import DRPO
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward, length = np.zeros(4, int), np.array([1.0, 1, 0, 0]), np.array([10, 20, 5, 5])
    >>> measured = {"score": np.array([0.0, 0, -1, -2])}
    >>> rollouts = Rollouts(group, group, 0, reward=reward, advantage=reward, length=length, measured=measured)
    >>> drpo = DRPO().bind(Pool(1), 0)
    >>> drpo.meet(SimpleNamespace(max_completion_length=100), None)
    >>> drpo.advantage(rollouts).round(3)
    array([ 2.924,  1.076, -2.1  , -1.9  ])

    ```
    """

    replaces = True

    shorter: float = option(
        0.1, "Temperature lambda of lengths: the smaller, the shorter.", "paper", least=1e-3, most=1e6
    )
    tau: float = option(10.0, "Temperature of wrong rollouts.", "paper", least=1e-3, most=1e6)
    outcome: str | None = option(None, "Reward function that says what is right; by default the weighted sum.")

    def refuse(self, args: Any) -> None:
        refuse_unlimited(self.name, args)
        if args.loss_type != "grpo":
            raise ValueError(
                f"drpo weighs the mean log-probability of each rollout, which loss_type={args.loss_type!r} does not "
                "train on: set loss_type='grpo'."
            )

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return DecoupledRewards(self)


class DecoupledRewards(Hooks):
    longest: int  # C

    def __init__(self, method: DRPO) -> None:
        self.method = method

    def meet(self, args: Any, tokenizer: Any) -> None:
        self.longest = args.max_completion_length

    def measure(self, tokens: Tokens) -> dict[str, torch.Tensor]:
        return {"score": mean_of(tokens.logp, tokens.mask)}

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        method, group = self.method, rollouts.group
        right = rollouts.right(method.outcome)
        wrong = np.isfinite(rollouts.outcome(method.outcome)) & ~right
        both = np.logical_and(*(np.bincount(group, kind)[group] > 0 for kind in (right, wrong)))
        score = np.nan_to_num(rollouts.measured["score"])
        shares = softmax(-rollouts.length / (self.longest * method.shorter), group, right)
        shares -= softmax(score / method.tau, group, wrong)
        return np.where(both, np.bincount(group)[group] * shares, 0.0)


def softmax(value: FloatArray, group: np.ndarray, where: BoolArray) -> FloatArray:
    """Softmax of `value` over those of each group that are chosen, shape `(n,)`; 0 for the others."""
    top = np.full(group.max(initial=-1) + 1, -np.inf)
    np.maximum.at(top, group[where], value[where])
    weight = np.zeros(len(value))
    weight[where] = np.exp(value[where] - top[group[where]])
    total = np.bincount(group, weight)[group]
    return np.divide(weight, total, out=weight, where=total > 0)
