"""What every rollout method does: it keeps groups, and comes to an end."""

import numpy as np

from ..records import PoolMapping
from ..rollouts.made import Made
from .batch import Batch
from .case import Case, through_disk


def it_is_for_grpo(case: Case) -> None:
    assert case.method.trainers == ("GRPO",)


def it_keeps_groups_whatever_their_order(case: Case) -> None:
    batch = Batch()
    kept = case.method.keep(batch.rollouts)
    assert kept.shape == (6,) and kept.dtype == bool
    groups = np.array([3, 0, 5, 1, 2, 4])
    order = np.concatenate([4 * k + np.array([2, 0, 3, 1]) for k in groups])
    assert case.method.keep(batch.permuted(order).rollouts).tolist() == kept[groups].tolist()


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


ROLLOUT_METHODS = [
    what_is_stored_counts_whatever_the_order,
    shares_use_up_the_batch,
    it_is_for_grpo,
    it_keeps_groups_whatever_their_order,
    missing_rewards_do_not_raise,
    tries_come_to_an_end,
    advantages_are_scaled_by_a_factor,
]
