import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..data.names import shown
from ..pool import Pool
from ..records import PoolMapping, arm_state, value_state
from ..registry import option
from ..signals import Feedback, FloatArray, IntArray
from .base import CURRICULA, Curriculum, CurriculumMethod
from .outlook import Outlook
from .parts.gaussians import Gaussians, need_sklearn
from .parts.queues import Queues, queues_of


@CURRICULA.add(
    "alp_gmm",
    paper="arXiv 1910.07224",
    signal="absolute learning progress over parameters of tasks: how far a reward is from that of the nearest before",
)
@dataclass(frozen=True)
class ALPGMM(CurriculumMethod):
    r"""
    ALP-GMM: samples the parameters of tasks where rewards change most, up or down.

    Each draw is an episode: a task with parameters x, scaled to [0, 1], of which r is the mean reward. With x' the
    nearest earlier task, of equally near ones the last,

    $$ \mathrm{ALP}(x) = |r - r_{x'}|, $$

    and 0 where there is none. After every N episodes mixtures of 2 to K Gaussians are fitted to (x, ALP) of the last
    N, and the one with the smallest AIC is kept. A draw takes a Gaussian in proportion to its mean ALP, a point of it,
    and the task that is nearest to that; with a probability of `random`, and before the first fit, any task.

    Parameters are numbers that rows have: `arms: [min_terms, max_digits]` gives each arm two. In the paper they are
    continuous and a task is made of them; here the task is one that there is, its rows come from a shuffled queue or
    from a stream of its own, and a random draw is uniform over tasks, not over the box of parameters.

    Not with two or three levels, where a bandit learns as much and sooner; and |r - r'| of G rollouts is noise to a
    large part: a coin flip has an ALP of about .56 / sqrt(G) for ever.

    Source: Portelas et al. 2019, arXiv 1910.07224, and its code (N = 250, K = 10, 20 % random).

    Example:

    ```python
    >>> from trl_curriculum import Pool
    >>> from trl_curriculum.curricula import ALPGMM
    >>> pool = Pool(4, arm=[0, 1, 1, 2], arm_names=["2/1", "2/3", "4/3"])
    >>> ALPGMM().bind(pool).points.tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]

    ```
    """

    every: int = option(250, "Episodes N between two fits, and that a fit looks back.", "the paper's", least=3)
    most: int = option(10, "Gaussians of a mixture at most, K.", "the paper's", least=2, most=100)
    random: float = option(0.2, "Probability of any task.", "the paper's", least=0, most=1)
    parameters: Literal["arms", "difficulty"] = option(
        "arms", "Where numbers come from: the names of the arms, or `difficulty_column`."
    )
    outcome: str | None = option(None, "Reward function that is followed; default: the weighted sum of all.")

    follows = ("reward",)
    trainers = ("GRPO",)


