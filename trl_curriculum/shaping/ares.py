import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, huber

from ..pool import Pool
from ..records import Stateful, value_state
from ..registry import option
from ..signals import FloatArray, Rollouts, Tokens, group_mean
from .base import SHAPING, Hooks, Shaper


# By difficulty: hard, middling, easy.
BOUNDS = (1 / 3, 2 / 3)  # of a group's accuracy
MARGIN = np.array([0.35, 0.25, 0.15])  # of the target: how far from it is near enough
CURVE = np.array([4.0, 3.0, 2.0])  # where a penalty turns from square to straight
SOFT = np.array([3.0, 2.5, 2.0])  # temperature of a gain
CAP = np.array([1.2, 1.0, 1.0])  # of the weight
WRONG = np.array([1.0, 0.8, 0.6])  # what a wrong rollout gains of it


@SHAPING.add("ares", paper="arXiv 2510.08457")
@dataclass(frozen=True)
class Ares(Shaper):
    """
    Rewards long hesitation where prompts are hard, and takes it off where they are easy: a port to text.

    The entropy of a window is the mean of `window` tokens in a row, and n is how many windows of a rollout lie above a
    threshold, which is a moving average over earlier batches of the mean of their rollouts' `quantile` of it. A group
    is hard, middling or easy by its accuracy, below 1/3, below 2/3 or above. With n' the rounded mean n of the
    batch's groups of that difficulty, m = max(1, .15 n' to .35 n'), d = n - n', and c the weight, 1.2 times as
    much where it is hard, there is added

        wrong              (.6 easy, .8 middling, 1 hard) c sigmoid((d - m)+ / s)
        right, easy        -c min(1, h((d - m)+) / (m + k))
        right, middling    -c min(1, h((|d| - m)+) / (m + k))
        right, hard        c sigmoid((d + m) / s) where d >= -m, else -c min(1, h(-d - m) / (2 (m + k)))

    with h(x) = x^2 / 2k up to k and x - k/2 beyond; s and k are 2, 2.5, 3 and 2, 3, 4.

    Formulas and constants are those of its code. Left out: images; its list of words that begin a step of reasoning,
    to which the code's windows are bound (the paper's are not); a KL that is weighed by window; the cold start; and
    an adaptive c, which moves by n' minus its own rounded value there. The threshold is the mean of the batch, as in
    the paper; its code takes the median. The first batch only measures. Wrong rollouts gain at least half of what
    they can. Not beside another control of the entropy. Right is a reward above one half.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.shaping import Ares
    >>> from trl_curriculum.signals import Rollouts
    >>> group, reward = np.zeros(4, int), np.array([1.0, 1, 1, 0])  # easy
    >>> measured = {"long": np.array([0.0, 0, 8, 0]), "quantile": np.ones(4)}  # n' = 2, m = 1
    >>> rollouts = Rollouts(group, group, 0, reward=reward, advantage=reward, length=group, measured=measured)
    >>> ares = Ares(weight=1.0).bind(Pool(1), 0)
    >>> ares.observe(rollouts)
    >>> ares.threshold
    1.0
    >>> ares.reward(rollouts)  # h(5) / (m + k) = 4 / 3; .6 / 2
    array([-0. , -0. , -1. ,  0.3])

    ```
    """

    steers_entropy = True

    weight: float = option(0.5, "Most that is added, c.", "code", least=0, most=1e6)
    window: int = option(4, "Tokens of a window.", "code (paper: 4 to 8)", least=1, most=64)
    quantile: float = option(
        0.95, "Quantile of a rollout's windows that the threshold is made of.", "paper", least=0, most=1
    )
    momentum: float = option(0.99, "Share of the old threshold in the new one.", "code", least=0, most=1)
    outcome: str | None = option(None, "Reward function that says what is right; by default the weighted sum.")

    def bind(self, pool: Pool, seed: int) -> Hooks:
        return WindowEntropies(self)


class WindowEntropies(Stateful, Hooks):
    threshold: float = value_state(math.nan, least=0)

    def __init__(self, method: Ares) -> None:
        self.method = method
        self.start(0, 0)

    def measure(self, tokens: Tokens) -> dict[str, torch.Tensor]:
        missing = self.method.window - tokens.mask.shape[1]
        mask, entropy = (
            torch.nn.functional.pad(x, (0, max(0, missing))) for x in (tokens.mask, tokens.entropy.float())
        )
        whole = mask.unfold(1, self.method.window, 1).all(-1)
        value = entropy.unfold(1, self.method.window, 1).mean(-1)
        return {
            "long": (whole & (value > self.threshold)).sum(1),
            "quantile": value.masked_fill(~whole, torch.nan).nanquantile(self.method.quantile, dim=1),
        }

    def observe(self, rollouts: Rollouts) -> None:
        quantile = rollouts.measured["quantile"]
        if np.isfinite(quantile).any():
            now = float(np.nanmean(quantile))
            old, share = self.threshold, self.method.momentum
            self.threshold = now if math.isnan(old) else share * old + (1 - share) * now

    def metrics(self) -> dict[str, float]:
        return {"threshold": self.threshold}

    def reward(self, rollouts: Rollouts) -> FloatArray:
        seen = np.isfinite(rollouts.outcome(self.method.outcome))
        if math.isnan(self.threshold) or not seen.any():
            return np.zeros(len(rollouts))
        right = rollouts.right(self.method.outcome)
        n, accuracy = rollouts.measured["long"], rollouts.mean(np.where(seen, right, np.nan))
        kind = np.digitize(np.where(np.isfinite(accuracy), accuracy, 0.0), BOUNDS)
        starts = rollouts.starts
        of_group = np.where(np.isfinite(accuracy), rollouts.mean(n, where=seen), np.nan)[starts]
        target = np.round(group_mean(of_group, kind[starts], 3))[kind]
        away, margin = n - target, np.maximum(1.0, MARGIN[kind] * target)
        curve, soft, cap = CURVE[kind], SOFT[kind], self.method.weight * CAP[kind]

        def penalty(beyond: FloatArray, share: float = 1.0) -> FloatArray:
            return -cap * np.minimum(1.0, share * huber(curve, np.maximum(beyond, 0.0)) / curve / (margin + curve))

        hard = np.where(away >= -margin, cap * expit((away + margin) / soft), penalty(-away - margin, 0.5))
        of_right = np.select([kind == 2, kind == 1], [penalty(away - margin), penalty(np.abs(away) - margin)], hard)
        of_wrong = WRONG[kind] * cap * expit(np.maximum(away - margin, 0.0) / soft)
        return np.where(right, of_right, np.where(seen, of_wrong, 0.0))
