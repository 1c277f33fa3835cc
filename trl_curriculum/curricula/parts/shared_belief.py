"""What is believed of each row where rows of one arm are alike: the arm's mean, and the row's own part of it."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...records import Stateful, arm_state, row_state, value_state
from ...signals import FloatArray, IntArray, group_mean


Source = Literal["probe", "free"]
FEW = 8  # observations of the same row needed before their noise is estimated from them


class SharedBelief(Stateful):
    r"""
    A score per row, shared within arms: $\hat s_i = m_a + k_i\, d_i$, with the uncertainty of that.

    - $m_a$ is the mean of the arm. It moves with every observation of any of its rows, and holds as well for rows that
      were never seen.
    - $d_i$ is the mean of how far the row's own observations were from $m_a$, shrunk by
      $k_i = \tau^2 / (\tau^2 + \sigma^2 / w_i)$ (James and Stein's estimator, in the empirical Bayes form):
      $\tau^2$ is the variance between rows of an arm, $\sigma^2$ that of two observations of one row, both estimated
      from what was seen, and $w_i$ the number of observations, older ones counted less: the model changes.
    - The variance of the belief is $\tau^2 (1 - k_i)$, and $(\tau^2 + \sigma^2) / n_a$ for the arm's mean.

    Observations have one of two sources, a probe or the rollouts of training, whose prompts and sampling may differ:
    each has means of its own, and scores are in the probe's unit.

    Args:
        arm (`IntArray`, shape `(size,)`):
            Arm of each row.
        n_arms (`int`):
            Number of arms.
        keep (`float`, *optional*, defaults to `0.5`):
            How much an observation still counts one round later (ours).
    """

    own: NDArray = row_state(0.0)  # d
    weight: NDArray = row_state(0.0, least=0)  # w, as of the round in which the row was seen last
    seen_in: NDArray = row_state(-1, np.int32, -1)
    mean_probe: FloatArray = arm_state(np.nan)
    mean_free: FloatArray = arm_state(np.nan)
    count_probe: FloatArray = arm_state(0.0, least=0)
    count_free: FloatArray = arm_state(0.0, least=0)
    noise_sum: float = value_state(0.0, least=0)
    noise_count: float = value_state(0.0, least=0)

    def __init__(self, arm: IntArray, n_arms: int, keep: float = 0.5) -> None:
        if not 0 < keep <= 1:
            raise ValueError(f"keep={keep} is not the share of an observation that is left a round later, in (0, 1].")
        self.arm, self.n_arms, self.keep = arm, n_arms, keep
        self.start(len(arm), n_arms)

    @property
    def mean(self) -> dict[str, FloatArray]:
        """Mean of each arm, shape `(n_arms,)`, by source."""
        return {"probe": self.mean_probe, "free": self.mean_free}

    @property
    def count(self) -> dict[str, FloatArray]:
        """Observations of each arm, older ones counted less, shape `(n_arms,)`, by source."""
        return {"probe": self.count_probe, "free": self.count_free}

    def observe(
        self, row: IntArray, value: FloatArray, now: int, source: Source = "probe", count: IntArray | None = None
    ) -> None:
        """
        Learns what rows showed in round `now`: distinct rows, the mean of `count` observations each (1 by default).
        """
        seen = np.isfinite(value)
        row, value = row[seen], value[seen]
        n = np.ones(len(row)) if count is None else count[seen].astype(float)
        if len(row) == 0:
            return
        arm, weight = self.arm[row], self._weight(row, now)
        noise, between = self.variances()
        shrunk = self._shrink(weight, noise, between) * self.own[row]
        # The arm's mean: rows that are far from it because they are themselves do not move it.
        mean, counted = self.mean[source], self.count[source]
        shift = group_mean(value - shrunk - np.nan_to_num(mean[arm]), arm, self.n_arms)
        here = np.bincount(arm, minlength=self.n_arms).astype(float)
        moved = here > 0
        gain = here[moved] / (here[moved] + np.where(np.isnan(mean[moved]), 0, counted[moved]))
        mean[moved] = np.nan_to_num(mean[moved]) + gain * shift[moved]
        counted[moved] += here[moved]
        # The row's own part.
        away = value - mean[arm] - self.own[row]
        again = weight > 0
        self.noise_sum += float((away[again] ** 2 / (1 / n[again] + 1 / weight[again])).sum())
        self.noise_count += float(again.sum())
        self.own[row] += away * n / (weight + n)
        self.weight[row] = weight + n
        self.seen_in[row] = now

    def next_round(self) -> None:
        """Lets the arms' means age with the model; rows age by the round in which they were seen."""
        for counted in self.count.values():
            counted *= self.keep
        self.noise_sum *= self.keep
        self.noise_count *= self.keep

    def _weight(self, row: IntArray | slice, now: int) -> FloatArray:
        return self.weight[row] * self.keep ** np.maximum(now - self.seen_in[row], 0).astype(float)

    @staticmethod
    def _shrink(weight: FloatArray, noise: float, between: float) -> FloatArray:
        signal = between * weight
        return np.divide(signal, signal + noise, out=np.zeros_like(signal), where=signal > 0)

    def variances(self) -> tuple[float, float]:
        """Variance of two observations of one row, and between rows of an arm; until rows come again, half each."""
        seen = self.weight > 0
        if seen.sum() <= self.n_arms:
            return 1.0, 1.0  # nothing is known, not even the unit
        total = float((self.own[seen] ** 2).mean())
        mean_inverse = float((1 / self.weight[seen]).mean())
        if self.noise_count < FEW:
            return total / (1 + mean_inverse), total / (1 + mean_inverse)
        noise = self.noise_sum / self.noise_count
        return noise, max(total - noise * mean_inverse, 1e-3 * total)

    def scores(self, now: int) -> FloatArray:
        """Belief about each row in the probe's unit, shape `(size,)`; NaN where nothing is known, not of its arm."""
        noise, between = self.variances()
        return self._means()[self.arm] + self._shrink(self._weight(slice(None), now), noise, between) * self.own

    def _means(self) -> FloatArray:
        """Mean of each arm in the probe's unit; where only rollouts were seen, by the offset of the other arms."""
        probe, free = self.mean["probe"], self.mean["free"]
        if np.isnan(probe).all():
            return free
        offset = np.nanmean(probe - free) if (np.isfinite(probe) & np.isfinite(free)).any() else np.nan
        return np.where(np.isnan(probe), free + offset, probe)

    def uncertainty(self, now: int) -> FloatArray:
        """
        Standard deviation of each row's belief as a share of that of all scores, shape `(size,)`.

        It is 1 and more where nothing speaks for a row; towards 0 its place among all rows is known.
        """
        noise, between = self.variances()
        left = between * (1 - self._shrink(self._weight(slice(None), now), noise, between))
        counted = self.count["probe"] + self.count["free"]
        of_arm = np.divide(noise + between, counted, out=np.full(self.n_arms, noise + between), where=counted > 0)
        means, size = self._means(), np.bincount(self.arm, minlength=self.n_arms)
        known = np.isfinite(means)
        among = np.average((means - np.average(means[known], weights=size[known]))[known] ** 2, weights=size[known]) \
            if known.any() else 0.0  # fmt: skip
        spread = between + among
        return np.sqrt((left + of_arm[self.arm]) / spread) if spread > 0 else np.zeros(len(self.arm))

    def age(self, now: int) -> FloatArray:
        """Rounds since each row was seen, shape `(size,)`; infinite where it never was."""
        return np.where(self.seen_in < 0, np.inf, now - self.seen_in)
