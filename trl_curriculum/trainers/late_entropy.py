"""Entropies of the rollouts' first tokens: they come with the loss, when TRL has shuffled the rollouts."""

from typing import Any

import numpy as np
import torch
from accelerate.utils import gather

from ..probes import PrefixEntropy
from ..signals import Rollouts


ROW, DRAW = "curriculum_row", "curriculum_draw"  # which row and draw a rollout answers, carried along with it


class LatePrefixEntropy:
    """
    Collects prefix entropies while rollouts are trained on for the first time, and gathers them once a step.

    Args:
        spec ([`PrefixEntropy`]):
            What a prefix entropy is.
    """

    def __init__(self, spec: PrefixEntropy) -> None:
        self.spec = spec
        self.token_entropies: torch.Tensor | None = None  # of the last forward
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []  # of the optimizer step so far

    def see(self, inputs: dict[str, Any]) -> None:
        """Scores a device batch of rollouts, which has just been trained on."""
        assert self.token_entropies is not None
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        entropies = self.token_entropies.detach().double()
        score = [self.spec.score(one[kept.bool()].cpu().numpy()) for one, kept in zip(entropies, mask, strict=True)]
        where = torch.stack([inputs[ROW], inputs[DRAW]], dim=1)
        self._seen.append((where, torch.tensor(score, device=where.device, dtype=torch.float32)))

    def take(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Rows, draw ids and scores of all processes' rollouts since it was called last, by draw; or nothing."""
        if not self._seen:
            return None
        where, score = (gather(torch.cat(part)).cpu().numpy() for part in zip(*self._seen, strict=True))
        self._seen = []
        order = np.argsort(where[:, 1], kind="stable")
        order = order[where[order, 1] >= 0]  # others are replayed
        if not len(order):
            return None
        row, draw = where[order].T
        return row, draw, score[order].astype(np.float64)

    def clear(self) -> None:
        """Forgets what was not gathered."""
        self._seen = []


def label(output: dict[str, Any], rollouts: Rollouts, own: slice) -> None:
    """Lets row and draw of this process's rollouts travel with them."""
    for name, value in ((ROW, rollouts.row), (DRAW, rollouts.draw)):
        output[name] = torch.as_tensor(value[own], device=output["advantages"].device)
