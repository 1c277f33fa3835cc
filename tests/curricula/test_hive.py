"""HIVE by hand: who passes the gate of history, and which of the candidates are drawn."""

import numpy as np
import pytest

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import CURRICULA, HIVE
from trl_curriculum.curricula.hive import HIVECurriculum


def bound(size: int, **options: float | str) -> HIVECurriculum:
    made = HIVE(**options).bind(Pool(size))  # type: ignore[arg-type]
    assert isinstance(made, HIVECurriculum)
    return made


def show(hive: HIVECurriculum, row: int, *groups: list[float]) -> None:
    """What groups of a row earned, in one batch."""
    reward = np.concatenate(groups)
    draw = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    hive.observe(Feedback(np.full(len(reward), row), draw, 0, reward=reward, rewards={"right": 1 - reward}))


class TestHistory:
    def test_a_row_that_was_never_seen_passes(self) -> None:
        assert bound(3).chance(np.arange(3)).tolist() == [1, 1, 1]

    def test_hard_rows_pass_less_often_than_easy_ones_and_never_not_at_all(self) -> None:
        hive = bound(4)
        for _ in range(2):
            show(hive, 0, [0.0, 0.0])
        for _ in range(3):
            show(hive, 1, [1.0, 1.0])
        for _ in range(20):
            show(hive, 2, [-1.0, -1.0])
        assert hive.chance(np.arange(4)).tolist() == [0.25, 0.421875, 0.01, 1]
        assert hive.metrics() == {"flat_rows": 0.75}

    def test_rewards_that_differ_end_it_and_those_that_are_missing_say_nothing(self) -> None:
        hive = bound(3)
        for row in range(3):
            show(hive, row, [0.0, 0.0], [0.0, 0.0])
        show(hive, 0, [0.0, 1.0])
        show(hive, 1, [np.nan, np.nan], [1.0, np.nan])  # of one reward nothing can be said
        show(hive, 2, [0.0, 0.0, np.nan])
        assert hive.chance(np.arange(3)).tolist() == [1, 0.25, 0.125]
        show(hive, 2, [0.0, 0.0], [1.0, 0.0])  # twice in a batch
        assert hive.chance(np.array([2])).tolist() == [1]

    def test_follows_the_reward_that_it_is_told(self) -> None:
        hive = bound(1, outcome="right")
        show(hive, 0, [0.0, 0.0])
        assert hive.chance(np.array([0])).tolist() == [0.75], "`right` is 1 there"
        with pytest.raises(ValueError, match="outcome='left' names a reward function, and there is no such"):
            show(bound(1, outcome="left"), 0, [0.0, 0.0])

    def test_who_is_turned_away_waits_unless_nobody_else_is_left(self) -> None:
        hive = bound(12, candidates=4, hard=1e-9, least=1e-9)
        for row in range(9):
            show(hive, row, [0.0, 0.0])
        for _ in range(3):
            asked = hive.rows_to_probe()
            assert asked is not None and {9, 10, 11} < set(asked.tolist()) and len(asked) == 4
            hive.observe_probe(asked, np.zeros(4))
            hive.select(2)
        assert hive.metrics()["passed_history"] == 0.25

    def test_rows_come_up_in_turn(self) -> None:
        hive = bound(12, candidates=4)
        seen: list[int] = []
        for _ in range(3):
            asked = hive.rows_to_probe()
            assert asked is not None
            seen += asked.tolist()
            hive.observe_probe(asked, np.zeros(4))
            hive.select(1)
        assert sorted(seen) == list(range(12))


class TestNow:
    def test_the_median_and_more_are_drawn_at_random_then_the_others_by_entropy(self) -> None:
        drawn = set()
        for seed in range(20):
            hive = HIVE(candidates=5).bind(Pool(5), seed)
            hive.observe_probe(hive.rows_to_probe(), np.array([0.1, 0.5, np.nan, 0.4, 0.2]))  # median .3
            row = hive.select(5).row.tolist()
            assert set(row[:2]) == {1, 3} and row[2:] == [4, 0, 2]
            assert hive.metrics()["entropy_threshold"] == pytest.approx(0.3)
            drawn.add(row[0])
        assert drawn == {1, 3}

    def test_the_median_itself_is_drawn_at_random_too(self) -> None:
        first = set()
        for seed in range(20):
            hive = HIVE(candidates=3).bind(Pool(3), seed)
            hive.observe_probe(hive.rows_to_probe(), np.array([0.1, 0.5, 0.3]))
            first.add(hive.select(1).row.item())
        assert first == {1, 2}

    def test_without_any_entropy_all_candidates_may_come(self) -> None:
        hive = HIVE(candidates=3).bind(Pool(3))
        hive.observe_probe(hive.rows_to_probe(), np.full(3, np.nan))
        assert sorted(hive.select(3).row.tolist()) == [0, 1, 2]
        assert "entropy_threshold" not in hive.metrics()

    def test_candidates_are_read_anew_before_each_draw(self) -> None:
        hive = bound(50, candidates=6)
        with pytest.raises(RuntimeError, match="asked for rows before their prompts were read"):
            hive.select(1)
        for _ in range(2):
            asked = hive.rows_to_probe()
            assert asked is not None and len(asked) == 6
            hive.observe_probe(asked, np.arange(6.0))
            assert hive.rows_to_probe() is None
            assert set(hive.select(3).row.tolist()) == set(asked[3:].tolist())

    def test_a_batch_that_is_larger_than_the_candidates_is_filled_from_the_queue(self) -> None:
        hive = bound(20, candidates=4)
        asked = hive.rows_to_probe()
        assert asked is not None
        hive.observe_probe(asked, np.arange(4.0))
        row = hive.select(20).row
        assert set(row[:4].tolist()) == set(asked.tolist()) and set(row.tolist()) == set(range(20))

    def test_says_beforehand_what_it_reads_and_that_candidates_are_few(self) -> None:
        hive = bound(1000)
        outlook = hive.outlook(200, 16)
        assert (outlook.probes, outlook.probed_rows, outlook.odd) == (200, 64, ())
        assert outlook.acts_at == 1
        (sentence,) = hive.outlook(200, 48).odd
        assert sentence.endswith("less than twice the 48 rows of a draw, so that prompts below the median are drawn too: set at least 96")  # fmt: skip  # noqa: E501


def test_is_found_by_its_name() -> None:
    assert CURRICULA.make({"hive": {"candidates": 8}}) == HIVE(candidates=8)
