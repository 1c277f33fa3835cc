"""What every rollout method must do, built in or plugged in, and how a batch is filled in several tries."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cases import ROLLOUT_METHODS

from trl_curriculum.rollouts import Refill
from trl_curriculum.signals import Rollouts
from trl_curriculum.testing import table
from trl_curriculum.testing.batch import Batch
from trl_curriculum.trainers.refilling import Refilling


test_every_rollout_method = table(ROLLOUT_METHODS)


def test_refill_keeps_groups_with_two_different_rewards() -> None:
    reward = np.array([1, 1, 1, 0, 0, 0, 1, np.nan, 0.1, 0.1, 0.1, np.nan] + 12 * [np.nan])
    assert Refill().keep(Batch(reward).rollouts).tolist() == [True, True, False, False, False, False]
    assert Refill(outcome="half").keep(Batch(reward).rollouts)[0]
    with pytest.raises(ValueError, match="outcome='wrong' names a reward function, and there is no such"):
        Refill(outcome="wrong").keep(Batch(reward).rollouts)


class Attempts:
    """Tries of groups of two, of which as many as it is told are informative; each rollout's tokens are its number."""

    def __init__(self, *informative: list[int]) -> None:
        self.informative, self.asked, self.draws, self.rollouts = list(informative), [], 0, 0

    def __call__(self, n: int) -> tuple[dict[str, Any], Rollouts]:
        good, width = self.informative[len(self.asked)], 3 + len(self.asked)
        self.asked.append(n)
        draw = self.draws + np.repeat(np.arange(n), 2)
        number = self.rollouts + np.arange(2 * n)
        self.draws, self.rollouts = self.draws + n, self.rollouts + 2 * n
        reward = np.where(np.isin(np.arange(n), good)[draw - draw[0]], number % 2, 0).astype(float)
        length = 1 + number % width
        ids = np.where(np.arange(width) < length[:, None], 10 + number[:, None], 0)
        output = {
            "prompt_ids": torch.as_tensor(np.tile(np.r_[np.zeros(len(self.asked), int), 7], (2 * n, 1))),
            "prompt_mask": torch.as_tensor(np.tile(np.r_[np.zeros(len(self.asked), int), 1], (2 * n, 1))),
            "completion_ids": torch.as_tensor(ids),
            "completion_mask": torch.as_tensor((ids > 0).astype(int)),
            "advantages": torch.as_tensor(number * 1.0),
            "num_items_in_batch": torch.tensor(0),
        }
        seen = Rollouts(draw % 5, draw, 0, reward=reward, advantage=number * 1.0, length=length, scale=self.scale)
        return output, seen

    scale: Any = "group"


def refilling(*methods: Any, scale: str = "group") -> Refilling:
    host = SimpleNamespace(
        accelerator=SimpleNamespace(
            num_processes=1, process_index=0, pad_across_processes=lambda tensor, **kwargs: tensor
        ),
        args=SimpleNamespace(pad_to_multiple_of=None, scale_rewards=scale),
        processing_class=SimpleNamespace(pad_token_id=0),
    )
    return Refilling(tuple(methods), host)


def check(output: dict[str, Any], rollouts: Rollouts) -> list[int]:
    """Makes sure that tokens, advantages and rollouts belong together; returns the draws."""
    number = output["advantages"].numpy()
    np.testing.assert_array_equal(rollouts.advantage, number)
    for row, k, length in zip(output["completion_ids"].tolist(), number, rollouts.length, strict=True):
        assert row == [10 + k] * length + [0] * (len(row) - length)
    assert output["completion_ids"].shape[1] == rollouts.length.max()
    assert output["prompt_ids"].tolist() == [[7]] * len(number), "padding that nobody needs is left"
    assert int(output["num_items_in_batch"]) == rollouts.length.sum()
    return rollouts.draw[::2].tolist()


class TestFilling:
    def test_only_what_is_missing_is_made_anew_until_nothing_is(self) -> None:
        attempts, frame = Attempts([1], [0, 2], [0]), refilling(Refill())
        output, rollouts = frame.generate(attempts, 4)
        assert attempts.asked == [4, 3, 1]
        assert check(output, rollouts) == [1, 4, 6, 7]
        values = frame.metrics()
        assert values == {
            "rollouts/tries": 3,
            "rollouts/generated_per_kept": 2.0,
            "rollouts/frac_filled_up": 0.0,
            "rollouts/discarded_tokens": 18.0,  # of 34
        }
        assert frame.metrics() == {}

    def test_after_the_last_try_it_is_filled_up(self) -> None:
        attempts, frame = Attempts([1], [2], []), refilling(Refill(tries=3))
        output, rollouts = frame.generate(attempts, 4)
        assert attempts.asked == [4, 3, 2]
        assert check(output, rollouts) == [0, 1, 2, 6]  # 1 and 6 are informative, the others came first
        assert frame.metrics()["rollouts/frac_filled_up"] == 0.5

    def test_a_batch_that_is_full_at_once_is_left_as_it_is(self) -> None:
        attempts = Attempts([0, 1, 2])
        output, rollouts = refilling(Refill()).generate(attempts, 3)
        assert attempts.asked == [3] and output["num_items_in_batch"] == 0 and len(rollouts) == 6
        attempts = Attempts([])
        refilling().generate(attempts, 3)
        assert attempts.asked == [3]

    def test_the_spread_of_the_batch_is_that_of_what_is_trained_on(self) -> None:
        attempts = Attempts([1], [0, 1])
        attempts.scale = "batch"
        output, _ = refilling(Refill(), scale="batch").generate(attempts, 3)
        std = np.array([0, 1, 0, 1, 0, 1]).std(ddof=1) + 1e-4
        np.testing.assert_allclose(output["advantages"].numpy(), np.array([-0.5, 0.5] * 3) / std)

    def test_what_it_cannot_move_is_refused_by_name(self) -> None:
        def attempt(n: int) -> Any:
            output, rollouts = attempts(n)
            return output | {"pixel_values": torch.zeros(2 * n, 4)}, rollouts

        attempts = Attempts([], [])
        with pytest.raises(RuntimeError, match="TRL's rollouts have 'pixel_values'"):
            refilling(Refill(tries=2)).generate(attempt, 2)

    @pytest.mark.parametrize(("world", "size", "missing", "asked"), [(2, 3, 1, 2), (4, 2, 3, 4), (8, 8, 3, 3)])
    def test_processes_share_a_try_equally(self, world: int, size: int, missing: int, asked: int) -> None:
        frame = refilling(Refill())
        frame.trainer.accelerator.num_processes = world
        assert frame._divisible(missing, size) == asked and asked * size % world == 0
