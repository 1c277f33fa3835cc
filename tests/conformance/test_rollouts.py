"""What every rollout method must do, built in or plugged in, and how a batch is filled in several tries."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cases import ROLLOUT_METHODS

from trl_curriculum.curricula import Draw
from trl_curriculum.disk.state import StateError
from trl_curriculum.records import PoolMapping
from trl_curriculum.rollouts import Allocation, Refill, Replay, SelfImitation
from trl_curriculum.rollouts.allocation import shares
from trl_curriculum.rollouts.sharing import merged
from trl_curriculum.signals import Rollouts
from trl_curriculum.testing import table
from trl_curriculum.testing.batch import Batch
from trl_curriculum.trainers.carrying import fitting
from trl_curriculum.trainers.late_entropy import DRAW
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
        seen = Rollouts(
            draw % 5, draw, self.step, reward=reward, advantage=number * 1.0, length=length, scale=self.scale
        )
        return output, seen

    scale: Any = "group"
    step = 0


def logps(model: Any, ids: torch.Tensor, mask: torch.Tensor, width: int, batch_size: int) -> Any:
    """Log-probabilities that are the tokens' own numbers below 0."""
    return -ids[:, -width:].float(), None, None


def refilling(*methods: Any, scale: str = "group") -> Refilling:
    host = SimpleNamespace(
        accelerator=SimpleNamespace(
            num_processes=1,
            process_index=0,
            is_main_process=True,
            pad_across_processes=lambda tensor, **kwargs: tensor,
        ),
        args=SimpleNamespace(
            pad_to_multiple_of=None,
            scale_rewards=scale,
            num_generations=2,
            gradient_checkpointing_kwargs=None,
            per_device_train_batch_size=2,
            data_seed=None,
            seed=0,
            process_index=0,
        ),
        pool=SimpleNamespace(size=5),
        state=SimpleNamespace(global_step=0),
        model=SimpleNamespace(is_gradient_checkpointing=False),
        _get_per_token_logps_and_entropies=logps,
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
            "rollouts/tokens_per_kept": 34 / 4,
            "rollouts/frac_kept": 0.5,
            "rollouts/frac_filled_up": 0.0,
            "rollouts/discarded_tokens": 18.0,  # of 34
            "rollouts/reward_kept": 0.5,
            "rollouts/reward_dropped": 0.0,
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

    def test_a_limit_of_tokens_ends_the_tries(self) -> None:
        for most, asked in ((15, [4]), (16, [4, 3])):  # the first try has 15 tokens
            attempts = Attempts([1], [0], [])
            refilling(Refill(max_tokens=most, tries=2)).generate(attempts, 4)
            assert attempts.asked == asked

    def test_the_spread_of_the_batch_is_that_of_what_is_trained_on(self) -> None:
        attempts = Attempts([1], [0, 1])
        attempts.scale = "batch"
        output, rollouts = refilling(Refill(), scale="batch").generate(attempts, 3)
        std = np.array([0, 1, 0, 1, 0, 1]).std(ddof=1) + 1e-4
        for advantage in (output["advantages"].numpy(), rollouts.advantage):
            np.testing.assert_allclose(advantage, np.array([-0.5, 0.5] * 3) / std)

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
        assert frame.divisible(missing, size) == asked and asked * size % world == 0


def old_logps(output: dict[str, Any]) -> list[Any]:
    """Of the first token of each rollout; None where the current model has made it."""
    return [None if value.isnan() else value.item() for value in output["old_per_token_logps"][:, 0]]


class TestCarryingOver:
    """Of five groups that are kept and four that are needed the last begins the next batch."""

    def begun(self, *after: list[int], beside: Any = (), step: int = 0) -> tuple[Refilling, Attempts]:
        attempts, frame = Attempts([1], [0, 1, 2, 3], *after), refilling(Refill(carry=True), *beside)
        attempts.step = step
        output, rollouts = frame.generate(attempts, 4)
        assert attempts.asked == [4, 4], "a quarter was kept, so that three groups take twelve, or a whole batch"
        assert check(output, rollouts) == [1, 4, 5, 6] and "old_per_token_logps" not in output
        values = frame.metrics()
        assert values["rollouts/discarded_tokens"] == 15 - (3 + 1), "of the first try without its one kept group"
        assert values["rollouts/generated_per_kept"] == 8 / 5 and values["rollouts/frac_carried"] == 0
        return frame, attempts

    def test_what_is_left_begins_the_next_batch(self) -> None:
        frame, attempts = self.begun([0, 1, 2])
        again = refilling(Refill(carry=True))
        again.load_state_dict(frame.state_dict())
        copy = Attempts([0, 1, 2])
        copy.draws, copy.rollouts, copy.asked = attempts.draws, attempts.rollouts, []
        assert frame.carried is not None and frame.carried.output["old_per_token_logps"].tolist()[0][0] == -24
        output, rollouts = frame.generate(attempts, 4)
        assert attempts.asked[2:] == [3] and check(output, rollouts) == [7, 8, 9, 10]
        assert old_logps(output) == [-24, -25] + 6 * [None], "14 and 15 are carried, and their tokens 24 and 25"
        assert frame.metrics() == pytest.approx(
            {
                "rollouts/tries": 1,
                "rollouts/generated_per_kept": 1.0,
                "rollouts/tokens_per_kept": rollouts.length[2:].sum() / 3,
                "rollouts/frac_kept": 1.0,
                "rollouts/frac_carried": 0.25,
                "rollouts/frac_filled_up": 0.0,
                "rollouts/discarded_tokens": 0.0,
                "rollouts/reward_kept": 0.5,
            }
        )
        assert frame.carried is None and frame.state_dict()["carried"] is None
        copy.asked = [4, 4]
        copy.informative = [[], [], [0, 1, 2]]
        resumed, theirs = again.generate(copy, 4)
        assert check(resumed, theirs) == [7, 8, 9, 10]
        for name, value in output.items():
            torch.testing.assert_close(resumed[name], value, rtol=0, atol=0, equal_nan=True)

    def test_it_is_as_old_as_when_it_was_made_where_it_is_stored(self) -> None:
        frame, attempts = self.begun([0, 1, 2], beside=[Replay()], step=3)
        again = refilling(Refill(carry=True), Replay())
        again.load_state_dict(frame.state_dict())
        for one, tries in ((frame, attempts), (again, copy.deepcopy(attempts))):
            tries.step = one.trainer.state.global_step = 5
            one.finish(*one.generate(tries, 4))
            (replaying,) = one.replaying.values()
            assert [stored.step for stored in replaying.stored] == [3, 3, 5, 5, 5, 5, 5, 5]

    def test_it_can_last_for_several_batches(self) -> None:
        frame, attempts = self.begun([], [0, 1, 2])
        output, rollouts = frame.generate(attempts, 4)
        assert attempts.asked[2:] == [3, 3] and check(output, rollouts) == [7, 11, 12, 13]
        assert old_logps(output)[:3] == [-24, -25, None] and frame.carried is None

    def test_beside_other_tensors_it_is_dropped(self, caplog: Any) -> None:
        frame, attempts = self.begun([0, 1], [0, 1, 2], [0, 1])
        assert frame.carried is not None
        del frame.carried.output["completion_mask"]
        output, rollouts = frame.generate(attempts, 4)
        assert len(rollouts) == len(output["advantages"]) == 8 and 7 not in rollouts.draw
        assert "carried over from the last batch (groups: 1) is dropped: TRL's rollouts hold other ten" in caplog.text

    def test_a_smaller_batch_or_other_rows_drop_it(self, caplog: Any) -> None:
        frame, attempts = self.begun([0])
        frame.generate(attempts, 1)
        assert "a batch needs 1 groups now" in caplog.text
        frame, _ = self.begun()
        assert fitting(frame.carried, 4, 2) is frame.carried and fitting(frame.carried, 4, 4) is None
        assert "they are groups of 2 rollouts, and groups have 4 now" in caplog.text
        state = frame.state_dict()
        frame.load_state_dict(state, PoolMapping(np.arange(5), np.zeros(1, int), 5))
        assert "the rows have changed" in caplog.text and frame.carried is None
        del state["carried"]["output"]["old_per_token_logps"]
        with pytest.raises(StateError, match="saved groups that were carried over cannot be read"):
            frame.load_state_dict(state)


def test_rescaled_gradients_are_those_without_a_refill() -> None:
    frame = refilling(Refill(rescale=True, tries=2))
    output, _ = frame.generate(Attempts([1], [0, 2]), 4)  # 3 of 7 groups are kept, and 4 are needed
    before = output["advantages"].clone()
    frame.weigh(output)
    torch.testing.assert_close(output["advantages"], before * (3 / 7) * (4 / 3))
    frame = refilling(Refill(rescale=True, tries=1))
    output, _ = frame.generate(Attempts([1, 2]), 4)
    before = output["advantages"].clone()
    frame.weigh(output)
    assert torch.equal(output["advantages"], before), "nothing was refilled"


def test_bounds_of_the_mean_reward() -> None:
    reward = np.concatenate([np.arange(4) < k for k in (0, 1, 2, 3, 4, 2)]).astype(float)
    rollouts = Batch(reward).rollouts
    assert Refill(least=0.5).keep(rollouts).tolist() == [False, False, True, True, False, True]
    assert Refill(most=0.5).keep(rollouts).tolist() == [False, True, True, False, False, True]
    assert Refill(least=0.5, most=0.6).keep(rollouts).sum() == 2


def test_a_pool_of_which_nothing_is_kept_is_named_once(caplog: Any) -> None:
    frame = refilling(Refill(tries=2))
    for _ in range(25):
        frame.generate(Attempts([], []), 4)
    (record,) = caplog.records
    assert "refill has kept none of the 80 groups of the last 10 batches, whose mean reward is 0, " in record.message
    frame.generate(Attempts([1], [0, 1, 2]), 4)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"least": 0.9, "most": 0.1}, "least=0.9 of refill must not be above most=0.1"),
        ({"carry": True, "tries": 1}, "carry=True of refill needs tries above 1"),
        ({"carry": True, "rescale": True}, "leave one of them out"),
        ({"max_tokens": 0}, "max_tokens=0 of refill must be at least 1"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Refill(**options)


def test_advantages_over_all_groups_of_a_row() -> None:
    """Row 7 has three groups of four, of which one is solved and one failed, row 2 one: 12 + 4 rollouts."""
    reward = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0], float)
    row, draw = np.repeat([7, 7, 7, 2], 4), np.repeat([5, 8, 9, 6], 4)
    given = Rollouts(row, draw, 0, reward=reward, advantage=np.zeros(16), length=row)
    groups, weight = merged(given)
    assert groups.draw.tolist() == 12 * [5] + 4 * [6]
    std = np.sqrt(12 * 0.25 / 11) + 1e-4  # half of twelve are right
    expected = (reward[:12] - 0.5) / std
    np.testing.assert_allclose(groups.advantage[:12], expected)
    np.testing.assert_allclose(groups.advantage[12:], np.array([0.75, -0.25, -0.25, -0.25]) / (0.5 + 1e-4))
    np.testing.assert_allclose(weight, 12 * [8 / 12] + 4 * [8 / 4])
    assert weight.sum() == pytest.approx(16), "the gradient's scale is that of equal groups"
    missing, _ = merged(Rollouts(row, draw, 0, reward=np.where(row == 2, np.nan, reward), advantage=row, length=row))
    assert (missing.advantage[12:] == 0).all()


