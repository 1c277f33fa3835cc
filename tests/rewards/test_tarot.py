"""Tests in tiers: which of them count when, what they pay, and how a program is tried."""

from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from datasets import Dataset
from harness import trainer

from trl_curriculum.rewards import REWARDS, Tarot
from trl_curriculum.rewards.tarot import TIERS


def test(label: str, given: str = "", output: str = "") -> dict[str, str]:
    return {"label": label, "input": given, "output": output}


test.__test__ = False  # type: ignore[attr-defined]
ECHO = "```python\nprint(input())\n```"
# Prints what it is given unless that is 9: it passes one of two basic tests, all of medium and edge, none of high
MOSTLY = "Try:\n```python\nnothing\n```\nNo:\n```python\nx = input()\nprint(x if x != '9' else 'nine')\n```"
FOUR = [
    *(test("basic", "1", "1"), test("basic", "9", "9"), test("medium", "2", "2")),
    *(test("high", "9", "9"), test("edge", "3", "3")),
]


def reward(completion: str, tests: Any, progress: float = 1.0, **options: str) -> float | None:
    state = SimpleNamespace(global_step=round(100 * progress), max_steps=100)
    return REWARDS.make({"tarot": options})([completion], tests=[tests], trainer_state=state)[0]


@pytest.mark.parametrize(
    ("progress", "easy", "hard"),
    [
        (0.0, TIERS[:1], ("high",)),
        (0.19, TIERS[:1], ("high",)),
        (0.2, TIERS[:2], ("high", "edge")),
        (0.4, TIERS[:3], ("high", "edge", "medium")),
        (0.6, TIERS, ("high", "edge", "medium", "basic")),
        (1.0, TIERS, ("high", "edge", "medium", "basic")),
    ],
)
def test_the_tiers_that_count(progress: float, easy: tuple[str, ...], hard: tuple[str, ...]) -> None:
    assert Tarot().tiers(progress) == easy and Tarot(order="hard_first").tiers(progress) == hard


@pytest.mark.parametrize(
    ("progress", "options", "expected"),
    [
        (0.0, {}, 0.25 * 0.5),
        (0.2, {}, 0.25 * 0.5 + 0.25),
        (1.0, {}, 0.25 * (0.5 + 1 + 0 + 1)),
        (1.0, {"weights": "var"}, 0.35 * 0.5 + 0.35 + 0.15),
        (1.0, {"weights": "asce"}, 0.15 * 0.5 + 0.15 + 0.35),
        (0.0, {"order": "hard_first"}, 0.0),
        (0.2, {"order": "hard_first", "weights": "asce"}, 0.35),
    ],
)
def test_the_sum_over_tiers(progress: float, options: dict[str, str], expected: float) -> None:
    assert reward(MOSTLY, FOUR, progress, **options) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("program", "given", "output", "passes"),
    [
        ("print(sum(map(int, open(0).read().split())))", "1 2\n3", "6\n", True),
        ("import sys\nfor line in sys.stdin:\n    print(line.strip()[::-1], '')", "ab\ncd", "ba\ndc", True),
        ("import os\nos.write(1, b'x')", "", "x", True),
        ("import sys\nsys.stdout.buffer.write('ü'.encode())", "", "ü", True),
        ("print(1)\nexit()", "", "1", True),
        ("print(1)\nexit(1)", "", "1", False),
        ("print(1)\nraise ValueError", "", "1", False),
        ("print(1)\nimport os\nos._exit(0)", "", "1", False),
        ("print(1)", "", "1\n2", False),  # a line is missing, which the paper's code does not see
        ("print(1)\nprint(2)", "", "1", False),
        ("print('{}'.format(1))", "", "1", True),
        ("import socket\nsocket.create_connection(('127.0.0.1', 80))", "", "", False),
    ],
)
def test_a_program_passes(program: str, given: str, output: str, passes: bool) -> None:
    found = reward(f"```python\n{program}\n```", [test("basic", given, output)])
    assert found == (0.25 if passes else 0.0)


def test_a_row_whose_tiers_do_not_count_yet_is_not_scored() -> None:
    assert reward(ECHO, [test("edge", "1", "1")], 0.1) is None
    assert reward(ECHO, [test("edge", "1", "1")], 0.9) == 0.25
    assert reward("no program", [test("edge", "1", "1")], 0.9) == 0.0
    assert reward(ECHO, '[{"label": "basic", "input": "1", "output": "1"}]') == 0.25
    assert Tarot()([ECHO], tests=[[test("edge", "1", "1")]]) == [0.25]  # no training: all tiers


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ([[test("easy")]], "the tests of row 0 hold .*'easy'.* a label of basic, medium, high, edge"),
        ([[test("basic")], [{"label": "basic", "input": "1"}]], "the tests of row 1 hold"),
        (["[{"], "the tests of row 0 are no JSON"),
        ([["1"]], "the tests of row 0 hold '1'"),
    ],
)
def test_rows_that_cannot_be_read_are_refused_before_training(tests: Any, words: str, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=words):
        Tarot().prepare(Dataset.from_dict({"tests": tests}))


def test_a_trainer_refuses_them_and_logs_how_many_tiers_count(tmp_path: Any) -> None:
    rows = tiny.dataset(8)
    with pytest.raises(ValueError, match="`tarot` needs a dataset column 'tests'"):
        trainer(tmp_path, train_dataset=rows, reward_funcs=[Tarot()])
    rows = rows.add_column("tests", [[test("basic", "1", "1")]] * 8)
    run = trainer(tmp_path, train_dataset=rows, reward_funcs=[Tarot(), tiny.reward], max_steps=5)
    run.train()
    counts = [log["rewards/tiers"] for log in run.state.log_history if "rewards/tiers" in log]
    assert counts == [1, 2, 3, 4, 4]
