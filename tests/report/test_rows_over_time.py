"""States of rows from sequences whose states can be told by hand."""

import numpy as np
import pandas as pd
import pytest

from trl_curriculum.report.rows_over_time import OF_LOSSES, OF_REWARDS, in_range, migration, sequences


def of_one_row(results: list[float], name: str = "reward") -> list[str]:
    n = len(results)
    found = sequences(pd.DataFrame({"step": range(n), "draw": range(n), "row": 0, name: results, "length": 1.0}))
    return [found.names[k] for k in found.after]


@pytest.mark.parametrize(
    ("rewards", "states"),
    [
        ([0, 0, 0, 0], ["hard", "hard", "stuck", "stuck"]),
        ([0.1, 0.1, 0.11], ["hard", "hard", "learning"]),
        ([0.5, 0, 0, 0], ["learning", "learning", "learning", "stuck"]),  # what it had earned once is gone
        ([0.25, 0.5, 0.9, 0.89], ["learning", "learning", "solved", "learning"]),
        ([0, 0, 0, 1], ["hard", "hard", "stuck", "solved"]),
        # One change, two, three; then the first of them leaves the last six.
        ([1, 0, 1, 0, 0.5, 1], ["solved", "learning", "solved", "oscillating", "oscillating", "oscillating"]),
        ([0, 1, 0, 1, 1, 1, 1], ["hard", "solved", "learning", *["oscillating"] * 3, "solved"]),
        ([0.6, 0.4, 0.6, 0.4, 0.6, 0.4], ["learning"] * 6),  # never as far as ⅔ or ⅓
        ([np.nan, 1, np.nan], ["solved"]),
        ([], []),
    ],
)
def test_states_of_rewards(rewards: list[float], states: list[str]) -> None:
    assert of_one_row(rewards) == states


def test_states_of_losses() -> None:
    assert of_one_row([2.0, 1.8, 1.81, 2.19, 2.2, np.nan], "loss") == ["once", "falling", "flat", "flat", "rising"]


def test_rewards_outside_of_0_and_1_are_shares_of_their_range() -> None:
    assert in_range(np.array([0.0, 0.2, np.nan])).tolist() == pytest.approx([0, 0.2, np.nan], nan_ok=True)
    assert in_range(np.array([-1.0, 3.0, 1.0])).tolist() == [0, 1, 0.5]
    assert np.isnan(in_range(np.array([2.0, 2.0]))).all()  # nothing tells high from low


def test_each_row_has_its_own_sequence() -> None:
    frame = pd.DataFrame({"step": 0, "draw": range(6), "row": [1, 0, 1, 0, 1, 0], "length": 1.0})
    found = sequences(frame.assign(reward=[0, 1.0, 0, 1, 0, 1]))
    assert found.row.tolist() == [0, 0, 0, 1, 1, 1] and found.draw.tolist() == [1, 3, 5, 0, 2, 4]
    assert [OF_REWARDS[k] for k in found.after] == [*["solved"] * 3, "hard", "hard", "stuck"]
    assert [OF_REWARDS[k] for k in found.before] == ["unseen", "solved", "solved", "unseen", "hard", "hard"]
    assert found.last.tolist() == [False, False, True] * 2


def test_a_rows_draws_count_in_the_order_in_which_they_were_trained_on() -> None:
    frame = pd.DataFrame({"step": [1, 0], "draw": [0, 1], "row": 0, "length": 1.0, "loss": [1.0, 2.0]})
    found = sequences(frame)  # packing let draw 0 wait
    assert found.draw.tolist() == [1, 0] and [OF_LOSSES[k] for k in found.after] == ["once", "falling"]


def test_migration_counts_every_row_at_every_time() -> None:
    frame = pd.DataFrame({"step": [0, 0, 1, 2], "draw": range(4), "row": [7, 3, 7, 3], "length": 1.0})
    moved = migration(frame.assign(reward=[0, 0, 1, 0.5]), rows=10)
    table = moved.pivot(index="step", columns="state", values="rows")
    assert table["unseen"].tolist() == [8, 8, 8]
    assert table["hard"].tolist() == [2, 1, 0]
    assert table["solved"].tolist() == [0, 1, 1]
    assert table["learning"].tolist() == [0, 0, 1]
    assert (table.sum(axis=1) == 10).all() and moved["share"].sum() == pytest.approx(3)
