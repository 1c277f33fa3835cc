"""Entropic optimal transport between weighted candidates and a target set, for many weights in turn."""

from dataclasses import dataclass

import torch


MEMORY = 10  # steps that L-BFGS remembers
SMALLEST = 0.003  # ε at which exp(-2 / ε), the least that a kernel holds, is still a number in double precision,
SMALLEST_SINGLE = 0.025  # and in single precision and bfloat16


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
    each row and column (absorption); its least entries, exp(-2 / ε), are numbers in single precision for ε of .025 and
    more, and below that the computation is in double precision. Each solution starts from the last one, and
    after the first step ψ goes by L-BFGS on the dual (Cuturi and Peyré 2016): the same solution in fewer passes.

    Args:
        candidates (`torch.Tensor`, shape `(n, d)`), targets (`torch.Tensor`, shape `(m, d)`):
            Features of unit norm.
        epsilon (`float`, *optional*, defaults to `0.05`):
            Regularization in the unit of the cost, which lies in [0, 2]; .003 at least.
        dtype (`torch.dtype`, *optional*):
            Of the computation, float32 at least and float64 where ε is below .025; default: that of the targets.
        keep_bytes (`int`, *optional*, defaults to `3 * 2**30`):
            A larger kernel is held in bfloat16, each entry within .2 % of what it should be.
        chunk (`int`, *optional*, defaults to `2**19`):
            Entries that are computed at once: few enough for the cache.

    Raises:
        `ValueError`: where ε is too small, or a kernel that must be double is larger than `keep_bytes`.
    """

    def __init__(
        self,
        candidates: torch.Tensor,
        targets: torch.Tensor,
        epsilon: float = 0.05,
        dtype: torch.dtype | None = None,
        keep_bytes: int = 3 * 2**30,
        chunk: int = 2**19,
    ) -> None:
        if not SMALLEST <= epsilon < float("inf"):
            raise ValueError(f"epsilon={epsilon} must be at least {SMALLEST} and finite.")
        least = torch.float32 if epsilon >= SMALLEST_SINGLE else torch.float64
        self.dtype = torch.promote_types(dtype or targets.dtype, least)
        self.epsilon, self.n, self.m = epsilon, len(candidates), len(targets)
        rows = max(1, chunk // self.m)
        self.parts = [slice(k, min(k + rows, self.n)) for k in range(0, self.n, rows)]
        zeros = torch.zeros(self.m, dtype=self.dtype, device=targets.device)
        self.b, self.g = zeros + 1 / self.m, zeros
        self.least = zeros.new_empty(self.n)  # smallest cost of each row,
        self.shift = zeros + torch.inf  # and of each column above that
        whole = self.n * self.m * torch.finfo(self.dtype).bits // 8 <= keep_bytes
        if not whole and epsilon < SMALLEST_SINGLE:
            raise ValueError(
                f"epsilon={epsilon} needs a kernel of {self.n} candidates and {self.m} targets in double precision, "
                f"{self.n * self.m / 2**27:.1f} GB: take an epsilon of {SMALLEST_SINGLE} or more."
            )
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

    def _scalings(self, log_psi: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log φ, and the sums of the plan's columns over b, for a ψ of the kernel as it is held; that is read once."""
        top = log_psi.max()
        psi = (log_psi - top).exp().to(self.dtype)  # relative to the largest: nothing overflows
        phi, sums = torch.empty_like(self.least), torch.zeros_like(self.b)
        for part in self.parts:
            kernel = self.kernel[part].to(self.dtype)
            phi[part] = 1 / (kernel @ (self.b * psi))
            sums += (weight[part] * phi[part]) @ kernel
        return phi.log() - top.to(self.dtype), (sums * psi).double()

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
        if weight.dtype != self.dtype:  # of which a coarser sum is not 1
            weight = weight.to(self.least)
            weight /= weight.sum()
        if start_over:
            self.g = torch.zeros_like(self.b)
        ascent = _Ascent(((self.g - self.shift) / self.epsilon).double())  # log ψ of the kernel as it is held
        passes, error = 0, float("inf")
        while passes < max_passes:
            log_phi, sums = self._scalings(ascent.at, weight)
            passes += 2
            error = float((sums - 1).abs().mean())
            if error <= tolerance:
                self.g = (self.epsilon * ascent.at).to(self.dtype) + self.shift
                f = self.epsilon * log_phi + self.least
                value = float(weight @ f + self.b @ (self.g * sums.to(self.dtype)))
                return Potentials(f, self.g, value, passes, error)
            if not ascent.goes_on(sums):
                break
        raise SinkhornError(
            f"Sinkhorn's iterations did not converge: after {passes} passes the plan's column sums are off by "
            f"{error:.2g} in all, {tolerance:.2g} was asked for; take a larger epsilon than {self.epsilon:g}."
        )


class _Ascent:
    """
    Where to evaluate the dual next, as a function of log ψ: L-BFGS that starts from Sinkhorn's step.

    The dual is concave; its gradient is 1 - the sums of the plan's columns over b. Where candidates and targets fall
    into clusters and one has too little weight, plain iterations climb at a constant, slow pace, and L-BFGS looks
    ahead. A step after which the dual falls steeply was too long and is shortened; if a much shorter one is too long
    still, Sinkhorn's is made, which never is.
    """

    def __init__(self, start: torch.Tensor) -> None:
        self.at, self.base = start, start
        self.memory: list[tuple[torch.Tensor, torch.Tensor]] = []  # moves, and how much lower the gradient was then
        self.gradient = self.plain = self.step = torch.zeros_like(start)
        self.size = 1.0

    def goes_on(self, sums: torch.Tensor) -> bool:
        """Chooses the next point, given the sums at the current one; False where they are no numbers."""
        gradient = 1 - sums
        if self.memory and not gradient @ self.step >= -(self.gradient @ self.step) / 2:
            self.size /= 4
            if self.size < 0.01:
                self.memory, self.step, self.size = [], self.plain, 1.0
        elif not gradient.isfinite().all():
            return False
        else:
            move, drop = self.at - self.base, self.gradient - gradient
            if move @ drop > 0:
                self.memory = [*self.memory, (move, drop)][-MEMORY:]
            self.base, self.gradient, self.plain, self.size = self.at, gradient, -sums.log(), 1.0
            self.step = self._direction() if self.memory else self.plain
            if not self.step @ gradient > 0:
                self.memory, self.step = [], self.plain
        self.at = self.base + self.size * self.step
        return True

    def _direction(self) -> torch.Tensor:
        direction, weights = self.gradient.clone(), []
        for move, drop in reversed(self.memory):
            weights.append(move @ direction / (move @ drop))
            direction -= weights[-1] * drop
        for (move, drop), weight in zip(self.memory, reversed(weights), strict=True):
            direction += (weight - drop @ direction / (move @ drop)) * move
        return direction
