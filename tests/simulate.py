"""
A learner without a model: each row has a fixed success rate, from which rewards and GRPO's advantages are drawn for
methods that follow them, and losses, the smaller the more often the row succeeds, for methods that follow those.
"""

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


def losses(row: np.ndarray, success: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Loss of each row in nats per token, with 10% of noise."""
    return (0.1 + 3 * (1 - success[row])) * np.exp(0.1 * rng.standard_normal(len(row)))


def from_losses(draw: Draw, loss: np.ndarray, step: int = 0) -> Feedback:
    """What SFT shows: one entry a draw, and nothing of rewards."""
    return Feedback(row=draw.row, draw=draw.id, step=step, loss=loss, entropy=0.8 * loss, length=np.full(len(draw), 7))


def follows_loss(curriculum: Curriculum) -> bool:
    return curriculum.needs == ("loss",) or curriculum.asks_for == "loss"


def shown(
    curriculum: Curriculum,
    draw: Draw,
    success: np.ndarray,
    rng: np.random.Generator,
    generations: int = 8,
    step: int = 0,
    constant: float | None = None,
) -> Feedback:
    """Feedback of the kind that the curriculum follows; with a `constant` reward or loss, if given."""
    if not follows_loss(curriculum):
        return feedback(draw, success, rng, generations, step, constant)
    loss = losses(draw.row, success, rng) if constant is None else np.full(len(draw), constant)
    return from_losses(draw, loss, step)


def answer_probe(curriculum: Curriculum, success: np.ndarray, rng: np.random.Generator, progress: float = 0.0) -> None:
    """Measures what the curriculum asks for, as a trainer does before each `select`."""
    while (asked := curriculum.rows_to_probe(progress)) is not None:
        curriculum.observe_probe(asked, losses(asked, success, rng))


def run(
    curriculum: Curriculum,
    steps: int,
    success: np.ndarray,
    seed: int = 0,
    batch: int = 8,
    generations: int = 8,
    begin: float = 0.0,
    end: float = 1.0,
) -> list[Draw]:
    """Probes, draws and feedback for `steps` batches, from `begin` to `end` of a training; nobody improves."""
    rng = np.random.default_rng(seed)
    draws = []
    for step in range(steps):
        progress = begin + (end - begin) * step / steps
        answer_probe(curriculum, success, rng, progress)
        draw = curriculum.select(batch, progress)
        curriculum.observe(shown(curriculum, draw, success, rng, generations, step))
        draws.append(draw)
    return draws
