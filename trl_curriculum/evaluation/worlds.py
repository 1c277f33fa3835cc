"""Worlds that simulated learners learn in: what rows there are, and how they are learned."""

import dataclasses
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ..arms import ArmSource
from ..options import check_options, option
from ..pool import Pool
from ..signals import BoolArray, FloatArray, IntArray


class Kind(IntEnum):
    """What a row of the pool is."""

    LEARNABLE = 0
    IMPOSSIBLE = 1  # no answer is ever rewarded; in SFT, a text that nobody could learn
    COIN_FLIP = 2  # the reward is a coin's, whatever is answered
    WRONG_GOLD = 3  # the answer that it is compared with is wrong


@dataclass(frozen=True)
class World:
    """
    What rows there are, and how they are learned: a value. Difficulties, abilities and gains are in logits.

    Arms lie on a line, from the easiest to the hardest: each is a neighbour of those before and after it. What the
    fields do is written down in [`~trl_curriculum.evaluation.learner`].
    """

    arms: int = option(6, "Arms, from the easiest to the hardest.", least=1)
    rows: int = option(40, "Rows of each arm.", least=1)
    easiest: float = option(-1.0, "Mean difficulty of the first arm.")
    hardest: float = option(5.0, "Mean difficulty of the last arm.")
    spread: float = option(0.5, "Standard deviation of the difficulties in an arm.", least=0)
    label_noise: float = option(0.5, "Standard deviation of the error of the difficulty column.", least=0)
    rate: float = option(0.4, "Ability that a draw adds where the reward's slope is largest.", above=0)
    same_arm: float = option(0.02, "Share of a gain that every other row of the arm has of it.", least=0, most=1)
    neighbours: float = option(0.01, "Share that every row of the two neighbouring arms has of it.", least=0, most=1)
    forgetting: float = option(0.0, "Share of an ability that is lost in a step without practice.", least=0, below=1)
    plateau: float | None = option(
        None, "Mean success rate that an arm must reach before the next one can be learned.", least=0, most=1
    )
    reward_noise: float = option(0.0, "Probability that a reward is the opposite.", least=0, most=0.5)
    loss_noise: float = option(0.1, "Standard deviation of the logarithm of a loss as it is observed.", least=0)
    impossible: float = option(0.0, "Share of the rows of every arm.", least=0, most=1)
    impossible_arms: int = option(0, "Arms after the hardest one that hold nothing else.", least=0)
    coin_flip: float = option(0.0, "Share of the rows of every arm.", least=0, most=1)
    coin_flip_arms: int = option(0, "Arms at the end that hold nothing else.", least=0)
    wrong_gold: float = option(0.0, "Share of the rows of every arm.", least=0, most=1)
    wrong_gold_pays: float = option(
        0.0, "Probability that a wrong answer is the wrong one that is rewarded; 0: nothing ever is.", least=0, most=1
    )
    copies: int = option(1, "How often each row of the easiest arm is there.", least=1)
    shift_at: float | None = option(None, "Share of the training after which rows change.", above=0, below=1)
    shift: float = option(0.0, "What is added then to the difficulties of the easier half of the arms.")
    tokens: int = option(100, "Tokens of a completion.", least=1)

    def __post_init__(self) -> None:
        check_options(self, "a world")
        if self.impossible + self.coin_flip + self.wrong_gold >= 1:
            raise ValueError(
                f"impossible={self.impossible}, coin_flip={self.coin_flip} and wrong_gold={self.wrong_gold} leave no "
                "rows of a world that can be learned: their sum must be below 1."
            )
        if (self.shift_at is None) != (self.shift == 0):
            raise ValueError(
                f"shift={self.shift} and shift_at={self.shift_at} of a world belong together: give both or none."
            )

    def make(self, seed: int) -> "Rows":
        """
        The rows of this world, another set for each seed.

        Args:
            seed (`int`):
                Of their difficulties, kinds and labels.
        """
        return Rows(self, np.random.default_rng([seed, 0]))

    def shifts_at(self, steps: int) -> int:
        """The step before which rows change, in a training of so many; 0 where they never do."""
        return 0 if self.shift_at is None else round(self.shift_at * steps)

    def but(self, **fields: object) -> "World":
        """The same with other fields."""
        return dataclasses.replace(self, **fields)  # type: ignore[arg-type]


class Rows:
    """
    The rows of a world. Copies are rows of one item: they are learned together.

    Items come first in the order of the pool's rows; after them, those that are held out, as many as can be learned in
    the pool, of the same arms.
    """

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        n_arms = world.arms + world.impossible_arms + world.coin_flip_arms
        arm = np.repeat(np.arange(n_arms), world.rows)
        kind = np.full(len(arm), Kind.LEARNABLE)
        for k in range(world.arms):
            kind[arm == k] = rng.permutation(_kinds(world))
        kind[arm >= world.arms] = Kind.IMPOSSIBLE
        kind[arm >= world.arms + world.impossible_arms] = Kind.COIN_FLIP
        held_arm = arm[kind == Kind.LEARNABLE]
        item_arm = np.concatenate([arm, held_arm])
        mean = np.linspace(world.easiest, world.hardest, world.arms)
        difficulty = mean[np.minimum(item_arm, world.arms - 1)] + world.spread * rng.standard_normal(len(item_arm))

        self.item: IntArray = np.concatenate(
            [np.arange(len(arm)), *[np.flatnonzero(arm == 0)] * (world.copies - 1)]
        )  # of each row of the pool
        self.held_out: BoolArray = np.arange(len(item_arm)) >= len(arm)  # of each item, as all that follow
        self.kind: IntArray = np.concatenate([kind, np.full(len(held_arm), Kind.LEARNABLE)])
        self.arm: IntArray = item_arm
        self.difficulty: FloatArray = difficulty
        self.label: FloatArray = difficulty[self.item] + world.label_noise * rng.standard_normal(len(self.item))
        self.names = [f"arm{k}" for k in range(n_arms)]

    def pool(self, estimated: ArmSource | None = None) -> Pool:
        """What a curriculum sees of them: arms, unless they are `estimated`, and a column of difficulties."""
        if estimated is not None:
            return Pool(len(self.item), difficulty=self.label, estimated=estimated)
        return Pool(len(self.item), self.arm[self.item], self.names, self.label)


def _kinds(world: World) -> IntArray:
    """The kinds of an arm's rows."""
    shares = (
        (Kind.IMPOSSIBLE, world.impossible),
        (Kind.COIN_FLIP, world.coin_flip),
        (Kind.WRONG_GOLD, world.wrong_gold),
    )
    odd = np.concatenate([np.full(round(share * world.rows), kind, int) for kind, share in shares])
    return np.concatenate([odd, np.full(world.rows - len(odd), Kind.LEARNABLE)])


WORLDS: dict[str, World] = {
    "ladder": World(),
    "mostly_dead": World(arms=4, hardest=3.0, impossible_arms=8),
    "noisy": World(reward_noise=0.05, wrong_gold=0.1, wrong_gold_pays=0.5, coin_flip=0.05, coin_flip_arms=1),
    "duplicates": World(copies=6),
    "forgetting": World(forgetting=0.02),
    "plateau": World(plateau=0.7, neighbours=0.0, easiest=-0.5, hardest=2.0),
    "shift": World(shift_at=0.5, shift=4.0, hardest=3.0),
}
