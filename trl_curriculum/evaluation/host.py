"""A learner without a model, as the conductor of a trainer sees it, and what it shows of its rows."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..curricula import Curriculum, Draw
from ..report.history import History
from ..signals import Feedback, FloatArray, IntArray
from ..trainers.conductor import Conductor


def from_rewards(draw: Draw, rewards: np.ndarray, generations: int, step: int = 0, length: int = 7) -> Feedback:
    """What GRPO shows of rewards that come from one reward function, `accuracy`; each rollout has `length` tokens."""
    groups = rewards.reshape(-1, generations)
    mean, std = groups.mean(axis=1, keepdims=True), groups.std(axis=1, ddof=1, keepdims=True)
    return Feedback(
        row=np.repeat(draw.row, generations),
        draw=np.repeat(draw.id, generations),
        step=step,
        reward=rewards,
        advantage=((groups - mean) / (std + 1e-4)).ravel(),
        length=np.full(len(rewards), length),
        rewards={"accuracy": rewards},
    )


def from_losses(
    draw: Draw, loss: np.ndarray, step: int = 0, entropy: np.ndarray | None = None, length: int = 7
) -> Feedback:
    """What SFT shows: an entry of `length` tokens a draw, and nothing of rewards; entropies are .8 loss by default."""
    entropy = 0.8 * loss if entropy is None else entropy
    tokens = np.full(len(draw), length)
    return Feedback(row=draw.row, draw=draw.id, step=step, loss=loss, entropy=entropy, length=tokens)


def follows_loss(curriculum: Curriculum) -> bool:
    """Whether it learns from losses, which it is shown in place of rewards."""
    return curriculum.method.follows == ("loss",) or curriculum.method.probe == "loss"


class SimulatedHost(ABC):
    """
    A [`~trl_curriculum.trainers.host.Host`] of one process, without a model.

    A subclass says what rows show (`show`), what is measured of them on purpose (`measure`) and, as far as any, what
    draws show late (`late`).

    Args:
        seed (`int`):
            Seed of what rows show.
        generations (`int`, *optional*, defaults to `8`):
            Rollouts a draw.
    """

    processes, process = 1, 0

    def __init__(self, seed: int = 0, generations: int = 8) -> None:
        self.generations, self.rng = generations, np.random.default_rng(seed)
        self.done = 0.0  # share of the training
        self.fresh_optimizers = 0

    @abstractmethod
    def show(self, curriculum: Curriculum, draw: Draw, step: int) -> Feedback:
        """What a batch shows while it is trained on."""

    @abstractmethod
    def measure(self, what: str, rows: IntArray) -> tuple[FloatArray, Any]:
        """Losses or prefix entropies of rows, `what` says which, and more about them."""

    def late(self, seen: Feedback) -> FloatArray:
        """Prefix entropy of each rollout of a batch, for curricula that want it."""
        return self.measure("prefix_entropy", seen.row)[0]

    def progress(self) -> float:
        return self.done

    def gather(self, columns: Sequence[Any], length: int) -> np.ndarray:
        gathered = np.zeros((length, len(columns)))
        gathered[: len(columns[0])] = np.stack(columns, axis=1)
        return gathered

    def prompts(self, rows: np.ndarray) -> list[Any]:
        return [f"row {row}" for row in rows]

    def row_loss(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
        return self.measure("loss", rows)[0], 7 * len(rows)

    def forget_optimizer(self) -> None:
        self.fresh_optimizers += 1

    def train(self, conductor: Conductor, n: int, step: int) -> Draw:
        """One step: draws `n` rows, and hands back what they show at once and late."""
        draw = conductor.draw(n)
        conductor.will_train_on(draw)
        seen = self.show(conductor.curriculum, draw, step)
        (length,) = conductor.gather_checked([seen.row], seen.length)
        assert length.tolist() == seen.length.tolist()  # type: ignore[union-attr]
        conductor.observe(draw, seen)
        if "prefix_entropy" in conductor.curriculum.method.wants:
            conductor.curriculum.observe_late(seen.row, seen.draw, prefix_entropy=self.late(seen))
        return draw


def conduct(curriculum: Curriculum, host: SimulatedHost) -> Conductor:
    """A conductor of a curriculum that may have learned already."""
    history = History("", write=False)
    conductor = Conductor(curriculum.method, curriculum.pool, curriculum.seed, host, history)
    conductor.curriculum = curriculum
    conductor.measure = host.measure
    return conductor
