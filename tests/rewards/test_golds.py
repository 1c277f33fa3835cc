"""Rewards are tried on the golds themselves, what functions return is checked, and equal rewards are warned of."""

import asyncio
import json
import logging
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from trl.rewards import accuracy_reward, think_format_reward

from trl_curriculum.rewards import REWARDS, exact_match, math_accuracy, multiple_choice_accuracy, reward
from trl_curriculum.rewards.answers import extract_answer, same_answer
from trl_curriculum.rewards.golds import Unpaid, check_golds, unpaid
from trl_curriculum.rewards.returned import checked, guarded
from trl_curriculum.trainers.reward_watch import ENOUGH, FEWEST, RewardWatch


SOLUTION = "She sold 48/2 = <<48/2=24>>24.\n48+24 = <<48+24=72>>72.\n#### 72"
WRITTEN = (
    *("so \\boxed{72}", "48+24 = 72\n#### 72", "#### 72", "**72**", "72", "72.", "$72", "$72$", "72.0", "`72`"),
    *("<answer>72</answer>", "The answer is 72.", "**Answer:** 72", "So the final answer is: **72**.", "\\(72\\)"),
    *("hm\n\n**Final Answer**\n72", "The total is **72**.", "#### The answer is $72$."),
)


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.parametrize(
    "gold", [SOLUTION, "72", "**72**", "\\boxed{72}", "The answer is 72.", "$72", 72, 72.0, ["71", "72"]]
)
@pytest.mark.parametrize("judge", [exact_match, math_accuracy])
def test_known_forms_are_read_on_both_sides(judge: Any, gold: Any, text: str) -> None:
    assert judge([text], answer=[gold]) == [1.0]


@pytest.mark.parametrize("text", ["71", "#### 71", "72 or 71", "**71**", "", "#### 72\nno, it is 71"])
@pytest.mark.parametrize("judge", [exact_match, math_accuracy])
def test_others_are_not_paid(judge: Any, text: str) -> None:
    assert judge([text], answer=[SOLUTION]) == [0.0]


