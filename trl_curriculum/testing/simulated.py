"""
A learner without a model: each row has a fixed success rate, from which rewards and GRPO's advantages are drawn for
methods that follow them, and losses, the smaller the more often the row succeeds, for methods that follow those. It is
driven by the same conductor as a trainer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..curricula import Curriculum, Draw, SuccessRate
from ..pool import Pool
from ..report.history import History
from ..signals import Feedback
from ..trainers.conductor import Conductor


def pool(
    size: int = 60, n_arms: int = 5, labelled: bool = True, seed: int = 0, estimated: SuccessRate | None = None
) -> Pool:
    """Rows in arms that take turns, `arm0`, `arm1`, … (none unless `labelled`), the later ones more difficult."""
    rng = np.random.default_rng(seed)
    n_arms = min(n_arms, size)
    arm = np.arange(size) % n_arms
    row_hash = rng.integers(0, 2**63, size, dtype=np.uint64)
    names = [f"arm{k}" for k in range(n_arms)]
    return Pool(size, arm if labelled else None, names if labelled else None, arm * 1.0, row_hash, estimated)


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
    """What GRPO shows of rewards that come from one reward function, `accuracy`."""
    groups = rewards.reshape(-1, generations)
    mean, std = groups.mean(axis=1, keepdims=True), groups.std(axis=1, ddof=1, keepdims=True)
    return Feedback(
        row=np.repeat(draw.row, generations),
        draw=np.repeat(draw.id, generations),
        step=step,
        reward=rewards,
        advantage=((groups - mean) / (std + 1e-4)).ravel(),
        length=np.full(len(rewards), 7),
        rewards={"accuracy": rewards},
    )


def losses(row: np.ndarray, success: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Loss of each row in nats per token, with 10% of noise."""
    return (0.1 + 3 * (1 - success[row])) * np.exp(0.1 * rng.standard_normal(len(row)))


def from_losses(draw: Draw, loss: np.ndarray, step: int = 0) -> Feedback:
    """What SFT shows: one entry a draw, and nothing of rewards."""
    return Feedback(row=draw.row, draw=draw.id, step=step, loss=loss, entropy=0.8 * loss, length=np.full(len(draw), 7))


def follows_loss(curriculum: Curriculum) -> bool:
    """Whether it learns from losses, which it is shown in place of rewards."""
    return curriculum.method.follows == ("loss",) or curriculum.method.probe == "loss"


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


class SimulatedHost:
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

    processes, process = 1, 0

    def __init__(self, success: np.ndarray, seed: int = 0, generations: int = 8) -> None:
        self.success, self.generations, self.rng = success, generations, np.random.default_rng(seed)
        self.done = 0.0  # share of the training
        self.fresh_optimizers = 0

    def progress(self) -> float:
        return self.done

    def gather(self, columns: Sequence[Any], length: int) -> np.ndarray:
        gathered = np.zeros((length, len(columns)))
        gathered[: len(columns[0])] = np.stack(columns, axis=1)
        return gathered

    def prompts(self, rows: np.ndarray) -> list[Any]:
        return [f"row {row}" for row in rows]

    def row_loss(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
        return losses(rows, self.success, self.rng), 7 * len(rows)

    def forget_optimizer(self) -> None:
        self.fresh_optimizers += 1

    def train(self, conductor: Conductor, n: int, step: int) -> Draw:
        """One step: draws `n` rows, and hands back what they show at once and late."""
        draw = conductor.draw(n)
        conductor.will_train_on(draw)
        seen = shown(conductor.curriculum, draw, self.success, self.rng, self.generations, step)
        (length,) = conductor.gather_checked([seen.row], seen.length)
        assert length.tolist() == seen.length.tolist()  # type: ignore[union-attr]
        conductor.observe(draw, seen)
        if "prefix_entropy" in conductor.curriculum.method.wants:
            late = losses(seen.row, self.success, self.rng)
            conductor.curriculum.observe_late(seen.row, seen.draw, prefix_entropy=late)
        return draw


def conduct(curriculum: Curriculum, host: SimulatedHost) -> Conductor:
    """A conductor of a curriculum that may have learned already."""
    history = History("", write=False)
    conductor = Conductor(curriculum.method, curriculum.pool, curriculum.seed, host, history)
    conductor.curriculum = curriculum
    conductor.measure = lambda what, rows: (host.row_loss(rows)[0], None)
    return conductor


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
