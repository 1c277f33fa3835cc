"""What training shows: the typed records that it hands to curricula, rollouts and shaping."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray


if TYPE_CHECKING:
    import torch

IntArray = NDArray[np.integer]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CHUNK = 1 << 16  # entries of a large array that are worked on at once, so that temporary arrays stay small


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
        length (`IntArray`, shape `(n,)`, *optional*):
            Completion length (GRPO) or trained tokens (SFT).
        rewards (`dict[str, FloatArray]`, *optional*):
            Reward of each reward function by its name, shape `(n,)` each, unweighted; NaN where it did not apply.
        scale (`str`, *optional*, defaults to `"group"`):
            What TRL divides advantages by: the standard deviation of the `"group"`, of the `"batch"`, or `"none"`.
        truncated (`BoolArray`, shape `(n,)`, *optional*):
            Whether a completion does not end, but was cut off (GRPO).
    """

    row: IntArray
    draw: IntArray
    step: int
    reward: FloatArray | None = None
    advantage: FloatArray | None = None
    length: IntArray | None = None
    loss: FloatArray | None = None
    entropy: FloatArray | None = None
    rewards: dict[str, FloatArray] | None = None
    scale: Literal["group", "batch", "none"] = "group"
    truncated: BoolArray | None = None

    def __post_init__(self) -> None:
        for name in ("draw", "reward", "advantage", "length", "loss", "entropy", "truncated"):
            value = getattr(self, name)
            if value is not None and value.shape != self.row.shape:
                raise ValueError(f"Feedback.{name} has shape {value.shape}, but row has shape {self.row.shape}.")

    def __len__(self) -> int:
        return len(self.row)

    def outcome(self, name: str | None = None) -> FloatArray:
        """
        The reward that decides, shape `(n,)`: the weighted sum, or one reward function's by its name, unweighted.

        Raises:
            `ValueError`: where no reward function has that name.
        """
        if name is None:
            return _need(self.reward, "reward")
        rewards = self.rewards or {}
        if name not in rewards:
            known = ", ".join(rewards) or "none"
            raise ValueError(f"outcome={name!r} names a reward function, and there is no such: choose one of {known}.")
        return rewards[name]

    def success(self, outcome: str | None = None) -> FloatArray:
        """
        The reward that decides, see [`outcome`], which must lie in [0, 1]; shape `(n,)`, NaN where there is none.

        Raises:
            `ValueError`: where one does not.
        """
        reward = self.outcome(outcome)
        outside = reward[(reward < 0) | (reward > 1)]
        if len(outside):
            raise ValueError(
                f"Success rates need rewards in [0, 1], but a reward of {outside[0]:g} came back: scale the rewards, "
                "or name the reward function that says what success is (outcome)."
            )
        return reward

    def right(self, outcome: str | None = None) -> BoolArray:
        """Whether the reward that decides, see [`success`], is above one half, shape `(n,)`; NaN is not."""
        return self.success(outcome) > 0.5

    def advantages(self, outcome: str | None = None) -> FloatArray:
        """
        The trainer's advantages, or those that it would give to one reward function alone; shape `(n,)`, NaN where
        there is none.
        """
        if outcome is None:
            return _need(self.advantage, "advantage")
        reward = self.outcome(outcome)
        scored = np.bincount(self.group, np.isfinite(reward))[self.group]
        return np.where(np.isfinite(reward) & (scored > 1), self.advantages_of(reward), np.nan)

    @property
    def group(self) -> IntArray:
        """Number of each entry's draw among those of the batch, shape `(n,)`: the rollouts of a draw are a group."""
        return np.unique(self.draw, return_inverse=True)[1]

    def mean(self, value: FloatArray, where: BoolArray | None = None) -> FloatArray:
        """Mean of `value` over each rollout's group, NaN entries left out, shape `(n,)`."""
        kept = value if where is None else np.where(where, value, np.nan)
        return group_mean(kept, self.group)[self.group]

    def std(self, value: FloatArray) -> FloatArray:
        """Standard deviation of `value` over each rollout's group (n - 1; 0 for one entry), shape `(n,)`."""
        group, away = self.group, value - self.mean(value)
        seen = np.isfinite(away)
        squares = np.bincount(group[seen], away[seen] ** 2, minlength=int(group.max(initial=-1)) + 1)
        count = np.bincount(group[seen], minlength=len(squares))
        return np.sqrt(squares / np.maximum(count - 1, 1))[group]

    def advantages_of(self, reward: FloatArray) -> FloatArray:
        """
        Advantages that TRL would give these rewards, shape `(n,)`; 0 where a reward is NaN, or alone in its group.
        """
        away = reward - self.mean(reward)
        if self.scale == "group":
            away = away / (self.std(reward) + 1e-4)
        elif self.scale == "batch":
            seen = reward[np.isfinite(reward)]
            away = away / ((seen.std(ddof=1) if len(seen) > 1 else 0.0) + 1e-4)
        return np.nan_to_num(away)

    def per_row(self, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """The rows of the batch, each once, and the mean of `value` over each row's rollouts (NaN if all are NaN)."""
        rows, group = np.unique(self.row, return_inverse=True)
        return rows, group_mean(value, group, len(rows))


@dataclass(frozen=True, kw_only=True)
class Rollouts(Feedback):
    """
    Feedback of GRPO, as rollouts and shaping see it: one entry per rollout, gathered over all processes; the rollouts
    of one draw are a group, and groups are contiguous, unless those of a row were made one.

    Args:
        reward, advantage, length:
            As in [`Feedback`].
        progress (`float`):
            Share of the training that is done.
        measured (`dict[str, FloatArray]`):
            What a shaper measured on the tokens or the text of each rollout, by name, shape `(n,)` each.
    """

    reward: FloatArray
    advantage: FloatArray
    length: IntArray
    progress: float = 0.0
    measured: dict[str, FloatArray] = field(default_factory=dict)

    def __add__(self, other: "Rollouts") -> "Rollouts":
        """Both, one after the other."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _COLUMNS
        }
        both = self.truncated is not None and other.truncated is not None
        columns["truncated"] = np.concatenate([self.truncated, other.truncated]) if both else None
        theirs = other.rewards or {}
        rewards = {name: np.concatenate([value, theirs[name]]) for name, value in (self.rewards or {}).items()}
        return replace(self, **columns, rewards=rewards)

    def __getitem__(self, index: Any) -> "Rollouts":
        """Those at `index`."""
        columns: dict[str, Any] = {name: getattr(self, name)[index] for name in _COLUMNS}
        columns["truncated"] = None if self.truncated is None else self.truncated[index]
        return replace(self, **columns, rewards={name: value[index] for name, value in (self.rewards or {}).items()})

    @property
    def starts(self) -> IntArray:
        """Index of each group's first rollout, shape `(groups,)`."""
        return np.sort(np.unique(self.draw, return_index=True)[1])


@dataclass
class Tokens:
    """
    The tokens of one device batch of this process while it is trained on, shape `(sequences, tokens)` each.

    Args:
        ids (`torch.Tensor`):
            Tokens of the completions; in SFT every token but each sequence's first.
        mask (`torch.Tensor` of `bool`):
            Which of them are trained on.
        logp (`torch.Tensor`):
            Log-probability of each under the current model, in nats; with gradient where a loss is made of it.
        entropy (`torch.Tensor`):
            Entropy of the next-token distribution at each, in nats; likewise.
        advantage (`torch.Tensor`):
            Advantage of each token; 1 in SFT.
        step (`int`):
            Optimizer step.
        progress (`float`):
            Share of the training that is done.
        generator (`torch.Generator`):
            Of the random choices of this batch, on the CPU. Its seed depends on the run's, the micro step and the
            process, so there is nothing to save.
        old_logp (`torch.Tensor`, *optional*):
            `logp` under the model that generated; `None` where that is the current one, and in SFT.
        clipped (`torch.Tensor` of `bool`, *optional*):
            Where PPO's clip leaves no gradient; `None` where there is no such clip.
        row, draw (`torch.Tensor`, shape `(sequences,)`, *optional*):
            Row of the pool and draw that each answers; `None` in SFT, where a sequence can hold several.
        attention (`torch.Tensor`, *optional*):
            Entropy of the attention from which each is predicted, in one layer and without gradient, as a share of the
            largest that its context allows; `None` where no shaper asks for it.
    """

    ids: "torch.Tensor"
    mask: "torch.Tensor"
    logp: "torch.Tensor"
    entropy: "torch.Tensor"
    advantage: "torch.Tensor"
    step: int
    progress: float
    generator: "torch.Generator"
    old_logp: "torch.Tensor | None" = None
    clipped: "torch.Tensor | None" = None
    row: "torch.Tensor | None" = None
    draw: "torch.Tensor | None" = None
    attention: "torch.Tensor | None" = None

    def detach(self) -> "Tokens":
        """The same without gradient."""
        return replace(self, logp=self.logp.detach(), entropy=self.entropy.detach())

    def mean(self, value: "torch.Tensor") -> "torch.Tensor":
        """Mean of `value` over the tokens that are trained on, a scalar."""
        return value[self.mask].mean()


_COLUMNS = ("row", "draw", "reward", "advantage", "length")  # of Rollouts
SHOWS = {  # fields, by trainer
    "GRPO": ("reward", "advantage", "length"),
    "SFT": ("loss", "entropy", "length"),
}


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


def count_arms(arm: NDArray, n_arms: int) -> IntArray:
    """Rows of each arm, shape `(n_arms,)`; in pieces, because `bincount` makes a copy of what it counts."""
    size = np.zeros(n_arms, np.int64)
    for begin in range(0, len(arm), CHUNK):
        size += np.bincount(arm[begin : begin + CHUNK], minlength=n_arms)
    return size
