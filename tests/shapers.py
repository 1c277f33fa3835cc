"""Shapers as another package would write them: one that changes nothing, one that learns, one with a loss."""

from dataclasses import dataclass

import numpy as np
import torch

from trl_curriculum.pool import Pool
from trl_curriculum.records import Stateful, row_state
from trl_curriculum.registry import option
from trl_curriculum.shaping import Hooks, Shaper
from trl_curriculum.signals import FloatArray, Rollouts, Tokens


@dataclass(frozen=True)
class Same(Shaper):
    """Says what it was told, at every hook."""

    name = "same"
    trainers = ("GRPO", "SFT")

    def read(self, texts: list[str]) -> dict[str, FloatArray]:
        return {"letters": np.array([len(text) for text in texts], float)}

    def measure(self, tokens: Tokens) -> dict[str, torch.Tensor]:
        return {"entropy": (tokens.entropy * tokens.mask).sum(1)}

    def reward(self, rollouts: Rollouts) -> FloatArray:
        assert len(rollouts.measured["letters"]) == len(rollouts.measured["entropy"]) == len(rollouts)
        return np.zeros(len(rollouts))

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        return rollouts.advantage.copy()

    def tokens(self, tokens: Tokens) -> torch.Tensor:
        return tokens.advantage.clone()

    def loss(self, tokens: Tokens) -> torch.Tensor:
        return 0.0 * tokens.mean(tokens.entropy)


@dataclass(frozen=True)
class Record(Shaper):
    """Advantages times how far a row's mean reward lies below the best that it has had."""

    name = "record"
    power: float = option(1.0, "Exponent of the weight.", least=0)

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return BestRewards(self.power, pool)


class BestRewards(Stateful, Hooks):
    best: FloatArray = row_state(0.0, np.float64, least=0, most=1)

    def __init__(self, power: float, pool: Pool) -> None:
        self.power = power
        self.start(pool.size, pool.n_arms)

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        mean = rollouts.mean(rollouts.reward)
        weight = 1.5 - np.abs(self.best[rollouts.row] - np.nan_to_num(mean, nan=0.0))
        seen = np.isfinite(mean)
        np.maximum.at(self.best, rollouts.row[seen], mean[seen])
        return rollouts.advantage * weight**self.power


@dataclass(frozen=True)
class Bonus(Shaper):
    """Adds an entropy bonus to the loss."""

    name = "bonus"
    coef: float = option(0.1, "Of the mean entropy.")

    def loss(self, tokens: Tokens) -> torch.Tensor:
        return -self.coef * tokens.mean(tokens.entropy)


@dataclass(frozen=True)
class Replacing(Shaper):
    """Its advantages are the rewards."""

    name = "replacing"
    replaces = True

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        return rollouts.reward
