"""Which rollouts are stored, and what they count when they are trained on again."""

from typing import Any

from ..records import PoolMapping
from ..signals import BoolArray, FloatArray, Rollouts


class Memory:
    """
    What a method of replay decides; tensors are stored by the trainer.

    Args:
        size (`int`):
            Rollouts that are stored at most, over all processes; the oldest go first.
        max_age (`int`):
            Optimizer steps after which one is thrown away.
    """

    def __init__(self, size: int, max_age: int) -> None:
        self.size, self.max_age = size, max_age

    def worth(self, rollouts: Rollouts) -> BoolArray:
        """Which rollouts of a batch to store, shape `(rollouts,)`; those without an advantage are not."""
        raise NotImplementedError

    def advantage(self, reward: FloatArray, advantage: FloatArray, step: int) -> FloatArray:
        """
        The advantages that stored rollouts have at an optimizer step; those with 0 are not replayed.

        Args:
            reward, advantage (`FloatArray`, shape `(stored,)`):
                What each earned, and the advantage that it was trained on with first.
            step (`int`):
                The optimizer step.
        """
        raise NotImplementedError

    def observe(self, rollouts: Rollouts) -> None:
        """Learns from a batch of all processes, before it is replayed into."""

    def state_dict(self) -> dict[str, Any]:
        """What was learnt: arrays and plain values, the same on every process."""
        return {}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        """Continues from what `state_dict` gave."""


def refuse_unreplayable(name: str, max_age: int, args: Any) -> None:
    """Refuses arguments under which stored rollouts could not be replayed, or are wrong by then."""
    window = args.steps_per_generation * args.num_iterations / args.gradient_accumulation_steps
    if max_age < window:
        raise ValueError(
            f"max_age={max_age} of {name} is less than the {window:g} optimizer steps that a generation is trained "
            "on, so that nothing would ever be replayed: raise it."
        )
    if args.sync_ref_model:
        raise ValueError(
            f"{name} stores log-probabilities of the reference model, which sync_ref_model=True changes meanwhile: "
            "leave one of them out."
        )
