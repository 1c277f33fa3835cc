"""What is believed of the success rate of each row, where rows of one arm are alike, and the model changes."""

import numpy as np
from numpy.typing import NDArray

from ...records import PoolMapping, Stateful, arm_state, row_state, value_state
from ...signals import FloatArray, IntArray


FLAT_MEAN, FLAT_SPREAD = 1 / 2, 1 / 6  # of Beta(1, 1): its mean, and E p(1 - p)
STRENGTH = (0.1, 100.0)  # limits of what an arm can count as, in rollouts (ours): a row can always differ from it


class SuccessBelief(Stateful):
    r"""
    A Beta distribution over the success rate p of each row, whose prior is the row's arm.

    With s the successes of a row in n rollouts, older ones counted less,

    $$ p \sim \operatorname{Beta}(\kappa m + s,\; \kappa (1 - m) + n - s), \quad
    \hat p = \frac{\kappa m + s}{\kappa + n}, \quad
    \mathbb{E}\, p (1 - p) = \hat p (1 - \hat p) \frac{\kappa + n}{\kappa + n + 1}. $$

    - m is the mean success rate of the arm's rows, each of them counted once, as it was when it was seen last.
    - κ, what the arm counts as in rollouts, is estimated too. A group of n rollouts shows its own p(1 - p) without
      bias as s/n (1 - s/n) n/(n - 1). With v the mean of these, m(1 - m) - v is the variance between the arm's rows,
      and κ = v / (m(1 - m) - v): infinite where rows are all alike, 0 where each is either solved or hopeless. It is
      what makes E p(1 - p) of a row that was never seen v, the arm's own, and not m(1 - m), that of its mean. It is
      kept within `STRENGTH`.
    - An arm's m and v begin at the pool's, which count as one row of it; the pool's at those of Beta(1, 1), likewise.
    - What was seen `d` optimizer steps ago counts keep^d: rows fall back to their arm, arms to the pool, where nothing
      is seen of them.

    It is [`SharedBelief`]'s shrinkage, n/(n + κ) with κ = noise / variance between rows, where noise is that of coins.

    Args:
        arm (`IntArray`, shape `(size,)`):
            Arm of each row.
        n_arms (`int`):
            Number of arms.
        keep (`float`):
            How much an observation still counts one optimizer step later.
        flat (`bool`, *optional*, defaults to `False`):
            Whether every row has the prior Beta(1, 1) instead.
    """

    successes: NDArray = row_state(0.0, least=0)  # as of the step in which the row was seen last, as the next
    trials: NDArray = row_state(0.0, least=0)
    seen_at: NDArray = row_state(-1, np.int32, -1)
    rows: FloatArray = arm_state(0.0, least=0)  # that were seen, those of old counted less
    rate: FloatArray = arm_state(0.0, least=0)  # sum of their success rates
    spread: FloatArray = arm_state(0.0, least=0)  # sum of their p(1 - p)
    step: int = value_state(0, least=0, most=2**31 - 1)

    def __init__(self, arm: IntArray, n_arms: int, keep: float, flat: bool = False) -> None:
        self.arm, self.n_arms, self.keep, self.flat = arm, n_arms, keep, flat
        self.start(len(arm), n_arms)

    def observe(
        self, row: IntArray, successes: FloatArray, trials: FloatArray, step: int, retain: float = 1.0
    ) -> None:
        """
        Learns what rows showed in a batch.

        Args:
            row (`IntArray`, shape `(n,)`):
                Distinct rows.
            successes, trials (`FloatArray`, shape `(n,)`):
                Of the rollouts of each; a reward between 0 and 1 is a part of a success.
            step (`int`):
                Optimizer step.
            retain (`float`, *optional*, defaults to `1.0`):
                What is left, whenever a row is seen, of what was seen of it before.
        """
        if step > self.step:
            for total in (self.rows, self.rate, self.spread):
                total *= self.keep ** (step - self.step)
            self.step = step
        arm, left = self.arm[row], self._left(row)
        before = self._shown(row) * left
        self.successes[row] = self.successes[row] * (left * retain) + successes
        self.trials[row] = self.trials[row] * (left * retain) + trials
        self.seen_at[row] = self.step
        moved = self._shown(row) - before
        for total, change in zip((self.rows, self.rate, self.spread), moved, strict=True):
            total += np.bincount(arm, change, self.n_arms)
            np.maximum(total, 0, out=total)  # rounding

    def _left(self, row: IntArray | slice) -> FloatArray:
        """How much of what was seen of rows still counts."""
        ages = np.maximum(self.step - self.seen_at[row], 0)
        return np.ones(len(ages)) if self.keep == 1 else self.keep ** ages.astype(float)

    def _shown(self, row: IntArray | slice) -> FloatArray:
        """What rows add to their arm: 1, their success rate and their p(1 - p), shape `(3, n)`; 0 below 2 rollouts."""
        n = self.trials[row].astype(float)
        counts = n >= 2
        p = np.divide(self.successes[row], n, out=np.zeros(len(n)), where=counts)
        p = np.minimum(p, 1)
        return np.stack([counts, p, p * (1 - p) * np.divide(n, n - 1, out=np.zeros(len(n)), where=counts)])

    def priors(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean m, p(1 - p) of the rows v and strength κ of each arm, shape `(n_arms,)` each."""
        count = 1 + self.rows.sum()
        m = np.full(self.n_arms, (FLAT_MEAN + self.rate.sum()) / count)
        v = np.full(self.n_arms, (FLAT_SPREAD + self.spread.sum()) / count)
        if self.n_arms > 1:
            m, v = (m + self.rate) / (1 + self.rows), (v + self.spread) / (1 + self.rows)
        between = m * (1 - m) - v
        strength = np.divide(v, between, out=np.full(self.n_arms, np.inf), where=between > 0)
        return m, v, np.clip(strength, *STRENGTH)

    def beta(self, row: IntArray | slice) -> tuple[FloatArray, FloatArray]:
        """Both parameters of the rows' Beta distributions, shape `(n,)` each."""
        left = self._left(row)
        s, n = self.successes[row] * left, self.trials[row] * left
        if self.flat:
            return 1 + s, 1 + np.maximum(n - s, 0)
        m, _, strength = self.priors()
        arm = self.arm[row]
        return (strength * m)[arm] + s, (strength * (1 - m))[arm] + np.maximum(n - s, 0)

    def expected_spread(self, row: IntArray | slice) -> FloatArray:
        """E p(1 - p) of rows, shape `(n,)`."""
        a, b = self.beta(row)
        return a * b / ((a + b) * (a + b + 1))

    def of_pool(self, size: IntArray) -> tuple[float, float]:
        """Believed mean of p and of p(1 - p) over all rows, of which `size` belong to each arm."""
        m, v, _ = self.priors()
        return float(np.average(m, weights=size)), float(np.average(v, weights=size))

    def load_state_dict(self, state: dict, mapping: PoolMapping | None = None) -> None:
        super().load_state_dict(state, mapping)
        for name, most in {"successes": self.trials, "rate": self.rows, "spread": self.rows}.items():
            if (getattr(self, name) > most * (1 + 1e-6) + 1e-6).any():  # rounding
                raise self.damaged(name)
        if mapping is not None:  # rows that are gone say nothing of their arm
            shown = self._shown(slice(None)) * self._left(slice(None))
            for total, one in zip((self.rows, self.rate, self.spread), shown, strict=True):
                total[:] = np.bincount(self.arm, one, self.n_arms)