def test_shares_are_the_best_of_all() -> None:
    """Against all shares of 9 groups of 4 among 3 rows."""
    rate = np.array([0.5, 0.07, 0.9])
    every = np.array([(a, b, 9 - a - b) for a in range(1, 8) for b in range(1, 9 - a)])
    variance = (rate * (1 - rate) / (4 * every)).sum(axis=1)
    assert shares(rate, 9, 4, "cures").tolist() == every[variance.argmin()].tolist()
    mixed = (1 - rate ** (4 * every) - (1 - rate) ** (4 * every)) * rate * (1 - rate) ** 2
    assert shares(rate, 9, 4, "knapsack").tolist() == every[mixed.sum(axis=1).argmax()].tolist()
    proportional = np.sqrt(rate * (1 - rate)) / np.sqrt(rate * (1 - rate)).sum()
    np.testing.assert_allclose(shares(rate, 900, 4, "cures") / 900, proportional, atol=2e-3)


def test_a_row_that_says_more_gets_more_once_that_is_known() -> None:
    sharing = Allocation(memory=0.5).share(10, 4)
    assert sharing is not None and sharing.rows(8) == 4 and sharing.rows(1) == 1
    assert sharing.times(np.array([0, 1, 2, 3]), 8).tolist() == [2, 2, 2, 2], "nothing is known"
    row = np.repeat([0, 1], 4)
    for _ in range(2):
        sharing.observe(Rollouts(row, row, 0, reward=np.array([1.0, 0, 1, 0, 1, 1, 1, 1]), advantage=row, length=row))
    rate = (1 + 2 + 0.5 * 2) / (2 + 4 + 0.5 * 4), (1 + 4 + 0.5 * 4) / (2 + 4 + 0.5 * 4)
    assert rate == (0.5, 7 / 8)
    state = sharing.state_dict()
    assert state["successes"][:3].tolist() == [3, 6, 0] and state["failures"][:3].tolist() == [3, 0, 0]
    assert sharing.times(np.array([1, 0]), 4).tolist() == shares(np.array([7 / 8, 0.5]), 4, 4, "cures").tolist()
    assert sharing.times(np.array([1, 0, 0]), 4).tolist() == [2, 1, 1], "7/64 / 2 is more than 1/4 / 6"
    with pytest.raises(ValueError, match=r"rewards in \[0, 1\], but a reward of 2 came back"):
        sharing.observe(Rollouts(row, row, 0, reward=row + 2.0 * (row == 0), advantage=row, length=row))


