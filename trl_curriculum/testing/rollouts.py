"""What every rollout method does, in each hook that it has."""

import functools
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from ..rewriting import Moment
from ..rollouts.base import overrides
from .batch import Batch
from .case import Case


GROUPS = np.array([3, 0, 5, 1, 2, 4])
ORDER = np.concatenate([4 * k + np.array([2, 0, 3, 1]) for k in GROUPS])  # groups, and rollouts inside each


def only(hook: str) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Skips an invariant of a hook for methods that do not have it."""

    def wrap(invariant: Callable[[Case], None]) -> Callable[[Case], None]:
        @functools.wraps(invariant)
        def checked(case: Case) -> None:
            if not overrides(case.method, hook):
                pytest.skip(f"it has no {hook}")
            invariant(case)

        return checked

    return wrap


def it_is_for_grpo(case: Case) -> None:
    assert case.method.trainers == ("GRPO",)


@only("rewrite")
def a_prompt_depends_on_row_and_moment_alone(case: Case) -> None:
    row = {"prompt": "What is 1 + 1?", "answer": "2"}
    chat = row | {"prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": row["prompt"]}]}
    longest = case.method.longest(dict(row))["prompt"]
    for k in range(20):
        moment, given = Moment(row=k, step=2 * k, progress=k / 20, seed=7), dict(row)
        made = case.method.rewrite(given, moment)
        assert given == row, "the row itself was changed"
        assert made == case.method.rewrite(dict(row), moment)
        assert set(made) == {*row, *case.method.columns} and made["answer"] == "2"
        assert len(made["prompt"]) <= len(longest)
        *others, last = case.method.rewrite(dict(chat), moment)["prompt"]
        assert others == chat["prompt"][:-1] and last == {"role": "user", "content": made["prompt"]}


@only("temperature")
def temperatures_are_positive(case: Case) -> None:
    assert all(case.method.temperature(done) > 0 for done in np.linspace(0, 1, 11))


@only("branch")
def branches_share_what_is_there(case: Case) -> None:
    assert case.method.first >= 1
    for n in (1, 3, 50):
        entropy, usable = np.random.default_rng(n).uniform(0, 4, n), np.arange(n) % 2 == 0
        chosen = {case.method.branch(entropy, usable, np.random.default_rng(k)) for k in range(9)}
        assert all(usable[one] for one in chosen)
        assert case.method.branch(entropy, np.zeros(n, dtype=bool), np.random.default_rng(0)) == 0


@only("truncate")
def cuts_leave_a_part_whatever_the_order(case: Case) -> None:
    for reward in (Batch().reward, np.ones(24), np.full(24, np.nan)):
        batch = Batch(reward)
        kept = case.method.truncate(batch.rollouts)
        assert kept.shape == (24,) and np.issubdtype(kept.dtype, np.integer)
        assert (kept >= 1).all() and (kept <= batch.length).all()
        assert case.method.truncate(batch.permuted(ORDER).rollouts).tolist() == kept[ORDER].tolist()


def it_keeps_groups_whatever_their_order(case: Case) -> None:
    batch = Batch()
    kept = case.method.keep(batch.rollouts)
    assert kept.shape == (6,) and kept.dtype == bool
    assert case.method.keep(batch.permuted(ORDER).rollouts).tolist() == kept[GROUPS].tolist()


def missing_rewards_do_not_raise(case: Case) -> None:
    reward = Batch().reward.copy()
    reward[9:15] = np.nan
    assert case.method.keep(Batch(reward).rollouts).shape == (6,)
    case.method.keep(Batch(np.full(24, np.nan)).rollouts)


@only("explore")
def hot_answers_are_for_low_entropies(case: Case) -> None:
    found = [case.method.explore(entropy) for entropy in (0.0, 0.1, 1.0, 30.0)]
    assert all(0 < one.groups <= 1 and 0 < one.most <= 1 and one.least >= 0 and 0 < one.taken <= 1 for one in found)
    assert all(hot.temperature >= cold.temperature > 0 for hot, cold in pairwise(found))


ROLLOUT_METHODS = [
    it_is_for_grpo,
    a_prompt_depends_on_row_and_moment_alone,
    temperatures_are_positive,
    branches_share_what_is_there,
    cuts_leave_a_part_whatever_the_order,
    it_keeps_groups_whatever_their_order,
    missing_rewards_do_not_raise,
    hot_answers_are_for_low_entropies,
]
