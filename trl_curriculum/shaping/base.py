"""Shaping: how much a rollout or a token counts once it has been made."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..pool import Pool
from ..records import PoolMapping
from ..registry import Method, Registry
from ..rewriting import Moment
from ..signals import FloatArray, Rollouts, Tokens


if TYPE_CHECKING:
    import torch


class Hooks:
    """
    What a shaper may do, in this order; it overrides the few hooks that it needs.

    The trainer sees to the rest: a rollout without a reward keeps the advantage 0, a device batch without a token to
    train on is skipped, evaluation is never shaped, and the curriculum learns from TRL's own rewards and advantages.
    """

    def meet(self, args: Any, tokenizer: Any) -> None:
        """Looks up what it needs of the trainer, once that is made; a `ValueError` of one sentence where it is not."""

    def rewrite(self, row: dict[str, Any], moment: Moment) -> dict[str, Any]:
        """A copy of a row as it is generated from; a function of these two alone, so that a group has one prompt."""
        raise NotImplementedError

    def read(self, texts: list[str]) -> dict[str, FloatArray]:
        """
        Numbers that are read off the completions of this process, by name, shape `(rollouts,)` each.

        All processes' are in `Rollouts.measured` when rewards and advantages are shaped.
        """
        raise NotImplementedError

    def measure(self, tokens: Tokens) -> "dict[str, torch.Tensor]":
        """
        Likewise, of tokens and their entropies under the model that generated them.

        This costs a forward of its own, without gradient, where TRL makes none before it trains: on-policy without
        vLLM.
        """
        raise NotImplementedError

    @property
    def measures(self) -> bool:
        """Whether it measures the next batch; the same on every process."""
        return has(self, "measure")

    @property
    def attends(self) -> float | None:
        """
        Depth of the layer, from 0 (first) to 1 (last), whose attention it needs as `Tokens.attention`; `None`: none.

        The model's attention must be eager then.
        """
        return None

    def reward(self, rollouts: Rollouts) -> FloatArray:
        """What is *added* to the reward of each rollout, shape `(rollouts,)`; NaN adds nothing."""
        raise NotImplementedError

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        """The advantage of each rollout in place of `rollouts.advantage`, shape `(rollouts,)`; rewards are raw."""
        raise NotImplementedError

    def observe(self, rollouts: Rollouts) -> None:
        """Learns from rollouts that have been shaped; rewards and advantages are TRL's own."""

    def tokens(self, tokens: Tokens) -> "torch.Tensor":
        """The advantage of each token in place of `tokens.advantage`; nothing here has a gradient."""
        raise NotImplementedError

    def loss(self, tokens: Tokens) -> "torch.Tensor":
        """A term to be added to the loss, a scalar with gradient: a mean over the device batch."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """What of it is logged as `shaping/<method>/<name>`, by name; the frame logs what it changes."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What it has learnt: arrays and plain values, the same on every process."""
        return {}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        """Continues from what `state_dict` gave, whose rows and arms `mapping` brings to those of another pool."""


@dataclass(frozen=True)
class Shaper(Method, Hooks):
    """A method of shaping with its options, which names the trainers that have what it needs."""

    trainers: ClassVar[tuple[str, ...]] = ("GRPO",)
    replaces: ClassVar[bool] = False  # its advantages do not depend on those that it is given
    needs_older: ClassVar[bool] = False  # it acts on tokens of older models alone
    steers_entropy: ClassVar[bool] = False  # it raises or lowers the policy's entropy on purpose
    undone_by: ClassVar[dict[str, str]] = {}  # hooks of rollout methods that undo what it does, and how they do

    def refuse(self, args: Any) -> None:
        """Raises a `ValueError` of one sentence where it cannot work with these arguments of the trainer."""

    def bind(self, pool: Pool, seed: int) -> Hooks:
        """
        What shapes one run: the method itself, or, for one that learns, an object that holds its state.

        The state is declared, as a curriculum's is: `class Bound(Stateful, Hooks): best = row_state(0.0)`.
        """
        return self


SHAPING = Registry("shaper", Shaper, "trl_curriculum.shaping")


def refuse_unlimited(name: str, args: Any) -> None:
    """Refuses arguments that set no longest completion, of which a method needs to know."""
    if args.max_completion_length is None:
        raise ValueError(f"{name} counts lengths as a share of max_completion_length, which is not set: set it.")


def has(shaper: Hooks, hook: str) -> bool:
    """Whether a shaper overrides a hook."""
    return getattr(type(shaper), hook) is not getattr(Hooks, hook)
