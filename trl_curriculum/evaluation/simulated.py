"""Curricula with simulated learners: the real conductor drives a real curriculum over the rows of a world."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..arms import ArmSource
from ..curricula import Curriculum, CurriculumMethod, Draw
from ..signals import SHOWS, Feedback, FloatArray, IntArray
from .host import SimulatedHost, conduct, follows_loss, from_losses, from_rewards
from .learner import Learner
from .worlds import Kind, World


SOLVED = 0.95  # success rate from which a draw is wasted: at 8 rollouts two of three groups are all right
PREFIX = 16  # tokens that a prefix entropy takes


@dataclass(frozen=True)
class Found:
    """What a probe of entropies finds beside them, see [`~trl_curriculum.probes.scores.Scores`]."""

    prompt: NDArray[np.uint64]


class LearningHost(SimulatedHost):
    """
    A [`~trl_curriculum.trainers.host.Host`] that trains a [`Learner`].

    Args:
        learner ([`Learner`]):
            Who learns.
        seed (`int`):
            Seed of what rows show.
        generations (`int`):
            Rollouts a draw.
    """

    def __init__(self, learner: Learner, seed: int = 0, generations: int = 8) -> None:
        super().__init__(generations=generations)
        self.rng = np.random.default_rng([seed, 1])
        self.learner, self.probed_tokens = learner, 0
        self.zero_variance = np.nan  # share of the last batch's groups whose rewards are all equal

    def show(self, curriculum: Curriculum, draw: Draw, step: int) -> Feedback:
        learner, tokens = self.learner, self.learner.world.tokens
        if learner.sft:
            loss, entropy = learner.losses(draw.row, self.rng), learner.entropies(draw.row, self.rng)
            return from_losses(draw, loss, step, entropy, tokens)
        rewards = learner.rewards(draw.row, self.generations, self.rng)
        groups = rewards.reshape(-1, self.generations)
        self.zero_variance = float((groups == groups[:, :1]).all(axis=1).mean())
        return from_rewards(draw, rewards, self.generations, step, tokens)

    def measure(self, what: str, rows: IntArray) -> tuple[FloatArray, Any]:
        if what == "loss":
            self.probed_tokens += len(rows) * self.learner.world.tokens
            return self.learner.losses(rows, self.rng), None
        # A world has no prompts: reading one costs a row's tokens, and tells as much as its answer, which flatters it
        self.probed_tokens += len(rows) * (PREFIX if what == "prefix_entropy" else self.learner.world.tokens)
        prompt = self.learner.rows.item[rows].astype(np.uint64) + np.uint64(1)  # 0: not known
        return self.learner.entropies(rows, self.rng), Found(prompt)

    def late(self, seen: Feedback) -> FloatArray:
        return self.learner.entropies(seen.row, self.rng)  # a by-product: nothing is generated for it


def simulate(
    method: CurriculumMethod,
    world: World,
    seed: int,
    steps: int,
    batch: int,
    generations: int = 8,
    *,
    trainer: Literal["GRPO", "SFT"] | None = None,
    estimated: ArmSource | None = None,
) -> pd.DataFrame:
    """
    Trains a simulated learner under a curriculum.

    Args:
        method ([`~trl_curriculum.curricula.CurriculumMethod`]):
            The curriculum with its options.
        world ([`World`]):
            What there is to learn.
        seed (`int`):
            Of the rows, of what they show and of the draws: the same for all curricula that are compared.
        steps (`int`):
            Optimizer steps.
        batch (`int`):
            Rows of a step.
        generations (`int`, *optional*, defaults to `8`):
            Rollouts of a row in GRPO.
        trainer (`"GRPO"` or `"SFT"`, *optional*):
            What the learner climbs, and what rows show: rewards or losses. Default: SFT where the curriculum follows
            losses.
        estimated ([`~trl_curriculum.arms.ArmSource`], *optional*):
            Estimates arms in place of the world's.

    Returns:
        `pandas.DataFrame`, one row a step: `step`; `competence`, the mean success rate over learnable rows that are
        held out, after the step; `trained_tokens`, `generated_tokens` and `probed_tokens` so far; shares of the step's
        draws on rows that teach nothing: `solved` (a success rate of `SOLVED` and more), `impossible` (with wrong
        golds that are never rewarded), `noisy` (coin flips and other wrong golds) and `locked` (behind a plateau);
        `coverage`, the share of the pool that has been drawn so far; `zero_variance`, the share of the step's groups
        whose rewards are all equal, NaN in SFT; and `share/<arm>`, the share of its draws on each arm of the world.

    Raises:
        `ValueError`: on numbers that make no training, and where the curriculum follows what the learner does not
        show, or lacks arms.
    """
    if steps < 1 or batch < 1 or generations < 2 or seed < 0:
        raise ValueError(
            f"steps={steps}, batch={batch}, generations={generations} and seed={seed} make no training: steps and "
            "batch must be at least 1, generations 2 and seed 0."
        )
    rows = world.make(seed)
    curriculum = method.bind(rows.pool(estimated), seed)
    sft = follows_loss(curriculum) if trainer is None else trainer == "SFT"
    lacking = sorted(set(method.follows) - set(SHOWS["SFT" if sft else "GRPO"]))
    if lacking:
        shown = "losses" if sft else "rewards"
        raise ValueError(f"Curriculum {method.name!r} follows the {lacking[0]}, and this learner shows {shown} alone.")
    learner = Learner(world, rows, sft)
    host = LearningHost(learner, seed, generations)
    conductor = conduct(curriculum, host)
    drawn_before = np.zeros(len(rows.item), bool)
    wrong = rows.kind == Kind.WRONG_GOLD
    never = (rows.kind == Kind.IMPOSSIBLE) | (wrong & (world.wrong_gold_pays == 0) & (not sft))
    noisy = (rows.kind == Kind.COIN_FLIP) | (wrong & ~never)
    learnable = rows.kind == Kind.LEARNABLE
    found: list[dict[str, float]] = []
    for step in range(steps):
        host.done = step / steps
        if step and step == world.shifts_at(steps):
            learner.shift()
        solved, locked = learner.success() >= SOLVED, learner.locked()
        draw = host.train(conductor, batch, step)
        item = rows.item[draw.row]
        drawn_before[draw.row] = True
        learner.practise(draw.row)
        shares = np.bincount(rows.arm[item], minlength=len(rows.names)) / batch
        trained = (step + 1) * batch * world.tokens * (1 if sft else generations)
        found.append(
            {
                "step": step,
                "competence": learner.competence(),
                "trained_tokens": trained,
                "generated_tokens": 0 if sft else trained,
                "probed_tokens": host.probed_tokens,
                "solved": float((solved & learnable & ~locked)[item].mean()),
                "impossible": float(never[item].mean()),
                "noisy": float(noisy[item].mean()),
                "locked": float((locked & learnable)[item].mean()),
                "coverage": float(drawn_before.mean()),
                "zero_variance": host.zero_variance,
            }
            | {f"share/{name}": float(share) for name, share in zip(rows.names, shares, strict=True)}
        )
    return pd.DataFrame(found)
