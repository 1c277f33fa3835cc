"""Shapers for the sorting ladder, and their placebos: the same weights, of other tokens or rollouts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from trl_curriculum.pool import Pool
from trl_curriculum.shaping import SHAPING, Shaper
from trl_curriculum.shaping.base import Hooks, has
from trl_curriculum.signals import FloatArray, Rollouts, Tokens


A = TypeVar("A", FloatArray, torch.Tensor)


def shaper(spec: Any, placebo: bool, seed: int) -> list[Shaper]:
    """What a trainer is given as its shaping."""
    if spec is None:
        return []
    made = SHAPING.make(spec)
    return [Placebo(made)] if placebo else [made]


@dataclass(frozen=True)
class Placebo(Shaper):
    """A shaper whose weights, the ratios of advantages after and before it, are dealt out at random."""

    of: Any = None
    name = "placebo"

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return dealt_out(self.of.bind(pool, seed), np.random.default_rng([seed, 4]))


def dealt_out(bound: Hooks, rng: np.random.Generator) -> Hooks:
    """The hooks that a shaper has: what it looks at it still sees, and what it gives goes elsewhere."""

    def advantage(self: Hooks, rollouts: Rollouts) -> FloatArray:
        return permuted(rollouts.advantage, bound.advantage(rollouts), rng.permutation)

    def reward(self: Hooks, rollouts: Rollouts) -> FloatArray:
        added = np.nan_to_num(bound.reward(rollouts))
        places = np.isfinite(rollouts.reward).nonzero()[0]
        added[places] = added[rng.permutation(places)]
        return added

    def tokens(self: Hooks, tokens: Tokens) -> torch.Tensor:
        def shuffled(n: int) -> torch.Tensor:
            return torch.randperm(n, generator=tokens.generator)

        after, before = bound.tokens(tokens), tokens.advantage
        return before.masked_scatter(tokens.mask, permuted(before[tokens.mask], after[tokens.mask], shuffled))

    hooks: dict[str, Callable[..., Any]] = {"advantage": advantage, "reward": reward, "tokens": tokens}
    for hook in ("measure", "observe", "read", "rewrite"):
        hooks[hook] = lambda self, *args, hook=hook: getattr(bound, hook)(*args)
    return type("DealtOut", (Hooks,), {hook: made for hook, made in hooks.items() if has(bound, hook)})()


def permuted(before: A, after: A, permutation: Callable[[int], A]) -> A:
    """Values before, times the ratios after / before in another order; 0 stays what it has become."""
    made, places = after + 0, before != 0
    ratio = after[places] / before[places]
    made[places] = before[places] * ratio[permutation(len(ratio))]
    return made
