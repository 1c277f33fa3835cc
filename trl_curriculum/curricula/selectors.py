"""From worth to a distribution over arms, and from a distribution to draws."""

import numpy as np

from ..feedback import FloatArray, IntArray


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


def draw_arms(rng: np.random.Generator, probabilities: FloatArray, n: int) -> IntArray:
    """`n` independent draws, shape `(n,)`."""
    cumulative = np.cumsum(probabilities)
    arms = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
    return np.minimum(arms, np.flatnonzero(probabilities)[-1])  # rounding may reach past the last arm


def entropy(probabilities: FloatArray) -> float:
    """Entropy of a distribution, in nats."""
    p = probabilities[probabilities > 0]
    return float(-(p * np.log(p)).sum())