class ALPGMMCurriculum(Curriculum, of=ALPGMM):
    """[`ALPGMM`] over a pool."""

    takes_streams = True
    method: ALPGMM
    reward: FloatArray = arm_state(np.nan)  # of the last episode of a task
    seen_at: IntArray = arm_state(-1, np.int64, -1)  # its draw
    episodes: int = value_state(0, least=0)  # since the last fit
    fits: int = value_state(0, least=0)

    def __init__(self, method: ALPGMM, pool: Pool, seed: int = 0) -> None:
        need_sklearn(method.name)
        self.points, self.task, self._names = _tasks(pool, method)
        super().__init__(method, pool, seed)
        by_arm = method.parameters == "arms"
        self.queues = queues_of(pool, self.rng) if by_arm else Queues(self.task, len(self.points), self.rng)
        self.gaussians = Gaussians(self.points.shape[1], method.every, method.most)

    @property
    def arm_names(self) -> tuple[str, ...]:
        return self._names

    @property
    def row_arm(self) -> IntArray:
        return self.task

    @property
    def choice(self) -> int:
        return self.fits

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        every = None if rows is None else math.ceil(self.method.every / rows)
        events = () if every is None or batches is None else range(every + 1, batches + 1, every)
        few = f"{len(self.points)} different tasks: a bandit over arms, such as 'sec', learns of so few sooner"
        return Outlook(
            acts_at=None if every is None else every + 1,
            remedy=f"set every to at most {max((batches or 0) * (rows or 0) // 4, 3)}",
            event="fit",
            events=tuple(events[:1000]),
            odd=(few,) if len(self.points) < self.method.most else (),
        )

    def _pick(self, n: int) -> tuple[IntArray, IntArray, FloatArray]:
        task = self.rng.integers(len(self.points), size=n)
        led = np.flatnonzero(self.rng.random(n) >= self.method.random)
        if len(self.gaussians) and len(led):
            for k, point in zip(led, np.clip(self.gaussians.sample(self.rng, len(led)), 0, 1), strict=True):
                task[k] = ((self.points - point) ** 2).sum(axis=1).argmin()
        return self.queues.pop(task), task, np.full(n, np.nan)

    def observe(self, feedback: Feedback) -> None:
        first = np.unique(feedback.draw, return_index=True)[1]
        reward = feedback.mean(feedback.outcome(self.method.outcome))[first]
        seen = np.isfinite(reward)
        task, draw, reward = self.task[feedback.row[first][seen]], feedback.draw[first][seen], reward[seen]
        if len(task) == 0:
            return
        point = self.points[task]
        self.gaussians.add(point, np.abs(reward - self._before(point, reward)))
        self.reward[task], self.seen_at[task] = reward, draw
        self.episodes += len(task)
        if self.episodes >= self.method.every:
            self.gaussians.fit(int(self.rng.integers(2**31)))
            self.episodes, self.fits = 0, self.fits + 1

    def _before(self, point: FloatArray, otherwise: FloatArray) -> FloatArray:
        """Reward of the nearest earlier task of each point, shape `(n,)`; `otherwise` where there is none."""
        seen = np.flatnonzero(self.seen_at >= 0)
        if len(seen) == 0:
            return otherwise
        seen = seen[np.argsort(-self.seen_at[seen], kind="stable")]  # of equally near ones the last comes first
        known = self.points[seen]
        return self.reward[seen[[((known - one) ** 2).sum(axis=1).argmin() for one in point]]]

    def metrics(self) -> dict[str, float]:
        recent = self.gaussians.recent[:, -1]
        values = {"fits": float(self.fits), "gaussians": float(len(self.gaussians))}
        return values | ({"learning_progress": float(recent.mean())} if len(recent) else {})

    def own_mapping(self, mapping: PoolMapping) -> PoolMapping:
        if self.method.parameters == "arms":
            return mapping
        return mapping.with_arms(np.full(len(self.points), -1))  # tasks are found anew

    def _loaded(self, mapping: PoolMapping | None) -> None:
        if mapping is None and ((self.seen_at >= 0) != np.isfinite(self.reward)).any():
            raise self.damaged("reward")
        remembered = self.method.every if self.fits else min(self.method.every, self.episodes)
        if mapping is None and len(self.gaussians.recent) != remembered:
            raise self.damaged("recent")


def _tasks(pool: Pool, method: ALPGMM) -> tuple[FloatArray, IntArray, tuple[str, ...]]:
    """Parameters of each task, each scaled to [0, 1], shape `(tasks, d)`, the task of each row, and their names."""
    if method.parameters == "difficulty":
        if pool.difficulty is None:
            raise ValueError(f"Curriculum {method.name!r} with parameters='difficulty' needs a difficulty_column.")
        middle = np.nan_to_num(pool.difficulty, nan=float(np.nanmedian(pool.difficulty)))
        values, task = np.unique(middle, return_inverse=True)
        value, names = values[:, None], tuple(f"{one:g}" for one in values)
    else:
        found = [_numbers(name, method) for name in pool.arm_names]
        if odd := [name for name, one in zip(pool.arm_names, found, strict=True) if len(one) != len(found[0])]:
            raise ValueError(
                f"Curriculum {method.name!r} needs as many numbers of each arm, and {shown(odd[0])!r} has others than "
                f"{shown(pool.arm_names[0])!r}: name the same columns for all."
            )
        value, task, names = np.array(found), np.asarray(pool.arm), pool.arm_names
    least, most = value.min(axis=0), value.max(axis=0)
    return (value - least) / np.where(most > least, most - least, 1), task, names


def _numbers(name: str, method: ALPGMM) -> list[float]:
    try:
        found = [float(part) for part in name.split("/")]
    except ValueError:
        found = [math.nan]
    if not np.isfinite(found).all():
        raise ValueError(
            f"Curriculum {method.name!r} samples numbers that arms are named by, and the arm {shown(name)!r} is named "
            "by none: name columns of numbers (arms: [min_terms, max_digits]), or set parameters: difficulty."
        )
    return found
