"""Entropic optimal transport between weighted candidates and a target set, for many weights in turn."""

from dataclasses import dataclass

import torch


class SinkhornError(ValueError):
    """The iterations did not converge; the message says how far they came and what to do."""


@dataclass(frozen=True)
class Potentials:
    """
    Potentials of the dual: the plan is w_i b_j exp((f_i + g_j - C_ij) / ε).

    Args:
        f (`torch.Tensor`, shape `(n,)`), g (`torch.Tensor`, shape `(m,)`):
            In the unit of the cost. Adding a constant to one and taking it from the other changes nothing.
        value (`float`):
            What is minimized, <P, C> + ε KL(P | w ⊗ b), which at the solution is <w, f> + <b, g>.
        passes (`int`):
            Products with the kernel or its transpose that it took.
        error (`float`):
            Sum of the absolute deviations of the plan's column sums from b.
    """

    f: torch.Tensor
    g: torch.Tensor
    value: float
    passes: int
    error: float


class Sinkhorn:
    r"""
    Solves $\min_P \langle P, C \rangle + \varepsilon\, \mathrm{KL}(P \| w \otimes b)$ over plans with marginals w and
    uniform b, where $C_{ij} = 1 - \langle x_i, y_j \rangle$, again and again for other w.

    In kernel form: with $K = \exp(-C / \varepsilon)$, $\varphi = 1 / K (b \psi)$ and $\psi = 1 / K^\top (w \varphi)$
    in turn, $f = \varepsilon \log \varphi$ and $g = \varepsilon \log \psi$. K is held relative to the largest entry of
    each row and column (absorption), so that small ε does not underflow; each solution starts from the last one.

    Args:
        candidates (`torch.Tensor`, shape `(n, d)`), targets (`torch.Tensor`, shape `(m, d)`):
            Features of unit norm.
        epsilon (`float`, *optional*, defaults to `0.05`):
            Regularization in the unit of the cost, which lies in [0, 2].
        dtype (`torch.dtype`, *optional*):
            Of the computation; default: that of the targets, float32 at least.
        keep_bytes (`int`, *optional*, defaults to `3 * 2**30`):
            A larger kernel is held in bfloat16, each entry within .2 % of what it should be.
        chunk (`int`, *optional*, defaults to `2**20`):
            Entries that are computed at once: few enough for the cache.
    """

    def __init__(
        self,
        candidates: torch.Tensor,
        targets: torch.Tensor,
        epsilon: float = 0.05,
        dtype: torch.dtype | None = None,
        keep_bytes: int = 3 * 2**30,
        chunk: int = 2**20,
    ) -> None:
        if not epsilon > 0:
            raise ValueError(f"epsilon={epsilon} must be above 0.")
        self.dtype = dtype or torch.promote_types(targets.dtype, torch.float32)
        self.epsilon, self.n, self.m = epsilon, len(candidates), len(targets)
        rows = max(1, chunk // self.m)
        self.parts = [slice(k, min(k + rows, self.n)) for k in range(0, self.n, rows)]
        zeros = torch.zeros(self.m, dtype=self.dtype, device=targets.device)
        self.b, self.g = zeros + 1 / self.m, zeros
        self.least = zeros.new_empty(self.n)  # smallest cost of each row,
        self.shift = zeros + torch.inf  # and of each column above that
        whole = self.n * self.m * torch.finfo(self.dtype).bits // 8 <= keep_bytes
        self.kernel = zeros.new_empty(self.n, self.m, dtype=self.dtype if whole else torch.bfloat16)
        right = targets.to(self.dtype).T
        for part in self.parts:
            cost = 1 - candidates[part].to(self.dtype) @ right
            self.least[part] = cost.min(dim=1).values
            cost -= self.least[part, None]
            self.shift = torch.minimum(self.shift, cost.min(dim=0).values)
            if whole:
                self.kernel[part] = cost
        for part in self.parts:
            if whole:
                cost = self.kernel[part]
            else:  # too coarse for costs: once more
                cost = 1 - candidates[part].to(self.dtype) @ right - self.least[part, None]
            self.kernel[part] = (cost - self.shift).mul_(-1 / epsilon).exp_()

    def _scalings(self, column: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """φ = 1 / K column and Kᵀ (w φ), which read the kernel once."""
        phi, sums = torch.empty_like(self.least), torch.zeros_like(self.b)
        for part in self.parts:
            kernel = self.kernel[part].to(self.dtype)
            phi[part] = 1 / (kernel @ column)
            sums += (weight[part] * phi[part]) @ kernel
        return phi, sums

    def solve(
        self, weight: torch.Tensor, tolerance: float = 1e-3, max_passes: int = 2000, start_over: bool = False
    ) -> Potentials:
        """
        The potentials for candidates of these weights.

        Args:
            weight (`torch.Tensor`, shape `(n,)`):
                Weights that sum to 1; a candidate of weight 0 has a potential too.
            tolerance (`float`, *optional*, defaults to `1e-3`):
                Sum of the absolute deviations from b at which it stops.
            max_passes (`int`, *optional*, defaults to `2000`):
                Products with the kernel after which it gives up.
            start_over (`bool`, *optional*, defaults to `False`):
                Not to start from the last solution.

        Raises:
            [`SinkhornError`]: where the tolerance is not reached.
        """
        weight = weight.to(self.least)
        if start_over:
            self.g = torch.zeros_like(self.b)
        log_psi = (self.g - self.shift) / self.epsilon  # of the kernel as it is held
        passes, error = 0, float("inf")
        while passes < max_passes:
            top = log_psi.max()
            psi = (log_psi - top).exp()  # relative to the largest: nothing overflows
            phi, sums = self._scalings(self.b * psi, weight)
            sums = sums * psi  # of the plan's columns, over b
            passes += 2
            error = float((self.b * (sums - 1).abs()).sum())
            if not error < float("inf"):
                break
            if error <= tolerance:
                self.g = self.epsilon * log_psi + self.shift
                f = self.epsilon * (phi.log() - top) + self.least
                value = float(weight @ f + self.b @ (self.g * sums))
                return Potentials(f, self.g, value, passes, error)
            log_psi = log_psi - sums.log()
        raise SinkhornError(
            f"Sinkhorn's iterations did not converge: after {passes} passes the plan's column sums are off by "
            f"{error:.2g} in all, {tolerance:.2g} was asked for; take a larger epsilon than {self.epsilon:g}."
        )