@pytest.mark.parametrize(
    ("written", "gold"),
    [("1,234", "$1234.00"), ("72%", "72 \\%"), ("1{,}234", "1,234"), ("\u22124", "-4"), ("€5", "5"), ("-$5", "-5")],
)
def test_amounts(written: str, gold: str) -> None:
    assert same_answer(written, gold) and not same_answer(written, gold + "1")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### Step 2: add\nIt is 5", "It is 5"),  # a heading
        ("####", "####"),
        ("**B** is wrong, it is C", "**B** is wrong, it is C"),
        ("answers: 4", "answers: 4"),
        ("<answer>..#.\n....</answer>", "..#.\n...."),
        ("\\boxed{**}", "**"),
        ("**", "**"),
        ("$$", "$$"),
    ],
)
def test_markup_that_marks_no_answer(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


def test_golds_of_other_kinds() -> None:
    assert exact_match(["4", "b", "1", "x"], answer=[[], ["a", "B"], [None, 1], float("nan")]) == [
        None,
        1.0,
        1.0,
        None,
    ]
    with pytest.raises(
        ValueError, match=r"`exact_match` reads right answers in the column 'answer', which holds .* \(dict\): make"
    ):
        exact_match(["a"], answer=[{"text": ["a"]}])
    with pytest.raises(
        ValueError, match=r"`multiple_choice_accuracy` .* column 'answer', which holds 2 \(int\): make it a text"
    ):
        multiple_choice_accuracy(["B"], answer=[2])
    with pytest.raises(ValueError, match="`math_accuracy` reads right answers in the column 'solution'"):
        math_accuracy(["a"], solution=[{"a": 1}])


def rows(**columns: list[Any]) -> Dataset:
    n = len(next(iter(columns.values())))
    return Dataset.from_dict({"prompt": ["?"] * n} | columns)


class TestGolds:
    def test_every_reward_that_reads_golds_is_tried(self) -> None:
        chosen = [reward("exact_match"), reward({"math_accuracy": {"boxed_bonus": 0.1}}), think_format_reward]
        data = rows(answer=[SOLUTION, "72", "because\nso", None, "\\frac12", "Paris"])
        assert unpaid(chosen, data) == [
            Unpaid(2, "exact_match", "because\nso", None),
            Unpaid(2, "math_accuracy_boxed", "because\nso", None),
        ]
        assert unpaid([reward("multiple_choice_accuracy")], rows(right_letter=["A", "B) Paris"])) == [
            Unpaid(1, "multiple_choice_accuracy", "B) Paris", 0.0)
        ]

    def test_messages(self) -> None:
        data = rows(solution=["\\boxed{1}"]).map(lambda row: {"prompt": [{"role": "user", "content": "?"}]})
        assert unpaid([accuracy_reward], data) == []

    def test_golds_are_spread_over_a_long_dataset(self) -> None:
        data = rows(answer=["1"] * 999 + ["a\nb"])
        assert [one.row for one in unpaid([reward("exact_match")], data, most=10)] == [999]

    def test_functions_of_the_users(self, caplog: pytest.LogCaptureFixture) -> None:
        seen: list[dict[str, Any]] = []

        def strict(completions: list[str], ground_truth: list[str], **kwargs: Any) -> list[float]:
            seen.append(kwargs)
            return [
                float(text == gold.split("#### ")[1]) for text, gold in zip(completions, ground_truth, strict=True)
            ]

        def of_length(completions: list[str], **kwargs: Any) -> list[float]:
            raise AssertionError("it reads no gold")

        async def later(completions: list[str], ground_truth: list[str], **kwargs: Any) -> list[float]:
            raise AssertionError("it is asynchronous")

        data = rows(ground_truth=[SOLUTION] * 20)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            check_golds([strict, of_length, later, "a/reward-model"], data)
        assert "strict pays none of 8 right answers" in caplog.text
        assert {"prompts", "completion_ids", "trainer_state", "log_extra", "log_metric"} <= seen[0].keys()

    def test_a_reward_of_ours_that_pays_none_is_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        letters = reward("multiple_choice_accuracy")
        with pytest.raises(ValueError, match=r"pays none of 2 right answers .*row 0, 'B\) Rome': 0\).*'answer'"):
            check_golds([letters], rows(answer=["B) Rome", "C) Bern"]))
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            check_golds([letters], rows(answer=["B) Rome", "C"]), speak=False)
            assert not caplog.records
            check_golds([letters], rows(answer=["B) Rome", "C"]))
        assert "pays 1 of 2 right answers" in caplog.text

    def test_golds_that_hold_no_short_answer_are_no_reason_to_refuse(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            check_golds([reward("exact_match")], rows(answer=["a\nb", "c\nd"]))
        assert "pays none of 2 right answers" in caplog.text and "no short answer can be read" in caplog.text

    def test_the_best_form_of_a_gold_counts(self) -> None:
        """A function that does not apply to other forms has still paid 0 for the plain one."""

        def plain(completions: list[str], answer: list[str], **kwargs: Any) -> list[float | None]:
            return [None if "<answer>" in text or "boxed" in text else 0.0 for text in completions]

        assert unpaid([plain], rows(answer=["1"])) == [Unpaid(0, "plain", "1", 0.0)]

    def test_the_gold_of_an_entry_is_its_answer(self) -> None:
        entry = {"question": "?", "answer": "3*(4 + 5)", "metadata": {"numbers": [3, 4, 5], "target": 27}}
        data = rows(entry=[json.dumps(entry)] * 2, family=["countdown"] * 2, answer=["3*(4 + 5)", "3 + 4"])
        assert unpaid([reward("reasoning_gym_accuracy")], data) == [Unpaid(1, "reasoning_gym_accuracy", "3 + 4", 0.0)]

    def test_columns_that_a_reward_lacks_or_that_hold_nothing(self) -> None:
        with pytest.raises(ValueError, match="`exact_match` needs the gold answers in a dataset column 'answer'"):
            check_golds([reward("exact_match")], rows(gold=["1"]))
        with pytest.raises(ValueError, match=r"exact_match applies to no row: .* column 'answer' are all null"):
            check_golds([reward("exact_match")], rows(answer=[None, None]))
        assert unpaid([reward("exact_match")], rows(answer=[None] * 500 + ["a\nb"]), most=3) == [
            Unpaid(500, "exact_match", "a\nb", None)
        ]

    def test_functions_that_cannot_be_called(self) -> None:
        with pytest.raises(
            ValueError, match="TRL's reward 'think_format_reward' reads messages, and the prompts are t"
        ):
            check_golds([think_format_reward], rows(answer=["1"]))

        def reads(completions: list[str], key: list[str], **kwargs: Any) -> list[float]:
            return []

        def takes_no_others(prompts: list[str], completions: list[str]) -> list[float]:
            return []

        with pytest.raises(
            ValueError, match="'reads' reads a column 'key', and the dataset has prompt, answer: rename"
        ):
            check_golds([reads], rows(answer=["1"]))
        with pytest.raises(ValueError, match=r"'takes_no_others' does not take completion_ids, .*, answer, .*kwargs"):
            check_golds([takes_no_others], rows(answer=["1"]))

    def test_a_rollout_function_may_write_columns(self) -> None:
        def reads(completions: list[str], key: list[str], **kwargs: Any) -> list[float]:
            return []

        check_golds([reads], rows(answer=["1"]), complete=False)

    def test_a_plug_in_says_which_columns_hold_its_golds(self) -> None:
        assert REWARDS.get("exact_match").golds == ("answer",)
        assert REWARDS.get("reasoning_gym_accuracy").golds == ("entry",)


class TestReturned:
    @pytest.mark.parametrize(
        ("values", "error", "words"),
        [
            (None, TypeError, "'mine' returned None for 2 completions"),
            (1.0, TypeError, "'mine' returned a float, 1.0 for 2 completions"),
            ([1.0], ValueError, "'mine' returned 1 numbers for 2 completions"),
            ([1.0, 1.0, 1.0], ValueError, "'mine' returned 3 numbers for 2 completions"),
            ([0, float("inf")], ValueError, "'mine' returned inf for a completion of row 11"),
            ([float("-inf"), 0], ValueError, "'mine' returned -inf for a completion of row 10"),
            ([0, "1"], TypeError, "'mine' returned a str, '1' for a completion of row 11"),
            ([0, [1.0]], TypeError, "'mine' returned a list"),
            ([0, torch.ones(2)], TypeError, "'mine' returned a Tensor"),
        ],
    )
    def test_what_is_no_reward(self, values: Any, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            checked(values, "mine", 2, lambda k: 10 + k)

    @pytest.mark.parametrize(
        "values",
        [[1, None], (True, None), [np.float32(1), None], [torch.tensor(1.0), None], [np.bool_(True), None]],
    )
    def test_what_is_one(self, values: Any) -> None:
        assert checked(values, "mine", 2, lambda k: None) == [1.0, None]
        assert checked(torch.tensor([1.0, 2.0]), "mine", 2, lambda k: None) == [1.0, 2.0]
        assert checked([np.nan, 1.0, np.nan], "mine", 3, lambda k: None) == [None, 1.0, None]

    def test_nan_does_not_apply_and_is_warned_of_once(self, caplog: pytest.LogCaptureFixture) -> None:
        made = guarded(lambda completions: [1.0, float("nan")], lambda k: 10 + k)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            assert made(completions=["a", "b"]) == made(completions=["a", "b"]) == [1.0, None]
        assert len(caplog.messages) == 1 and "returned nan for a completion of row 11" in caplog.text

    def test_functions_keep_their_name_and_kind(self) -> None:
        def plain(completions: list[str], **kwargs: Any) -> Any:
            return ["x"] * len(completions)

        async def later(completions: list[str], **kwargs: Any) -> Any:
            return [1.0] * len(completions)

        made = guarded(plain, lambda k: None)
        assert made.__name__ == "plain" and guarded(reward("exact_match"), lambda k: 0).__name__ == "exact_match"
        with pytest.raises(TypeError, match="'plain' returned a str, 'x' for completion 0"):
            made(prompts=["?"], completions=["a"])
        answer = guarded(later, lambda k: None)
        assert asyncio.iscoroutinefunction(answer) and asyncio.run(answer(completions=["a"])) == [1.0]
        model = torch.nn.Linear(1, 1)
        assert guarded(model, lambda k: None) is model


class TestWatch:
    def watch(self, caplog: pytest.LogCaptureFixture, *rewards: dict[str, Any], speak: bool = True) -> list[str]:
        watch = RewardWatch(speak)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            for one in rewards:
                watch.see({name: np.full(16, value) for name, value in one.items()}, "text", {"answer": "4"})
            watch.finish()
        return caplog.messages

    def test_equal_rewards_are_warned_of_once(self, caplog: pytest.LogCaptureFixture) -> None:
        told = self.watch(caplog, *[{"a": 0.0}] * 9)
        assert len(told) == 1 and told[0].startswith(f"a gave 0 to all of the first {ENOUGH} rollouts")
        assert "completion 'text', gold '4'" in told[0]

    def test_a_short_run_is_judged_at_its_end(self, caplog: pytest.LogCaptureFixture) -> None:
        assert [one[:44] for one in self.watch(caplog, {"a": np.nan})] == [
            "a did not apply to all of the first 16 rollo"
        ]

    @pytest.mark.parametrize(("rollouts", "told"), [(FEWEST - 1, 0), (FEWEST, 1)])
    def test_a_very_short_run_is_not_judged(self, rollouts: int, told: int, caplog: pytest.LogCaptureFixture) -> None:
        watch = RewardWatch(True)
        watch.see({"a": np.zeros(rollouts)}, "text", {})
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            watch.finish()
        assert len(caplog.messages) == told

    def test_a_reward_that_varies_is_none_of_them(self, caplog: pytest.LogCaptureFixture) -> None:
        assert self.watch(caplog, {"a": 0.0}, {"a": 1.0}) == []

    def test_a_constant_beside_one_that_varies(self, caplog: pytest.LogCaptureFixture) -> None:
        told = self.watch(caplog, {"a": 0.0, "full": 1.0, "zero": 0.0}, {"a": 1.0, "full": 1.0, "zero": 0.0})
        assert len(told) == 1 and told[0].startswith("zero gave 0")

    def test_one_process_speaks(self, caplog: pytest.LogCaptureFixture) -> None:
        assert self.watch(caplog, *[{"a": 0.0}] * 9, speak=False) == []
