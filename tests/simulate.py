"""A learner without a model: each row has a fixed success rate, and GRPO's advantage is computed from its rewards."""

import numpy as np

from trl_curriculum import Feedback
from trl_curriculum.curricula import Curriculum, Draw


def feedback(
    draw: Draw,
    success: np.ndarray,
    rng: np.random.Generator,
    generations: int = 8,
    step: int = 0,
    reward: float | None = None,
) -> Feedback:
    """Feedback of `generations` rollouts a draw with the rows' `success` rates, or with a constant `reward`."""
    p = np.repeat(success[draw.row], generations)
    rewards = (rng.random(len(p)) < p).astype(float) if reward is None else np.full(len(p), reward)
    return from_rewards(draw, rewards, generations, step)


def from_rewards(draw: Draw, rewards: np.ndarray, generations: int, step: int = 0) -> Feedback:
    groups = rewards.reshape(-1, generations)
    mean, std = groups.mean(axis=1, keepdims=True), groups.std(axis=1, ddof=1, keepdims=True)
    return Feedback(
        row=np.repeat(draw.row, generations),
        draw=np.repeat(draw.id, generations),
        step=step,
        reward=rewards,
        advantage=((groups - mean) / (std + 1e-4)).ravel(),
        length=np.full(len(rewards), 7),
    )


def run(
    curriculum: Curriculum, steps: int, success: np.ndarray, seed: int = 0, batch: int = 8, generations: int = 8
) -> list[Draw]:
    """Draws and feedback for `steps` batches; the learner does not improve."""
    rng = np.random.default_rng(seed)
    draws = []
    for step in range(steps):
        draw = curriculum.select(batch)
        curriculum.observe(feedback(draw, success, rng, generations, step))
        draws.append(draw)
    return draws
