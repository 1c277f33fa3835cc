"""From worth to a distribution over arms, and from a distribution to draws."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ...signals import CHUNK, FloatArray, IntArray


class Boltzmann:
    """
    P(arm) ∝ prior(arm) · exp(worth(arm) / τ): the largest expected worth that can be had at its entropy.

    Args:
        tau (`float`):
            Temperature in the worth's unit, above 0. τ → 0 takes the best arm, τ → ∞ follows the prior.
    """

    def __init__(self, tau: float) -> None:
        if not tau > 0:
            raise ValueError(f"tau={tau} is not a temperature above 0.")
        self.tau = tau

    def __repr__(self) -> str:
        return f"Boltzmann(tau={self.tau!r})"

    def __call__(self, worth: FloatArray, prior: FloatArray) -> FloatArray:
        """Probability of each arm, shape `(n_arms,)`; an arm whose prior is 0 gets none."""
        logits = np.where(prior > 0, worth / self.tau, -np.inf)
        p = prior * np.exp(logits - logits.max())
        return p / p.sum()


class MaxEntropy:
    r"""
    The distribution of largest entropy at its expected utility, softmax(U / τ), with τ such that exp(H) = ess · N.

    Asking for an effective sample size instead of a temperature makes the utility's unit irrelevant.

    Args:
        ess (`float`):
            Effective sample size, as a share of the rows: 1 is exactly uniform, towards 1/N only the best row is left.
        floor (`float`, *optional*, defaults to `0.0`):
            Share of the draws that is uniform over all rows, so that none is starved.
        diversity (`float`, *optional*, defaults to `0.0`):
            Weight, in units of τ, of the entropy of the clusters' marginal distribution, which then has the closed
            form p(cluster) ∝ (Σ exp(U / τ))^(1 / (1 + diversity)); towards infinity all clusters get the same.
    """

    BINS = 4096
    NEAREST = 1e-9  # distances from the best row below this share of the range are all the same

    def __init__(self, ess: float, floor: float = 0.0, diversity: float = 0.0) -> None:
        if not 0 < ess <= 1:
            raise ValueError(f"ess={ess} is not a share of the rows in (0, 1].")
        if not 0 <= floor <= 1:
            raise ValueError(f"floor={floor} is not a share of the draws in [0, 1].")
        if not diversity >= 0:
            raise ValueError(f"diversity={diversity} must not be negative.")
        self.ess, self.floor, self.diversity = ess, floor, diversity

    def __call__(self, utility: NDArray, cluster: IntArray | None = None) -> FloatArray:
        """Probability of each row, shape `(n,)`, from the utility and, with `diversity`, the cluster of each."""
        n = len(utility)
        low, high = float(utility.min()), float(utility.max())
        if self.ess == 1 or low == high:
            return np.full(n, 1 / n)
        p = utility.astype(np.float64)  # in place from here on: one array of the pool's size
        p -= high
        p /= (high - low) * self.temperature(utility)
        np.exp(p, out=p)
        if self.diversity and cluster is not None:
            mass = np.bincount(cluster, p)
            with np.errstate(divide="ignore"):
                p *= np.where(mass > 0, mass ** (1 / (1 + self.diversity) - 1), 0)[cluster]
        p *= (1 - self.floor) / p.sum()
        p += self.floor / n
        return p

    def temperature(self, utility: NDArray) -> float:
        """
        τ in units of the utility's range, by bisection over a histogram: one pass over the rows, whatever N.

        The bins are geometric in the distance from the best row, so they are fine enough whatever τ turns out to be.
        """
        low, high = float(utility.min()), float(utility.max())
        count, total = np.zeros(self.BINS), np.zeros(self.BINS)
        for begin in range(0, len(utility), CHUNK):
            part = (utility[begin : begin + CHUNK].astype(np.float64) - high) / (high - low)
            depth = np.log10(np.maximum(-part, self.NEAREST)) / np.log10(self.NEAREST)  # 0: the worst, 1: the best
            place = ((1 - depth) * (self.BINS - 1)).astype(np.int64)
            count += np.bincount(place, minlength=self.BINS)
            total += np.bincount(place, part, minlength=self.BINS)
        worth = total[count > 0] / count[count > 0]
        count = count[count > 0]
        target = np.log(self.ess * len(utility))

        def excess(log_tau: float) -> float:
            scaled = worth / np.exp(log_tau)
            mass = count * np.exp(scaled)
            return float(np.log(mass.sum()) - (mass * scaled).sum() / mass.sum() - target)

        bounds = (np.log(self.NEAREST), np.log(1e6))
        if excess(bounds[0]) >= 0:  # more rows share the best utility than the target asks for
            return float(np.exp(bounds[0]))
        return float(np.exp(brentq(excess, *bounds, xtol=1e-6)))


def top_share(value: NDArray, share: float, rng: np.random.Generator) -> FloatArray:
    """
    Weight 1 for the `share` of the rows with the largest values, at least one, ties at random; 0 for the others.

    Of the rows without a value (NaN) the same share gets 1, at random: nothing speaks for or against them.
    """
    weight = np.zeros(len(value))
    mixed = rng.permutation(len(value))
    known = mixed[np.isfinite(value[mixed])]
    unknown = mixed[~np.isfinite(value[mixed])]
    best = known[np.argsort(-value[known], kind="stable")]
    weight[best[: max(1, round(share * len(known)))]] = 1
    weight[unknown[: round(share * len(unknown))]] = 1
    return weight


def draw_arms(rng: np.random.Generator, probabilities: FloatArray, n: int) -> IntArray:
    """`n` independent draws, shape `(n,)`."""
    cumulative = np.cumsum(probabilities)
    arms = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
    return np.minimum(arms, np.flatnonzero(probabilities)[-1])  # rounding may reach past the last arm


def entropy(probabilities: FloatArray) -> float:
    """Entropy of a distribution, in nats."""
    p = probabilities[probabilities > 0]
    return float(-(p * np.log(p)).sum())
