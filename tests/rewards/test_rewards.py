import json
import os
from pathlib import Path

import pytest
from trl.rewards import think_format_reward

from trl_curriculum.rewards import (
    REWARDS,
    exact_match,
    math_accuracy,
    reasoning_gym_accuracy,
    reasoning_gym_score,
    reward,
)
from trl_curriculum.rewards.answers import extract_answer, same_answer


def entry(numbers: list[int], target: int) -> str:
    return json.dumps({"question": "?", "answer": "3*(4 + 5)", "metadata": {"numbers": numbers, "target": target}})


def countdown(*completions: str) -> list[float | None]:
    n = len(completions)
    return reasoning_gym_accuracy(list(completions), family=["countdown"] * n, entry=[entry([3, 4, 5], 27)] * n)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"first \boxed{1}, no: \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\text{Alice}}", "Alice"),
        (r"\boxed{unfinished", r"\boxed{unfinished"),
        (r"} \boxed{\{1, 2\}} and \boxed{3", r"\{1, 2\}"),
        ("\\boxed{" * 100_000 + "\n4", "4"),  # in linear time
        ("<answer>1</answer> <answer> 2 </answer>", "2"),
        ("<think>\\boxed{1}</think> so\n\nFinal answer: 3.", "3"),
        ("\\boxed{1}</think> or \\boxed{2}</think> 3", "3"),
        ("", ""),
    ],
)
def test_extract_answer(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


def test_countdown() -> None:
    assert countdown(r"\boxed{3*(4+5)}", r"\boxed{(5 + 4) \times 3}", "3*(4+5)", r"\boxed{27}", r"\boxed{3*4+5}") == [
        *(1.0, 1.0, 1.0),
        *(0.0, 0.0),
    ]


@pytest.mark.parametrize(
    "code", ["__import__('os').mkdir('hacked')", "exec(chr(49))", "9**9**9**9**9", "3*(4+5)//1", "(" * 500, "exit()"]
)
@pytest.mark.parametrize("family", ["countdown", "puzzle24", "n_queens", "spiral_matrix", "string_insertion"])
def test_completions_are_never_executed(
    family: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = json.dumps(
        {"question": "?", "answer": "A B", "metadata": {"numbers": [1], "target": 1, "valid_answers": []}}
    )
    assert reasoning_gym_accuracy([f"\\boxed{{{code}}}"], family=[family], entry=[values]) == [0.0]
    assert os.listdir(tmp_path) == []


def test_entries_are_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = json.dumps({"question": "?", "answer": "__import__('os').mkdir('hacked')", "metadata": {}})
    assert reasoning_gym_accuracy(["[1]"], family=["number_sorting"], entry=[values]) == [0.0]
    assert os.listdir(tmp_path) == []


def test_failing_scorers_and_missing_entries_are_not_applicable() -> None:
    logged: dict[str, float] = {}
    rewards = reasoning_gym_accuracy(
        [r"\boxed{3*(4+5)}", "x", "x", "x"],
        family=["countdown", "countdown", None, "countdown"],
        entry=[entry([3, 4, 5], 27), "not JSON", None, None],
        log_metric=logged.__setitem__,
    )
    assert rewards == [1.0, None, None, None]
    assert logged == {"rewards/unscored": 0.25}


def test_partial_credit_is_only_in_the_score() -> None:
    columns = {"family": ["countdown"], "entry": [entry([3, 4, 5], 27)]}
    assert reasoning_gym_score([r"\boxed{3*4+5}"], **columns) == [0.05]
    assert reasoning_gym_accuracy([r"\boxed{3*4+5}"], **columns) == [0.0]


def test_math_accuracy() -> None:
    boxed = [[{"role": "assistant", "content": r"It is $\boxed{\frac{2}{4}}$."}]] * 2
    assert math_accuracy(boxed, answer=[r"\frac{1}{2}", "2"]) == [1.0, 0.0]
    assert math_accuracy(boxed, solution=[r"so $\frac{3}{6} = \boxed{\frac12}$, not 2", r"\boxed{2}"]) == [1.0, 0.0]
    assert math_accuracy([r"\boxed{2}", r"\boxed{2}"], answer=[None, ""]) == [None, None]


def test_exact_match() -> None:
    completions = ["It is\nthe answer: 1,000.", r"\boxed{Right  Angle}", "4 or 5", "?"]
    assert REWARDS.make("exact_match")(completions, answer=["1000", "right angle", "5", None]) == [1.0, 1.0, 0.0, None]


@pytest.mark.parametrize(
    ("written", "gold", "same"),
    [
        ("1,000", "1000", True),
        ("-1,234,567.50", "-1234567.5", True),
        ("+.5", "0.5", True),
        ("1e3", "1000", True),
        ("1,2", "12", False),
        ("1,0", "1.0", False),
        ("1000,000", "1000000", False),
        ("0,123", "123", False),
        ("1_0", "10", False),
        ("10000000000000000001", "10000000000000000000", False),
        ("nan", "NaN", True),
        ("inf", "infinity", False),
        ("1e999", "1e1000", False),
        ("1e9999999999999999999", "1e1", False),
        (".", "+", False),
        ("", "3", False),
        # Of several lines
        ("wrong text\nend", "right text\nend", False),
        ("end", "right text\nend", False),
        ("Right text\n\nend", "right text\nend\n", True),
        ("<think>\nhm\n</think>\nright text\nend", "right text\nend", True),
        ("so <answer>right text\nend</answer>", "right text\nend", True),
        ("so\n4", "because\n\\boxed{4}", True),
        ("so\n4", "because\n<answer>4</answer>", True),
        ("so\nthe answer is 4.", "4\n", True),
        ("paris.", "Paris.", True),
        ("\\boxed{\\text{Paris}}", "Paris", True),
    ],
)
def test_same_answer(written: str, gold: str, same: bool) -> None:
    assert same_answer(written, gold) == same


def test_letters_may_stand_in_the_answer_column() -> None:
    assert REWARDS.make("multiple_choice_accuracy")(["B", "B. so"], answer=["B", "C"]) == [1.0, 0.0]


def test_boxed_bonus() -> None:
    bonus = REWARDS.make({"math_accuracy": {"boxed_bonus": 0.1}})
    assert bonus([r"\boxed{1}", r"\boxed{2}", "2"], answer=["1"] * 3) == [1.0, 0.1, 0.0]
    assert bonus.__name__ == "math_accuracy_boxed"


def test_names_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reward("math_accuracy") == REWARDS.make("math_accuracy")
    assert reward("think_format_reward") is think_format_reward
    assert reward("get_soft_overlong_punishment")(completion_ids=[[1] * 10]) == [0.0]
    (tmp_path / "my_rewards_of_this_test.py").write_text("def mine(completions, **kwargs): return [1.0]\n")
    monkeypatch.chdir(tmp_path)
    assert reward("my_rewards_of_this_test.mine")([""]) == [1.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("math_acuracy", r"Unknown reward function 'math_acuracy' \(did you mean 'math_accuracy'\?\)"),
        ("no_such_module.reward", "Could not import the reward function 'no_such_module.reward'"),
        ("math.no_such_function", "Could not import"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reward(name)


@pytest.mark.parametrize("function", [reasoning_gym_accuracy, math_accuracy, exact_match])
def test_missing_columns(function: object) -> None:
    with pytest.raises(ValueError, match="column"):
        function(["1"])  # type: ignore[operator]
