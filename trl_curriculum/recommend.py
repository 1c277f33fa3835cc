"""Which method a pool and a run speak for, and why: a suggestion from what was measured here, never a default."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from trl import SFTConfig

from .curricula import CURRICULA, CurriculumMethod
from .curricula.placebo import Placebo
from .pool import Pool
from .registry import Spec
from .rewards import REWARDS
from .rewards.base import Accuracy
from .rollouts import ROLLOUTS
from .trainers.sizes import grpo_run, sft_run


MOST_ARMS = 64  # a bandit learns of each by itself
PULLS = 20  # draws of an arm in the run, from which on a bandit has something to learn from (the demo: 27)
PASSES = 2.0  # over the pool, from which on a row's own past says something


@dataclass(frozen=True)
class Recommendation:
    """
    A suggestion.

    Args:
        curriculum (`str` or `dict`):
            As a recipe spells it.
        reason (`str`):
            Why, in a sentence.
        rollouts (`tuple`, *optional*):
            Methods of making rollouts that go with it.
        arms (`str`, *optional*):
            The column to take as arms, where it is not set.
    """

    curriculum: str | dict[str, Any]
    reason: str
    rollouts: tuple[str, ...] = ()
    arms: str | None = None

    def __str__(self) -> str:
        named = {"curriculum": self.curriculum, "arms": self.arms, "rollouts": list(self.rollouts)}
        given = ", ".join(f"{name}: {_spell(value)}" for name, value in named.items() if value)
        return f"{given}; {self.reason} (never a default: docs/choose.md)"


def recommend(pool: Pool, args: Any, rewards: Sequence[Any] = (), processes: int = 1) -> Recommendation:
    """
    Suggests a method by the rules of `docs/choose.md`.

    Args:
        pool ([`Pool`]):
            Rows to choose from.
        args ([`CurriculumGRPOConfig`] or [`CurriculumSFTConfig`]):
            The run's arguments; what they set as methods does not count.
        rewards (`Sequence`, *optional*):
            Reward functions of GRPO, by name or as objects.
        processes (`int`, *optional*, defaults to `1`):
            How many there are.

    Example:

    ```python
    >>> from trl_curriculum import CurriculumGRPOConfig, Pool
    >>> from trl_curriculum.recommend import recommend
    >>> args = CurriculumGRPOConfig("out", max_steps=100, use_cpu=True, bf16=False)
    >>> pool = Pool(600, arm=[0, 1] * 300, arm_names=["easy", "hard"])
    >>> recommend(pool, args, ["math_accuracy"]).curriculum
    {'sec': {'tau': 0.2}}

    ```
    """
    if isinstance(args, SFTConfig):
        return _of_sft(pool, _sft_passes(pool, args, processes))
    run = grpo_run(args, pool.size, processes)
    draws = (run.batches or 0) * (run.rows or 0)
    verified = any(_is_verified(one) for one in rewards)
    return _of_grpo(pool, args, draws, verified, not verified and any(_is_model(one) for one in rewards))


def suggestion(
    pool: Pool, args: Any, method: CurriculumMethod, rewards: Sequence[Any], processes: int
) -> dict[str, str]:
    """The suggestion as a line of what a dry run prints; none for a placebo, which nobody takes for its own sake."""
    if isinstance(method, Placebo):
        return {}
    found = recommend(pool, args, rewards, processes)
    return {"suggestion": f"as set: {found.reason}" if _is_set(found, args) else str(found)}


def _of_grpo(pool: Pool, args: Any, draws: int, verified: bool, judged: bool) -> Recommendation:
    """`verified`: a reward is 0 or 1 by whether an answer is right; `judged`: none is, and a model judges."""
    arms, column = (1, None) if pool.estimated is not None else (pool.n_arms, None)
    if arms == 1 and pool.difficulty is not None and pool.estimated is None:
        arms, column = len(np.unique(pool.difficulty)), args.difficulty_column
    graded = verified and column is not None and arms > 1
    refill = _refill(args)
    if judged:
        return Recommendation("uniform", "a model judges, and an arm that pays by chance takes 64 % of SEC's prompts")
    if 1 < arms <= MOST_ARMS:
        if draws >= PULLS * arms:
            levels = f", its {arms} levels" if column else ""
            return Recommendation(
                {"sec": {"tau": 0.2}},
                f"{arms} arms{levels}, each drawn {draws / arms:.0f} times were all alike: +.122 AUC over uniform on "
                "the ladder, where most are always or never solved; nothing where most can be learned",
                arms=column,
            )
        if not graded:
            few = f"{draws:,} draws of {arms} arms are {draws / arms:.1f} each: a bandit learns nothing"
            return Recommendation("uniform", few, refill)
    none = f"{arms:,} arms, too many to learn of each" if pool.n_arms > 1 and arms > 1 else "no arms"
    if draws >= PASSES * pool.size and "mopps" in CURRICULA.names():
        return Recommendation(
            "mopps",
            f"{none}, and rows come back {draws / pool.size:.1f} times: +.059 AUC over uniform on the ladder without "
            "labels, +.072 with a refill, where SEC with labels has +.092",
        )
    often = f"a row is drawn {draws / pool.size:.2g} times"
    if graded:
        return Recommendation(
            "adarft",
            f"a difficulty of {arms:,} levels, and {often}: above uniform and its placebo in four of seven worlds of "
            "simulated learners, below in one (not measured on language models); not where the easiest rows are out "
            "of reach",
        )
    if verified and refill:
        return Recommendation(
            "uniform",
            f"{none}, and {often}: in place of choosing rows, groups that earn all or nothing are drawn anew, if "
            "frac_zero_variance is high",
            refill,
        )
    return Recommendation("uniform", f"{none}, and {often}: estimated arms gained +.019 ± .036, and +.037 once more")


def _of_sft(pool: Pool, passes: float | None) -> Recommendation:
    if passes is None:
        return Recommendation("uniform", "how often a row comes is not known before tokens are counted")
    if passes >= PASSES:
        return Recommendation(
            "evo_curate",
            f"{passes:.1f} passes: +15.7, +14.7 and +2.6 points over uniform on tasks that it was tuned on, −4.4 on "
            "another; not with many wrong labels",
        )
    if passes <= 0.5:
        return Recommendation(
            "edco",
            f"{passes:.2g} of a pass: there is time for the rows that the model is least certain of; above uniform in "
            "four of seven worlds of simulated learners (not measured on language models)",
        )
    known = "; a mix of sources that you know is `mixture`" if pool.n_arms > 1 else ""
    return Recommendation("uniform", f"{passes:.1f} passes: too few for a row's own past to say much{known}")


def _sft_passes(pool: Pool, args: Any, processes: int) -> float | None:
    run = sft_run(args, pool.size, processes)
    if run.steps is not None and run.rows is not None:
        return run.steps * run.rows / pool.size
    by_epochs = args.max_steps <= 0 and args.max_tokens is None
    return float(args.num_train_epochs) if by_epochs else None


def _is_verified(reward: Any) -> bool:
    """Whether a reward is 0 or 1 by whether an answer is right."""
    if isinstance(reward, str) and reward in REWARDS.names():
        reward = REWARDS.make(reward)
    return isinstance(reward, Accuracy) and not reward.boxed_bonus


def _is_model(reward: Any) -> bool:
    """Whether a model judges: one by its name or path, or an object."""
    return (isinstance(reward, str) and reward not in REWARDS.names()) or hasattr(reward, "config")


def _refill(args: Any) -> tuple[str, ...]:
    try:
        ROLLOUTS.make("refill").refuse(args)
    except ValueError:
        return ()
    return ("refill",)


def _is_set(found: Recommendation, args: Any) -> bool:
    """Whether these methods are set, whatever their options."""

    def name(spec: Spec) -> str:
        return CURRICULA.parse(spec)[0]

    made = {method.name for method in args.rollout_methods}
    return name(found.curriculum) == args.curriculum_method.name and set(found.rollouts) <= made and not found.arms


def _spell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")
