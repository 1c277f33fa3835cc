"""What every rollout method does, in each hook that it has."""

import functools
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from ..records import PoolMapping
from ..rewriting import Moment
from ..rollouts.base import overrides
from ..rollouts.made import Made
from .batch import Batch
from .case import Case, through_disk


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


def tries_come_to_an_end(case: Case) -> None:
    for kept in (0, 3):
        first = case.method.again(Made(needed=4, tries=1, groups=4, kept=kept, tokens=100))
        assert 0 <= first <= 4, "a try is at most a whole batch"
        assert case.method.again(Made(needed=4, tries=10**6, groups=10**7, kept=kept, tokens=10**9)) == 0


def advantages_are_scaled_by_a_factor(case: Case) -> None:
    for groups, kept in ((4, 4), (8, 5), (8, 0)):
        factor = case.method.weight(Made(needed=4, tries=2, groups=groups, kept=kept, tokens=100))
        assert np.isfinite(factor) and factor > 0
    assert case.method.weight(Made(needed=4, tries=1, groups=4, kept=4, tokens=100)) == 1


def shares_use_up_the_batch(case: Case) -> None:
    """Each row gets a group at least; what was learnt continues, and a group without rewards teaches nothing."""
    sharing = case.method.share(10, 4)
    if sharing is None:
        return
    row = np.array([3, 1, 4, 1])
    for n in (len(row), 11):
        assert 1 <= sharing.rows(n) <= n
        times = sharing.times(row, n)
        assert times.shape == row.shape and times.min() >= 1 and times.sum() == n
    fresh = case.method.share(10, 4)
    sharing.observe(Batch(np.full(24, np.nan)).rollouts)
    assert (sharing.times(row, 11) == fresh.times(row, 11)).all()
    sharing.observe(Batch().rollouts)
    fresh.load_state_dict(through_disk(sharing.state_dict()))
    assert (sharing.times(row, 11) == fresh.times(row, 11)).all()
    moved = PoolMapping(np.r_[np.arange(5), -1, np.arange(5, 10)], np.zeros(0, int), 10)
    larger = case.method.share(11, 4)
    larger.load_state_dict(through_disk(sharing.state_dict()), moved)
    assert (larger.times(np.array([3, 1, 4, 1, 10]), 11) == sharing.times(np.array([3, 1, 4, 1, 9]), 11)).all()


def what_is_stored_counts_whatever_the_order(case: Case) -> None:
    memory, again = case.method.remember(), case.method.remember()
    if memory is None:
        return
    batch, order = Batch(), np.random.default_rng(1).permutation(24)
    worth = memory.worth(batch.rollouts)
    assert worth.shape == (24,) and worth.dtype == bool
    assert memory.worth(batch.permuted(order).rollouts).tolist() == worth[order].tolist()
    assert not worth[:8].any(), "groups whose rewards are all equal teach nothing"
    assert not memory.worth(Batch(np.full(24, np.nan)).rollouts).any()
    reward, advantage = np.array([0.0, 0.4, 1.0]), np.array([-1.0, 0.5, 1.0])
    for seen in (Batch(np.full(24, np.nan)), batch):
        counts = memory.advantage(reward, advantage, step=3)
        assert counts.shape == (3,) and np.isfinite(counts).all()
        memory.observe(seen.rollouts)
    again.load_state_dict(through_disk(memory.state_dict()))
    expected = memory.advantage(reward, advantage, step=3)
    np.testing.assert_array_equal(again.advantage(reward, advantage, step=3), expected)


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
    what_is_stored_counts_whatever_the_order,
    shares_use_up_the_batch,
    tries_come_to_an_end,
    advantages_are_scaled_by_a_factor,
]
