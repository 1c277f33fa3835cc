"""What every rollout method does: it keeps groups."""

import numpy as np

from .batch import Batch
from .case import Case


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


ROLLOUT_METHODS = [it_is_for_grpo, it_keeps_groups_whatever_their_order, missing_rewards_do_not_raise]
