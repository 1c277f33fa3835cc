from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..records import row_state
from ..registry import option
from ..signals import FloatArray, IntArray, Rollouts
from .base import ROLLOUTS, RolloutMethod
from .sharing import Sharing


@ROLLOUTS.add("allocation", paper="arXiv 2510.01037")
@dataclass(frozen=True)
class Allocation(RolloutMethod):
    """
    Draws fewer rows than a batch has groups, and gives more rollouts to those about which they say most.

    The curriculum draws a share `rows` of the batch's groups. Each row gets a group of `num_generations` rollouts,
    and each further group goes to the row whose objective grows most by it, with n its rollouts and p the belief
    about its success rate:

        cures:     - p (1 - p) / n                                which n in proportion to sqrt(p (1 - p)) makes best
        knapsack:  (1 - p^n - (1 - p)^n) p (1 - p)^2              a group with two different rewards, times its gain

    Both grow ever more slowly, so that the best next step leads to the best shares. All rollouts of a row are one
    group: advantages are taken over all of them and multiplied by mean(n) / n_i, so that rows count alike and the
    gradient is as CurES estimates it. The curriculum sees each group as a draw of its own, with TRL's advantages.

    p is the mean of a Beta posterior of each row, whose prior is 1 and 1; at each visit what earlier ones have shown
    is first multiplied by `memory`. CurES's weights by norms of gradients are left out (it reduces to this where those
    of right and wrong answers are equal), and its posterior starts afresh every few steps instead; its code rounds
    each share, and so does not keep to the sum. Knapsack RL (arXiv 2509.25849) allocates single rollouts, 2 at least,
    by the rates that a task has shown last.

    Rewards must lie in [0, 1], or name the one in `outcome`. Rows that are rarely drawn twice are all alike to it, and
    get equal shares. A batch has fewer different rows: not for small batches.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.rollouts import Allocation
    >>> shares(np.array([0.5, 0.5, 0.98]), 7, 4, "cures").tolist()
    [3, 3, 1]
    >>> shares(np.array([0.5, 0.1, 0.98]), 7, 4, "knapsack").tolist()
    [2, 4, 1]

    ```
    """

    rows: float = option(0.5, "Rows that are drawn, as a share of the groups of a batch.", above=0, below=1)
    rule: Literal["cures", "knapsack"] = option("cures", "What the rollouts are to make largest.")
    memory: float = option(
        0.5, "Factor of what earlier visits to a row have shown, at each visit.", "ours; CurES: 1", least=0, most=1
    )
    outcome: str | None = option(None, "Reward function that says what success is; by default the weighted sum.")

    def refuse(self, args: Any) -> None:
        if args.multi_objective_aggregation == "normalize_then_sum":
            raise ValueError(
                "allocation takes advantages over several groups, which multi_objective_aggregation="
                "'normalize_then_sum' makes of each reward function: use 'sum_then_normalize'."
            )
        groups = args.generation_batch_size // args.num_generations
        if groups < 2:
            raise ValueError(
                f"allocation shares the groups of a batch out, and a batch of {args.generation_batch_size} rollouts "
                f"with num_generations={args.num_generations} is one group: make it larger."
            )

    def share(self, size: int, generations: int) -> Sharing:
        return Allocator(self, size, generations)


class Allocator(Sharing):
    """[`Allocation`] over the rows of a pool, with groups of so many rollouts."""

    successes: FloatArray = row_state(0.0, np.float64, least=0)
    failures: FloatArray = row_state(0.0, np.float64, least=0)

    def __init__(self, method: Allocation, size: int, generations: int) -> None:
        self.method, self.generations = method, generations
        self.start(size, 0)

    def rows(self, n: int) -> int:
        return max(1, int(self.method.rows * n))

    def times(self, row: IntArray, n: int) -> IntArray:
        drawn, first, draws = np.unique(row, return_index=True, return_counts=True)
        by_draw = np.argsort(first)  # of rows that are alike the first one comes first
        drawn, first, draws = drawn[by_draw], first[by_draw], draws[by_draw]
        rate = (1 + self.successes[drawn]) / (2 + self.successes[drawn] + self.failures[drawn])
        times = np.ones(len(row), np.int64)
        times[first] += shares(rate, n, self.generations, self.method.rule, draws) - draws
        return times

    def observe(self, rollouts: Rollouts) -> None:
        success = rollouts.success(self.method.outcome)
        seen = np.isfinite(success)
        rows, group = np.unique(rollouts.row[seen], return_inverse=True)
        won = np.bincount(group, success[seen], minlength=len(rows))
        self.successes[rows] = self.method.memory * self.successes[rows] + won
        self.failures[rows] = self.method.memory * self.failures[rows] + np.bincount(group) - won


def shares(rate: FloatArray, n: int, generations: int, rule: str, least: IntArray | None = None) -> IntArray:
    """
    Groups of each row, of `n` in all.

    Args:
        rate (`FloatArray`, shape `(rows,)`):
            Belief about the success rate of each, in (0, 1).
        n (`int`):
            Groups to share out.
        generations (`int`):
            Rollouts of a group.
        rule (`str`):
            `"cures"` or `"knapsack"`.
        least (`IntArray`, shape `(rows,)`, *optional*):
            Groups that each gets in any case; by default one.
    """
    given = np.ones(len(rate), np.int64) if least is None else least.copy()

    def objective(groups: IntArray) -> FloatArray:
        rollouts = groups * generations
        if rule == "cures":
            return -rate * (1 - rate) / rollouts
        return (1 - rate**rollouts - (1 - rate) ** rollouts) * rate * (1 - rate) ** 2

    for _ in range(n - int(given.sum())):
        given[np.argmax(objective(given + 1) - objective(given))] += 1
    return given
