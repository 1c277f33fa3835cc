r"""
A learner without a model that does learn: every item has an ability, and practice moves it.

Item i of difficulty d has an ability a, 0 at the start, and is answered rightly with probability (item response
theory's logistic, Rasch 1960)

$$ p = \sigma(a - d). $$

What its row pays, the probability q of a reward, is p where it can be learned, 0 where it is impossible, 1/2 where a
coin decides, and w (1 - p) where the gold is wrong and a wrong answer meets it with probability w. Rewards are drawn
from q, and the opposite comes back with probability ε. A draw of the item climbs what it pays, in GRPO the rate of
rewards and in SFT the likelihood of its text:

$$ g = 4 \eta \frac{\partial q}{\partial a} (1 - 2 \varepsilon), \qquad
g_\text{SFT} = \eta \frac{\partial \ln q}{\partial a}. $$

So a learnable row gains 4 η p (1 - p) in GRPO, the expected size of the policy gradient of a Bernoulli reward, at most
η where the model is right half of the time; in SFT η (1 - p). Impossible rows and coins teach nothing, and wrong golds
take away what was learned: their gain is negative. Without transfer, with x = a - d and many small steps n,

$$ x + \sinh x = x_0 + \sinh x_0 + 2 \eta n \quad \text{(GRPO)}, \qquad x + e^x = x_0 + e^{x_0} + \eta n \quad
\text{(SFT)}. $$

A gain moves the ability of every item of the arm by `same_arm` of it, and by `neighbours` of it in the arms before and
after. An item that was not drawn in a step loses the share `forgetting` of its ability. With a `plateau`, items of an
arm gain nothing until the mean p of the arm before has reached it. After the share `shift_at` of the training the
easier half of the arms becomes harder by `shift`.

Rows show losses of -ln q, of the wrong answer where the gold is wrong and of `WORST` nats where they are impossible,
times log-normal noise; and entropies of an answer that is right with p and else any of `OTHERS` others:

$$ H = -p \ln p - (1 - p) \ln\frac{1 - p}{\text{OTHERS}}. $$
"""

import numpy as np

from ..signals import BoolArray, FloatArray, IntArray
from .worlds import Kind, Rows, World


WORST = 6.0  # nats: loss of what can never be predicted
OTHERS = 4  # answers that are wrong


class Learner:
    """
    What has been learned of the rows of a world.

    Args:
        world ([`World`]):
            How they are learned.
        rows ([`Rows`]):
            The rows.
        sft (`bool`, *optional*, defaults to `False`):
            Whether it climbs the likelihood of texts, and not the rate of rewards.
    """

    def __init__(self, world: World, rows: Rows, sft: bool = False) -> None:
        self.world, self.rows, self.sft = world, rows, sft
        self.ability: FloatArray = np.zeros(len(rows.arm))
        self.difficulty = rows.difficulty.copy()
        self.n_arms = len(rows.names)
        self._learnable = rows.kind == Kind.LEARNABLE
        self._in_pool = self._learnable & ~rows.held_out

    # What it can do

    def success(self) -> FloatArray:
        """Probability p of a right answer to each item, were there one, shape `(items,)`."""
        return 1 / (1 + np.exp(self.difficulty - self.ability))

    def pays(self) -> FloatArray:
        """Probability q of a reward of each item before noise, shape `(items,)`."""
        p, kind = self.success(), self.rows.kind
        q = np.where(kind == Kind.WRONG_GOLD, self.world.wrong_gold_pays * (1 - p), p)
        q[kind == Kind.IMPOSSIBLE], q[kind == Kind.COIN_FLIP] = 0.0, 0.5
        return q

    def competence(self) -> float:
        """Mean success rate over the items that are held out."""
        return float(self.success()[self.rows.held_out].mean())

    def locked(self) -> BoolArray:
        """Which items cannot be learned yet, shape `(items,)`."""
        if self.world.plateau is None:
            return np.zeros(len(self.rows.arm), bool)
        p, arm = self.success()[self._in_pool], self.rows.arm[self._in_pool]
        count = np.maximum(np.bincount(arm, minlength=self.n_arms), 1)
        reached = np.bincount(arm, p, self.n_arms) / count >= self.world.plateau
        return ~np.concatenate([[True], np.logical_and.accumulate(reached)[:-1]])[self.rows.arm]

    def slope(self) -> FloatArray:
        """What a draw of each item adds to its ability, g, shape `(items,)`."""
        p, kind, world = self.success(), self.rows.kind, self.world
        if self.sft:
            gain = world.rate * np.where(kind == Kind.WRONG_GOLD, -p, 1 - p)
        else:
            pays = np.where(kind == Kind.WRONG_GOLD, -world.wrong_gold_pays, 1.0)
            gain = 4 * world.rate * (1 - 2 * world.reward_noise) * pays * p * (1 - p)
        gain[(kind == Kind.IMPOSSIBLE) | (kind == Kind.COIN_FLIP)] = 0
        return gain

    # What it shows

    def rewards(self, row: IntArray, generations: int, rng: np.random.Generator) -> FloatArray:
        """Rewards of `generations` rollouts of each row, shape `(n * generations,)`."""
        noise = self.world.reward_noise
        q = self.pays()[self.rows.item[row]]
        q = np.repeat(q + noise * (1 - 2 * q), generations)
        return (rng.random(len(q)) < q).astype(float)

    def losses(self, row: IntArray, rng: np.random.Generator) -> FloatArray:
        """Losses of rows in nats per token, as they are observed, shape `(n,)`."""
        item = self.rows.item[row]
        p, kind = self.success()[item], self.rows.kind[item]
        q = np.where(kind == Kind.WRONG_GOLD, 1 - p, p)
        q[kind == Kind.COIN_FLIP] = 0.5
        loss = -np.log(np.maximum(q, 1e-9))
        loss[kind == Kind.IMPOSSIBLE] = WORST
        return loss * np.exp(self.world.loss_noise * rng.standard_normal(len(row)))

    def entropies(self, row: IntArray, rng: np.random.Generator) -> FloatArray:
        """Entropies of the answers to rows in nats, as they are observed, shape `(n,)`."""
        item = self.rows.item[row]
        p, kind = self.success()[item], self.rows.kind[item]
        p = np.where(kind == Kind.IMPOSSIBLE, 0.0, np.where(kind == Kind.COIN_FLIP, 0.5, p))
        p = np.clip(p, 1e-9, 1 - 1e-9)
        entropy = -p * np.log(p) - (1 - p) * np.log((1 - p) / OTHERS)
        return entropy * np.exp(self.world.loss_noise * rng.standard_normal(len(row)))

    # What it learns

    def practise(self, row: IntArray) -> None:
        """One step on a batch of rows."""
        world, arm = self.world, self.rows.arm
        drawn = np.bincount(self.rows.item[row], minlength=len(arm))
        own = drawn * self.slope()
        by_arm = np.bincount(arm, own, self.n_arms)
        beside = np.concatenate([by_arm[1:], [0.0]]) + np.concatenate([[0.0], by_arm[:-1]])
        gain = own + world.same_arm * (by_arm[arm] - own) + world.neighbours * beside[arm]
        gain[self.locked()] = 0
        self.ability[drawn == 0] *= 1 - world.forgetting
        self.ability += gain

    def shift(self) -> None:
        """The easier half of the arms becomes harder."""
        self.difficulty[self.rows.arm < self.world.arms // 2] += self.world.shift
