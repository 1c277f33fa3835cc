"""The one typed record that training hands back to a curriculum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


IntArray = NDArray[np.integer]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Feedback:
    """
    What one batch showed, one entry per rollout (GRPO) or per sequence (SFT), gathered over all processes, so that it
    is the same on every rank.

    Args:
        row (`IntArray`, shape `(n,)`):
            Position of the row in the pool.
        draw (`IntArray`, shape `(n,)`):
            Id of the draw that the entry answers. A row drawn twice in a batch is two draws; the rollouts of one
            draw form one GRPO group.
        step (`int`):
            Optimizer step at which the batch was drawn.
        reward (`FloatArray`, shape `(n,)`, *optional*):
            Weighted sum of the rewards, in the reward functions' unit; NaN where no reward function applied.
        advantage (`FloatArray`, shape `(n,)`, *optional*):
            Advantage that the trainer uses; NaN where it was not observed: TRL gives such rollouts the advantage 0,
            which would otherwise read as *solved*.
        loss (`FloatArray`, shape `(n,)`, *optional*):
            Negative log-likelihood in nats, mean over the trained tokens, whatever `loss_type` is trained on; NaN
            where it was not observed.
        entropy (`FloatArray`, shape `(n,)`, *optional*):
            Entropy of the model's next-token distribution in nats, mean over the trained tokens.
        prefix_entropy (`FloatArray`, shape `(n,)`, *optional*):
            Entropy of a rollout's first tokens, scored as [`~trl_curriculum.probes.prefix_entropy.PrefixEntropy`]
            says, NaN where it was not observed. It comes later than the rewards of the same draws, in a feedback of
            its own.
        length (`IntArray`, shape `(n,)`, *optional*):
            Completion length (GRPO) or trained tokens (SFT).
    """

    row: IntArray
    draw: IntArray
    step: int
    reward: FloatArray | None = None
    advantage: FloatArray | None = None
    length: IntArray | None = None
    loss: FloatArray | None = None
    entropy: FloatArray | None = None
    prefix_entropy: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("draw", "reward", "advantage", "length", "loss", "entropy", "prefix_entropy"):
            value = getattr(self, name)
            if value is not None and value.shape != self.row.shape:
                raise ValueError(f"Feedback.{name} has shape {value.shape}, but row has shape {self.row.shape}.")

    def __len__(self) -> int:
        return len(self.row)

    def signal(self, name: str) -> FloatArray:
        """
        Returns a learning signal per rollout, shape `(n,)`, NaN where it was not observed.

        Args:
            name (`str`):
                `"advantage"`: |A|; `"unnormalized"`: |r - mean of the group's r|; `"success"`: r, which must lie in
                [0, 1].
        """
        if name == "advantage":
            return np.abs(_need(self.advantage, "advantage"))
        reward = _need(self.reward, "reward")
        if name == "unnormalized":
            group = np.unique(self.draw, return_inverse=True)[1]
            return np.abs(reward - group_mean(reward, group)[group])
        if name == "success":
            outside = reward[(reward < 0) | (reward > 1)]
            if len(outside):
                raise ValueError(
                    f"Success rates need rewards in [0, 1], but a reward of {outside[0]:g} came back: scale the "
                    "rewards, or do without learn_from='success' and success_bins."
                )
            return reward
        raise ValueError(f"Unknown signal {name!r}; choose one of {', '.join(SIGNALS)}.")

    def per_row(self, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """The rows of the batch, each once, and the mean of `value` over each row's rollouts (NaN if all are NaN)."""
        rows, group = np.unique(self.row, return_inverse=True)
        return rows, group_mean(value, group, len(rows))


SHOWS = {  # fields, by trainer
    "GRPO": ("reward", "advantage", "length", "prefix_entropy"),
    "SFT": ("loss", "entropy", "length"),
}
SIGNALS = ("advantage", "unnormalized", "success")


def group_mean(value: FloatArray, group: IntArray, n_groups: int | None = None) -> FloatArray:
    """Mean of `value` in each group, shape `(n_groups,)`; NaN entries are left out, a group of NaN only is NaN."""
    n_groups = n_groups if n_groups is not None else int(group.max(initial=-1)) + 1
    seen = np.isfinite(value)
    total = np.bincount(group[seen], value[seen], minlength=n_groups)
    count = np.bincount(group[seen], minlength=n_groups)
    return np.divide(total, count, out=np.full(n_groups, np.nan), where=count > 0)


def _need(value: FloatArray | None, name: str) -> FloatArray:
    if value is None:
        raise ValueError(f"This curriculum follows the {name}, but the trainer's feedback carries none.")
    return value