def test_repeated_draws_have_ids_of_their_own() -> None:
    draw = Draw(np.array([4, 2, 9]), np.array([0, 0, 1]), np.array([0.1, 0.1, 0.2]), np.array([5, 6, 7]))
    repeated = draw.repeated(np.array([1, 3, 2]), 8)
    assert repeated.row.tolist() == [4, 2, 2, 2, 9, 9] and repeated.id.tolist() == [5, 6, 7, 8, 9, 10]
    assert repeated.arm.tolist() == [0, 0, 0, 0, 1, 1] and repeated.probability.tolist() == [0.1] * 4 + [0.2] * 2


class TestReplaying:
    """Four rollouts a batch, of which one group or none has two rewards; tokens are their numbers, as above."""

    def batch(self, frame: Refilling, attempts: Attempts, step: int) -> tuple[dict[str, Any], Rollouts]:
        frame.trainer.state.global_step = step
        output, rollouts = frame.generate(attempts, 2)
        advantage = rollouts.advantages_of(rollouts.reward)
        output |= {"advantages": torch.as_tensor(advantage), DRAW: torch.as_tensor(rollouts.draw)}
        frame.finish(output, rollouts)
        return output, rollouts

    def test_dead_rollouts_make_room_for_stored_ones(self, tmp_path: Path) -> None:
        frame, attempts = refilling(Replay(size=3, max_age=2)), Attempts([1], [], [0], [])
        first, _ = self.batch(frame, attempts, 0)
        assert "old_per_token_logps" not in first and first["advantages"].tolist()[:2] == [0, 0]
        assert frame.metrics()["rollouts/stored"] == 2
        output, _ = self.batch(frame, attempts, 2)  # 4 to 7 are dead, and 2 and 3 are stored
        tokens = [row[row > 0].tolist() for row in output["completion_ids"]]
        assert sorted(tokens[:2]) == [[12] * 3, [13]] and tokens[2:] == [[16] * 3, [17] * 4]
        old = old_logps(output)
        assert sorted(old[:2]) == [-13, -12] and old[2:] == [None, None]
        by_token = dict(zip([row[0] for row in tokens], output["advantages"].tolist(), strict=True))
        assert by_token[12] == first["advantages"][2] and by_token[13] == first["advantages"][3] and by_token[16] == 0
        assert output[DRAW].tolist() == [-1, -1, 3, 3] and int(output["num_items_in_batch"]) == 3 + 1 + 3 + 4
        assert output["completion_mask"].sum(1).tolist() == [len(row) for row in tokens]
        values = frame.metrics()
        assert values["rollouts/frac_replayed"] == 0.5 and values["rollouts/stored"] == 2
        frame.save(tmp_path)
        again = refilling(Replay(size=3, max_age=2))
        again.load_state_dict(frame.state_dict(), None, tmp_path)
        theirs = Attempts([], [], [0], [])
        theirs.asked, theirs.draws, theirs.rollouts = [2, 2], attempts.draws, attempts.rollouts
        third, _ = self.batch(frame, attempts, 3)  # at 3 those of 0 are too old
        assert "old_per_token_logps" not in third and frame.metrics()["rollouts/stored"] == 2
        resumed, _ = self.batch(again, theirs, 3)
        for name, value in third.items():
            assert torch.equal(resumed[name], value)
        self.batch(frame, attempts, 4)
        assert frame.metrics()["rollouts/frac_replayed"] == 0.5

    def test_what_cannot_be_replayed_is_thrown_away(self, tmp_path: Path, caplog: Any) -> None:
        frame, attempts = refilling(Replay()), Attempts([1], [], [])
        self.batch(frame, attempts, 0)
        frame.load_state_dict(frame.state_dict(), None, tmp_path)
        assert "Stored rollouts are lost, because" in caplog.text and frame.replaying["replay"].stored == []
        attempts = Attempts([1], [])
        self.batch(frame, attempts, 1)
        frame.save(tmp_path)
        frame.load_state_dict(frame.state_dict(), PoolMapping(np.arange(5), np.zeros(1, int), 5), tmp_path)
        assert "thrown away: the rows have changed" in caplog.text and frame.replaying["replay"].stored == []
        frame.load_state_dict(frame.state_dict(), None, tmp_path)
        del frame.replaying["replay"].stored[0].tensors["completion_mask"]
        output, _ = self.batch(frame, attempts, 2)
        assert "thrown away: TRL's hold other tensors now" in caplog.text and "old_per_token_logps" not in output


