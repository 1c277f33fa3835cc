"""Prefix entropies of rollouts by themselves: whose they are, which tokens count, and when they are gathered."""

from typing import Any

import numpy as np
import pytest
import torch

from trl_curriculum.probes import PrefixEntropy
from trl_curriculum.signals import Rollouts
from trl_curriculum.trainers.late_entropy import LatePrefixEntropy, label


SPEC = PrefixEntropy(length=2, token_share=1, unit="nats")


def rollouts(row: list[int], draw: list[int]) -> Rollouts:
    nothing = np.full(len(row), np.nan)
    return Rollouts(np.array(row), np.array(draw), reward=nothing, advantage=nothing, length=nothing, step=0)


def batch(shown: Rollouts, mask: list[list[int]], **more: Any) -> dict[str, Any]:
    output = {"advantages": torch.zeros(len(shown)), "completion_mask": torch.tensor(mask), **more}
    label(output, shown, slice(None))
    return output


def see(late: LatePrefixEntropy, inputs: dict[str, Any], entropies: list[list[float]]) -> None:
    late.token_entropies = torch.tensor(entropies, requires_grad=True)
    late.see(inputs)


def test_each_process_labels_its_own_rollouts() -> None:
    output = {"advantages": torch.zeros(2)}
    label(output, rollouts([7, 7, 9, 9], [4, 4, 5, 5]), slice(2, 4))
    assert output["curriculum_row"].tolist() == [9, 9] and output["curriculum_draw"].tolist() == [5, 5]


def test_the_first_tokens_that_count_are_averaged() -> None:
    late = LatePrefixEntropy(SPEC)
    inputs = batch(rollouts([7, 8, 9], [0, 1, 2]), [[1, 1, 1], [1, 0, 0], [0, 0, 0]])
    see(late, inputs, [[1.0, 2.0, 9.0], [3.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    taken = late.take()
    assert taken is not None
    row, draw, score = taken
    assert row.tolist() == [7, 8, 9] and draw.tolist() == [0, 1, 2]
    assert score[:2].tolist() == [1.5, 3.0] and np.isnan(score[2])  # a masked rollout shows nothing


def test_tokens_that_tools_wrote_do_not_count() -> None:
    late = LatePrefixEntropy(SPEC)
    inputs = batch(rollouts([7], [0]), [[1, 1, 1, 1]], tool_mask=torch.tensor([[1, 0, 0, 1]]))
    see(late, inputs, [[1.0, 9.0, 9.0, 2.0]])
    taken = late.take()
    assert taken is not None and taken[2].tolist() == [1.5]


def test_a_step_is_gathered_once_and_in_the_order_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def gather(tensor: torch.Tensor) -> torch.Tensor:
        calls.append(len(tensor))
        return tensor

    monkeypatch.setattr("trl_curriculum.trainers.late_entropy.gather", gather)
    late = LatePrefixEntropy(SPEC)
    assert late.take() is None and not calls, "a collective though there is nothing to say"
    for row, draw, value in ((7, 2, 0.5), (8, 1, 1.0)):
        see(late, batch(rollouts([row], [draw]), [[1]]), [[value]])
    taken = late.take()
    assert taken is not None and [part.tolist() for part in taken] == [[8, 7], [1, 2], [1.0, 0.5]]
    assert calls == [2, 2]  # where, and how much
    assert late.take() is None


def test_what_a_resume_forgets() -> None:
    late = LatePrefixEntropy(SPEC)
    see(late, batch(rollouts([7], [0]), [[1]]), [[1.0]])
    late.clear()
    assert late.take() is None
