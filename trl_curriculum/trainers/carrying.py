"""Groups that a batch did not need: they begin the next, with log-probabilities under the model that made them."""

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather

from ..disk.state import StateError
from ..signals import Rollouts
from .joining import Output
from .policy_pass import policy_pass
from .shaping import OLD_LOGPS


logger = logging.getLogger(__name__)

COLUMNS = ("row", "draw", "reward", "advantage", "length", "truncated")


@dataclass(frozen=True)
class Carried:
    """
    Groups that wait for the next batch, the same on every process.

    Args:
        output (`dict`):
            Their tensors, on the CPU.
        rollouts ([`Rollouts`]):
            What the curriculum has observed of them.
    """

    output: Output
    rollouts: Rollouts

    @classmethod
    def of(cls, output: Output, rollouts: Rollouts, trainer: Any) -> "Carried":
        """
        Keeps rollouts of all processes, which the current model has made.

        Where TRL has made no pass over the completions, each process makes one over its share.
        """
        if OLD_LOGPS not in output or output[OLD_LOGPS].isnan().any():
            output = output | {OLD_LOGPS: _logps(output, trainer)}
        kept = {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in output.items()}
        return cls({name: value.cpu() for name, value in kept.items()}, rollouts)  # numpy knows no bfloat16

    def __len__(self) -> int:
        """Groups."""
        return len(self.rollouts.starts)

    def before(self, rollouts: Rollouts) -> Rollouts:
        """These, and then others that were made now."""
        return replace(self.rollouts, step=rollouts.step, progress=rollouts.progress) + rollouts

    def state_dict(self) -> dict[str, Any]:
        """Arrays, and the scale of the advantages."""
        columns = {name: getattr(self.rollouts, name) for name in (*COLUMNS, "step")}
        return {
            "output": {name: value.numpy() for name, value in self.output.items()},
            "rollouts": columns | {"rewards": self.rollouts.rewards, "scale": self.rollouts.scale},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Carried":
        """
        What `state_dict` gave.

        Raises:
            [`StateError`]: where it is none.
        """
        try:
            rollouts = Rollouts(**state["rollouts"])
            output = {name: torch.as_tensor(value) for name, value in state["output"].items()}
            lengths = {*map(len, output.values()), *map(len, (rollouts.rewards or {}).values())}
            if lengths != {len(rollouts)} or OLD_LOGPS not in output:
                raise ValueError("its parts differ in length")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateError(f"The saved groups that were carried over cannot be read ({error}).") from error
        return cls(output, rollouts)


def fitting(carried: Carried | None, n: int, size: int) -> Carried | None:
    """Those that a batch of `n` groups of `size` rollouts can begin with; none, with a warning, where it cannot."""
    if carried is None:
        return None
    made = np.bincount(carried.rollouts.group)
    if (made != size).any():
        say_dropped(carried, f"they are groups of {made[0]} rollouts, and groups have {size} now")
        return None
    if len(carried) >= n:
        say_dropped(carried, f"a batch needs {n} groups now")
        return None
    return carried


def say_dropped(carried: Carried, reason: str) -> None:
    """Warns that groups are thrown away, and why."""
    logger.warning("What was carried over from the last batch (groups: %d) is dropped: %s.", len(carried), reason)


def _logps(output: Output, trainer: Any) -> torch.Tensor:
    accelerator, n = trainer.accelerator, len(output["completion_ids"])
    each = -(-n // accelerator.num_processes)
    mine = (accelerator.process_index * each + torch.arange(each)) % n
    names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
    own = {name: output[name][mine.to(output[name].device)] for name in names}
    return gather(policy_pass(trainer, own)[0].contiguous())[:n]