def test_normalised_variances_decide_what_is_stored() -> None:
    reward = np.concatenate([np.arange(4) < k for k in (0, 1, 2, 3, 4, 2)]).astype(float)
    for least, kept in ((0.0, [1, 2, 3, 5]), (0.75, [1, 2, 3, 5]), (0.76, [2, 5]), (1.0, [2, 5])):
        worth = Replay(variance=least).remember()
        assert worth is not None
        assert np.flatnonzero(worth.worth(Batch(reward).rollouts).reshape(6, 4).all(1)).tolist() == kept
    odd = np.array([0, 0, 1], int)
    rollouts = Rollouts(odd * 0, odd * 0, 0, reward=np.array([0.0, 1, 1]), advantage=odd * 1.0, length=odd)
    assert Replay(variance=1.0).remember().worth(rollouts).all(), "of three, two right are the most there is"


def test_self_imitation_asks_for_more_as_the_model_does_better() -> None:
    memory = SelfImitation(steps=4, means=3).remember()
    assert memory is not None
    reward = np.array([1.0, 0.5])
    assert (memory.advantage(reward, reward, 4) == 0).all(), "there is no median yet"
    for done, means in ((0, [0.0, 0.25]), (1, [0.5, 1.0])):  # the last three: .25, .5 and 1
        group = np.repeat([0, 1], 4)
        earned = np.concatenate([np.arange(4) < 4 * mean for mean in means]).astype(float)
        memory.observe(Rollouts(group, group, done, reward=earned, advantage=earned, length=group))
    half = 0.5 * (1 - np.cos(np.pi / 4))
    np.testing.assert_allclose(memory.advantage(reward, reward, 1), [half * 0.5, 0])
    for step in (4, 400):
        np.testing.assert_allclose(memory.advantage(reward, reward, step), [0.5, 0])
