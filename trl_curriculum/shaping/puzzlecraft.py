from dataclasses import dataclass

import numpy as np

from ..registry import option
from ..rewards.answers import answer_hash
from ..signals import FloatArray, IntArray, Rollouts
from .base import SHAPING, Shaper


@SHAPING.add("puzzlecraft", paper="arXiv 2512.14944")
@dataclass(frozen=True)
class PuzzleCraft(Shaper):
    r"""
    Weighs a group by how undecided it is: neither solved nor failed, and with answers that differ.

    Every advantage of a group of G rollouts is multiplied by

        lambda d (1 - d) s^gamma,   s = (distinct answers - 1) / (G - 1)

    where d is the group's mean reward. The paper's s for text is this or the entropy of the answers over log K; an
    answer is the last `\boxed{}`, else the last `<answer></answer>`, else the last line. A soft alternative to
    leaving out groups whose rewards are all equal (`rollouts: refill`): groups near 0 and 1 count less.

    Rewards must lie in [0, 1]; with several reward functions name the one that says *right* in `outcome`. Where
    answers are free text hardly two are the same, and `gamma: 0` leaves s out.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.shaping import PuzzleCraft
    >>> from trl_curriculum.signals import Rollouts
    >>> reward = np.array([1., 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1])
    >>> group = np.repeat([0, 1, 2], 4)
    >>> rollouts = Rollouts(group, group, step=0, reward=reward, advantage=np.ones(12), length=group)
    >>> PuzzleCraft(gamma=0.0).advantage(rollouts)[::4]  # a quarter, a half and all right
    array([0.75, 1.  , 0.  ])

    ```
    """

    scale: float = option(4.0, "Factor lambda: with 4 the weight is at most 1.", "paper", above=0, most=1e6)
    gamma: float = option(0.5, "Exponent of how much answers differ; 0 leaves that out.", "paper", least=0)
    outcome: str | None = option(None, "Reward function that d is the mean of; by default the weighted sum.")

    def read(self, texts: list[str]) -> dict[str, FloatArray]:
        return {"answer": np.array([answer_hash(text) for text in texts], np.float64)}

    def advantage(self, rollouts: Rollouts) -> FloatArray:
        right = np.nan_to_num(rollouts.mean(rollouts.success(self.outcome)))
        weight = self.scale * right * (1 - right)
        if self.gamma > 0:
            weight = weight * dispersion(rollouts.measured["answer"], rollouts.group) ** self.gamma
        return rollouts.advantage * weight


def dispersion(answer: FloatArray, group: IntArray) -> FloatArray:
    """(distinct answers - 1) / (answers - 1) of each one's group: 0 where all agree, 1 where no two do."""
    size = np.bincount(group)
    distinct = np.bincount(np.unique(np.stack([group, answer]), axis=1)[0].astype(int))
    return ((distinct - 1) / np.maximum(size - 1, 1))[group]
