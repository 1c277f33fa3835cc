"""What draws met, and what uniform draws would have: numbers that can be worked out."""

import numpy as np
import pandas as pd
import pytest

from trl_curriculum.report.measures import OUTCOMES, measures, outcomes, uniform_zero_variance
from trl_curriculum.report.waste import wasted


def frame(**columns: object) -> pd.DataFrame:
    n = max(len(value) for value in columns.values() if isinstance(value, list | np.ndarray))
    made = {"step": 0, "draw": np.arange(n), "row": np.arange(n), "arm": "a", "probability": 0.1, "length": 2.0}
    made |= {"reward": 0.5, "zero_variance": False, "scored": 4, "truncated": 0.0}
    return pd.DataFrame(made | columns)


def test_measures_of_a_stretch() -> None:
    history = frame(
        step=[0, 0, 0, 1, 1, 1],
        row=[0, 1, 1, 1, 2, 2],
        zero_variance=[True, False, False, True, True, True],
        scored=[4, 4, 1, 4, 4, 0],
        reward=[0, 0.5, 1, 1, 1, np.nan],
        truncated=[1, 0.5, 0, 0, 0, np.nan],
    )
    made = measures(history, rows=4, generations=4)
    assert made["coverage"].tolist() == [0.5, 0.75]
    assert made["zero_variance"].tolist() == [0.5, 1.0]  # of the groups with two rewards
    assert made["per_useful"].tolist() == pytest.approx([24, np.nan], nan_ok=True)  # three draws of 8, one useful
    assert made["truncated"].tolist() == [0.5, 0.0]
    table = outcomes(history).pivot(index="step", columns="outcome", values="draws")[[*OUTCOMES]]
    assert table.to_numpy().tolist() == [[1, 0, 1, 0, 1], [0, 2, 0, 0, 1]]


def test_nine_tenths_of_the_range_are_solved_and_one_is_failed() -> None:
    history = frame(row=[0] * 6, step=[0] * 6, zero_variance=[True] * 6, reward=[0.0, 0.1, 0.2, 0.8, 0.9, 1.0])
    counts = outcomes(history).set_index("outcome")["draws"]
    assert counts[["all failed", "all alike", "all solved"]].tolist() == [2, 2, 2]


def two_arms(n: int, p: float, seed: int = 0) -> pd.DataFrame:
    """An arm of 90 rows whose groups all vary, and one of 10 whose groups never do, drawn with probability `p`."""
    rng = np.random.default_rng(seed)
    useless = rng.random(n) < p
    row = np.where(useless, rng.integers(90, 100, n), rng.integers(0, 90, n))
    probability = np.where(useless, p / 10, (1 - p) / 90)
    return frame(row=row, probability=probability, zero_variance=useless, step=np.arange(n) // 100)


@pytest.mark.parametrize("p", [0.5, 0.1, 0.03])
def test_uniform_would_have_met_each_arm_as_often_as_it_is_large(p: float) -> None:
    history = two_arms(20_000, p)
    estimate, why = uniform_zero_variance(history, rows=100)
    assert estimate is not None and not why
    assert np.nanmean(estimate) == pytest.approx(0.1, abs=0.01)  # 10 of 100 rows, whatever was drawn
    assert measures(history, 100)["zero_variance"].mean() == pytest.approx(p, abs=0.01)


def test_of_equal_probabilities_the_estimate_is_what_was_drawn() -> None:
    history = two_arms(2000, 0.1).assign(probability=0.01)
    estimate, _ = uniform_zero_variance(history, rows=100)
    assert estimate is not None and estimate.tolist() == measures(history, 100)["zero_variance"].tolist()


@pytest.mark.parametrize(
    ("history", "rows", "why"),
    [
        (two_arms(2000, 0.5).assign(probability=np.nan), 100, "no probabilities"),
        (two_arms(2000, 0.5), None, "is not known"),
        (two_arms(2000, 0.5), 1000, "of 1,000 rows at a time"),
        (two_arms(9, 0.5), 100, "no stretch"),
        (two_arms(2000, 0.5).assign(scored=1), 100, "no probabilities"),
    ],
)
def test_where_it_is_not_sound_nothing_is_estimated(history: pd.DataFrame, rows: int | None, why: str) -> None:
    estimate, told = uniform_zero_variance(history, rows)
    assert estimate is None and why in told


def test_a_stretch_that_rests_on_few_groups_is_a_gap() -> None:
    history = two_arms(400, 0.5)
    history.loc[history["step"] == 2, "probability"] = np.where(np.arange(100) == 0, 1e-6, 0.5)  # one weighs all
    estimate, _ = uniform_zero_variance(history, rows=100)
    assert estimate is not None and np.isnan(estimate).tolist() == [False, False, True, False]


class TestWaste:
    def test_kinds_and_what_they_cost(self) -> None:
        history = frame(
            row=[0, 0, 0, 1, 1, 2, 2, 2, 2],
            arm=[*"bbbaaaaaa"],  # alone in its arm: nothing says that its gold is wrong
            reward=[0, 0, 0, 1, 1, 1, 0, 1, 0],
            truncated=[1, 0.5, 0, 0, 0, 0, 0, 0, 0],
            length=[1.0, 2, 3, 4, 5, 6, 7, 8, 9],
        )
        kinds = {kind.title: kind for kind in wasted(history, generations=2)}
        assert {title: kind.rows.index.tolist() for title, kind in kinds.items()} == {
            "Stuck": [0],
            "Solved and drawn again": [1],
            "Oscillating": [2],
            "Suspicious golds": [],
            "Cut off": [0],
        }
        assert kinds["Stuck"].rows.loc[0, "tokens"] == 12 and kinds["Stuck"].share == pytest.approx(12 / 90)
        assert kinds["Solved and drawn again"].rows.loc[1, ["again", "tokens"]].tolist() == [1, 10]
        assert kinds["Oscillating"].rows.loc[2, ["first", "last"]].tolist() == [1, 0]

    def test_a_gold_is_suspicious_where_others_succeed_and_chance_is_small(self) -> None:
        """Rate ¾ of the others: four rollouts fail with chance 4⁻⁴ = .0039, eight with 4⁻⁸ = .000015."""
        others = [row for row in range(2, 12) for _ in range(2)]
        history = frame(row=[0, 0, 1, *others], reward=[0, 0, 0, *[0.75] * 20])
        suspicious = next(kind for kind in wasted(history) if kind.title == "Suspicious golds")
        assert suspicious.rows.index.tolist() == [0]  # of row 1 only four rollouts are known
        n, total = 4 * 21, 4 * 20 * 0.75  # those of the other rows, row 1 among them
        assert suspicious.rows.loc[0, "others"] == pytest.approx(total / n)
        assert suspicious.rows.loc[0, "chance"] == pytest.approx((1 - total / n) ** 8)

    def test_of_losses(self) -> None:
        rows = np.repeat(np.arange(12), 2)
        loss = np.tile([2.0, 1.0], 12) + rows * 0.01
        loss[-2:] = [5.0, 5.1]
        history = frame(row=rows, loss=loss).drop(columns=["reward", "zero_variance", "scored", "truncated"])
        kinds = {kind.title: kind.rows.index.tolist() for kind in wasted(history)}
        assert kinds == {"Rising loss": [], "Suspicious answers": [11]}

    def test_without_the_column_nothing_is_said_of_it(self) -> None:
        assert "Cut off" not in {kind.title for kind in wasted(frame(truncated=[np.nan, np.nan]))}
