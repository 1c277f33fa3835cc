"""
A learner that stands still: each row has a fixed success rate, from which rewards and GRPO's advantages are drawn for
methods that follow them, and losses, the smaller the more often the row succeeds, for methods that follow those.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from ..curricula import Curriculum, Draw, SuccessRate
from ..evaluation import host
from ..evaluation.host import conduct, follows_loss, from_losses, from_rewards
from ..pool import Pool
from ..signals import Feedback


__all__ = [
    "SimulatedHost",
    "answer_probe",
    "conduct",
    "feedback",
    "follows_loss",
    "from_losses",
    "from_rewards",
    "losses",
    "pool",
    "run",
    "shown",
]


def pool(
    size: int = 60, n_arms: int = 5, labelled: bool = True, seed: int = 0, estimated: SuccessRate | None = None
) -> Pool:
    """
    Rows in arms that take turns, `arm0`, `arm1`, … (none unless `labelled`), the later ones more difficult. Rows of an
    arm are alike.
    """
    rng = np.random.default_rng(seed)
    n_arms = min(n_arms, size)
    arm = np.arange(size) % n_arms
    row_hash = rng.integers(0, 2**63, size, dtype=np.uint64)
    names = [f"arm{k}" for k in range(n_arms)] if labelled else None
    alike = (arm[:, None] == arm) / np.bincount(arm)[arm][:, None]
    given = arm if labelled else None
    return Pool(size, given, names, arm * 1.0, row_hash, estimated, neighbours=csr_matrix(alike))


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


def losses(row: np.ndarray, success: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Loss of each row in nats per token, with 10% of noise."""
    return (0.1 + 3 * (1 - success[row])) * np.exp(0.1 * rng.standard_normal(len(row)))


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
    """Measures what the curriculum asks for, as a conductor does before each `select`."""
    while (asked := curriculum.rows_to_probe(progress)) is not None:
        curriculum.observe_probe(asked, losses(asked, success, rng))


class SimulatedHost(host.SimulatedHost):
    """
    A [`~trl_curriculum.trainers.host.Host`] that trains on nothing: rows succeed at fixed rates, and nobody improves.

    Args:
        success (shape `(size,)`):
            Success rate of each row.
        seed (`int`):
            Seed of what rows show.
        generations (`int`):
            Rollouts a draw.
    """

    def __init__(self, success: np.ndarray, seed: int = 0, generations: int = 8) -> None:
        super().__init__(seed, generations)
        self.success = success

    def show(self, curriculum: Curriculum, draw: Draw, step: int) -> Feedback:
        return shown(curriculum, draw, self.success, self.rng, self.generations, step)

    def measure(self, what: str, rows: np.ndarray) -> tuple[np.ndarray, Any]:
        return losses(rows, self.success, self.rng), None


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
    """Probes, draws and feedback for `steps` batches, from `begin` to `end` of a training; returns the draws."""
    host = SimulatedHost(success, seed, generations)
    conductor = conduct(curriculum, host)
    draws = []
    for step in range(steps):
        host.done = begin + (end - begin) * step / steps
        draws.append(host.train(conductor, batch, step))
    assert all(np.isfinite(value) for value in conductor.metrics().values()) and not conductor.has_news
    return draws
