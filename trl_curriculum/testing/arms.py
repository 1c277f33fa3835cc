"""What every source of arms does: each row belongs to one arm, and each arm has a name."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from ..pool import Pool
from ..signals import Feedback
from .case import Case


def columns() -> dict[str, list[Any]]:
    """Columns of 40 rows: prompts on two subjects, a topic, a level and a vector."""
    subjects = [("apples and pears", [0.0, 1.0]), ("trains and rails", [1.0, 0.0])]
    return {
        "prompt": [f"Tell me about {subjects[k % 2][0]}." for k in range(40)],
        "topic": [subjects[k % 2][0].split()[0] for k in range(40)],
        "level": [k % 4 for k in range(40)],
        "vector": [subjects[k % 2][1] for k in range(40)],
    }


@dataclass(frozen=True)
class ArmCase(Case):
    """
    A source of arms, and what its invariants have to know of it.

    Args:
        columns (`dict[str, list]`, *optional*):
            Columns of the dataset whose rows it puts into arms.
    """

    columns: dict[str, Any] = field(default_factory=columns)

    def try_out(self) -> None:
        if self.method.estimated:
            self.method.bind(20, np.random.default_rng(0))
        else:
            self.method.label(Dataset.from_dict(self.columns))


def each_row_has_one_arm_and_each_arm_a_name(case: ArmCase) -> None:
    if case.method.estimated:
        pytest.skip("its arms are estimated while training")
    dataset = Dataset.from_dict(case.columns)
    arm, names = case.method.label(dataset)
    assert arm.shape == (len(dataset),) and np.issubdtype(arm.dtype, np.integer)
    assert len(set(names)) == len(names) and all(isinstance(name, str) and name for name in names)
    assert set(arm.tolist()) == set(range(len(names))), "an arm has no row, or a row has no arm"
    again, names_again = case.method.label(dataset)
    assert again.tolist() == arm.tolist() and names_again == names


def estimated_arms_follow_what_rows_show(case: ArmCase) -> None:
    if not case.method.estimated:
        pytest.skip("its arms are known before training")
    row = np.arange(20)
    bound = [case.method.bind(20, np.random.default_rng(0)) for _ in range(2)]
    for arms in bound:
        for step in range(12):
            reward = (row % 4) / 3
            arms.observe(
                Feedback(row, row + 20 * step, step, reward=reward, advantage=0 * reward, rewards={"accuracy": reward})
            )
            assert arms.arm.shape == (20,) and set(arms.arm.tolist()) <= set(range(len(arms.names)))
    assert bound[0].arm.tolist() == bound[1].arm.tolist() and len(set(bound[0].arm.tolist())) > 1
    assert Pool(20, estimated=case.method).estimated == case.method


ARMS = [each_row_has_one_arm_and_each_arm_a_name, estimated_arms_follow_what_rows_show]
