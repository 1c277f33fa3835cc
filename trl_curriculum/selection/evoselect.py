from dataclasses import dataclass
from typing import Literal

import torch

from ..registry import option
from .base import SELECTION, Selector
from .features import Features, Selection, effective_size, keep_top
from .sinkhorn import SMALLEST, Sinkhorn, SinkhornError


@SELECTION.add("evoselect", paper="arXiv 2604.26170")
@dataclass(frozen=True)
class EvoSelect(Selector):
    r"""
    EvoSelect: weights that bring the candidates' distribution close to the targets' and keep them diverse.

    $$ J(w) = \mathrm{OT}_\varepsilon(w, b; C) + \lambda\, w^\top G G^\top w, \qquad
    w \leftarrow w \exp\big(-\eta\, [\bar f + \lambda\, \overline{2 G (G^\top w)}]\big) / Z, $$

    with $C = 1 - G V^\top$ on features of unit norm, uniform b over the targets, and f the candidates' potential,
    which is the transport cost's gradient. Both gradients are centred and scaled by their standard deviation under w
    (the bars), so that η and λ have no unit. The k candidates of the largest weights are kept.

    It stops before the effective sample size of w falls below k: further on, the order of the last of the k would be
    arbitrary. Where already the first step would do that, η is halved until it does not (ours). That one step follows
    both gradients is ours too: a second-hand summary of the paper says that its steps alternate (`mode`).

    Raises:
        [`SinkhornError`]: where the transport does not converge with a doubled epsilon either.

    Source: Li et al. 2026, arXiv 2604.26170, whose constants are not known to us.
    """

    steps: int = option(50, "Updates at most.", least=1)
    eta: float | None = option(None, "Step size; default: 1 / sqrt(steps).", above=0)
    diversity: float = option(0.3, "λ.", least=0)
    epsilon: float = option(
        0.05,
        "Of the transport, for a cost in [0, 2]; doubled once if the iterations do not converge.",
        least=SMALLEST,
        most=1e6,
    )
    mode: Literal["joint", "alternate"] = option(
        "joint",
        "`joint`: both gradients in each step; `alternate`: one after the other.",
        "ours (a second-hand summary of the paper says that they alternate)",
    )
    tolerance: float = option(1e-3, "Of the transport's marginals, as a sum.", above=0)

    def choose(self, features: Features, k: int) -> Selection:
        n = len(features)
        eta = self.eta if self.eta is not None else self.steps**-0.5
        transport = Sinkhorn(features.candidates, features.targets, self.epsilon)
        weight = torch.full_like(transport.least, 1 / n)
        enough = min(k, n - 1)  # of the effective sample size: n itself would allow no step
        passes, made = 0, 0
        for step in range(self.steps):
            potentials = None
            try:
                potentials = transport.solve(weight, self.tolerance)
            except SinkhornError:
                if transport.epsilon != self.epsilon:
                    raise
            if potentials is None:
                dtype = transport.dtype
                del transport  # two kernels at once may be too large
                transport = Sinkhorn(features.candidates, features.targets, 2 * self.epsilon, dtype)
                potentials = transport.solve(weight, self.tolerance)
            passes += potentials.passes
            toward = _standardized(potentials.f, weight)
            apart = _standardized(2 * _similar(features.candidates, weight), weight)
            if self.mode == "joint":
                gradient = toward + self.diversity * apart
            else:
                gradient = toward if step % 2 == 0 else self.diversity * apart
            moved = _step(weight, eta * gradient)
            while step == 0 and effective_size(moved) < enough:
                eta /= 2
                moved = _step(weight, eta * gradient)
            if effective_size(moved) < enough:
                break
            weight, made = moved, step + 1
        score = weight.double().cpu().numpy()
        report = {
            "steps": float(made),
            "passes": float(passes),
            "epsilon": transport.epsilon,
            "eta": eta,
            "effective_size": effective_size(weight),
        }
        return Selection(keep_top(score, k), score, report)


def _similar(features: torch.Tensor, weight: torch.Tensor, chunk: int = 1 << 10) -> torch.Tensor:
    """G (Gᵀ w) in chunks: how much of the weight lies near each candidate."""
    centre, near = torch.zeros_like(features[0], dtype=weight.dtype), torch.empty_like(weight)
    for part, w in zip(features.split(chunk), weight.split(chunk), strict=True):
        centre += w @ part.to(w)
    for part, found in zip(features.split(chunk), near.split(chunk), strict=True):
        found.copy_(part.to(weight) @ centre)  # into one tensor: many small ones would scatter over the memory
    return near


def _standardized(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    away = value - weight @ value
    std = (weight @ away**2).sqrt()
    return away / std if std > 0 else torch.zeros_like(away)


def _step(weight: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    moved = weight * (gradient.min() - gradient).exp()
    return moved / moved.sum()
