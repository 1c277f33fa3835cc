"""Numbers that rollout methods must give, worked out by hand, and what they refuse."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trl_curriculum.rewards import REWARDS
from trl_curriculum.rewards.answers import extract_answer
from trl_curriculum.rewriting import Moment, reworded
from trl_curriculum.rollouts import AEPO, CURE, PromptAugmentation, Temperature, Truncate
from trl_curriculum.rollouts.forms import FORMS
from trl_curriculum.schedules import scheduled
from trl_curriculum.shaping import Budget
from trl_curriculum.signals import Rollouts


def seen(length: Any, reward: Any = None) -> Rollouts:
    """One group."""
    length, group = np.asarray(length), np.zeros(len(length), int)
    reward = np.ones(len(length)) if reward is None else np.asarray(reward, float)
    return Rollouts(group, group, 0, reward=reward, advantage=np.zeros(len(length)), length=length)


def args(**changes: Any) -> Any:
    given = {
        **{"num_generations": 16, "max_completion_length": 4096, "multi_objective_aggregation": "sum_then_normalize"},
        **{"use_vllm": False, "temperature": 1.0, "generation_kwargs": None, "off_policy_mask_threshold": None},
        **{"vllm_importance_sampling_correction": True, "vllm_importance_sampling_mode": "sequence_mask"},
        **{
            "use_transformers_continuous_batching": False,
            "entropy_coef": 0.0,
            "use_adaptive_entropy": False,
            "world_size": 1,
            "per_device_train_batch_size": 4,
        },
    }
    return SimpleNamespace(**given | {"steps_per_generation": 4} | changes)


class TestTruncate:
    def test_an_outlier_of_32(self) -> None:
        """The mean is 128.125 and the standard deviation 159.099: T = floor(605.4)."""
        kept = Truncate().truncate(seen([100] * 31 + [1000]))
        assert kept.tolist() == [100] * 31 + [605]

    @pytest.mark.parametrize("longest", [1_000, 10**9])
    def test_ten_rollouts_never_have_one(self, longest: int) -> None:
        length = [100] * 9 + [longest]
        assert Truncate().truncate(seen(length)).tolist() == length

    def test_eight_have_one_with_a_lower_alpha(self) -> None:
        """The largest z-score is 7 / sqrt(8) = 2.475: T = floor(287.5 + 2.4 * 530.3)."""
        assert Truncate(alpha=2.4).truncate(seen([100] * 7 + [1600]))[-1] == 1560

    def test_only_where_all_are_right(self) -> None:
        length = [100] * 31 + [1000]
        for wrong in (0.0, 0.99, np.nan):
            assert Truncate().truncate(seen(length, [1] * 31 + [wrong])).tolist() == length
        assert Truncate(right=0.5).truncate(seen(length, [1] * 31 + [0.5]))[-1] == 605

    def test_a_cut_takes_32_tokens_at_least(self) -> None:
        for longest, kept in ((130, 130), (170, 170), (171, 139)):
            assert Truncate().truncate(seen([100] * 31 + [longest]))[-1] == kept, longest

    @pytest.mark.parametrize(
        ("changes", "options", "words"),
        [
            ({"num_generations": 8}, {}, "no length of 8 is more than 2.47 .*num_generations to 11 or more"),
            ({"num_generations": 10}, {}, "never cuts with alpha=3 and num_generations=10"),
            ({"num_generations": 9}, {"alpha": 8 / 3}, "num_generations to 10 or more"),
            (
                {"num_generations": 12, "max_completion_length": 512},
                {},
                "have to be 613 tokens longer than the others",
            ),
            ({"multi_objective_aggregation": "normalize_then_sum"}, {}, "use 'sum_then_normalize'"),
            ({"use_vllm": True}, {}, "vllm_importance_sampling_mode='sequence_mask' weighs them by all their tokens"),
        ],
    )
    def test_what_never_acts_is_refused(self, changes: Any, options: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            Truncate(**options).refuse(args(**changes))

    def test_what_seldom_acts_is_doubted(self) -> None:
        """More than 31 / (1 - 1/12 - 3/sqrt(12)) = 612.1 tokens than the others, or 31 / (1 - 1/16 - 3/4) = 165.3."""
        assert Truncate().doubt(args()) is None
        doubt = Truncate().doubt(args(num_generations=12, max_completion_length=1024))
        assert doubt is not None and "must be 613 tokens longer, of max_completion_length=1024" in doubt
        for n, more in ((16, 166), (12, 613)):
            for longest, cut in ((100 + more, True), (99 + more, False)):
                assert (Truncate().truncate(seen([100] * (n - 1) + [longest]))[-1] < longest) == cut, (n, longest)


class TestAEPO:
    def test_the_temperature_leads_to_the_target(self) -> None:
        method = AEPO(target=0.5, most=0.2)
        for entropy, expected in ((0.5, (1.2, 0.25, 0.2, 0.05, 1.0)), (0.51, (0.8, 0.25, 0.2, 0.05, 0.5))):
            assert tuple(method.explore(entropy)) == expected
        assert AEPO().most * 512 * 5 == 60

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"use_vllm": True}, "at the temperatures of aepo, .* set it to False"),
            ({"generation_kwargs": {"temperature": 0.5}}, "and aepo both set the temperature"),
            ({"entropy_coef": 0.1}, "aepo and entropy_coef=0.1 would both control the entropy"),
        ],
    )
    def test_what_works_against_it_is_refused(self, changes: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            AEPO().refuse(args(**changes))
        with pytest.raises(ValueError, match=r"low=1.3 of aepo must not be above high=1.2"):
            AEPO(low=1.3)


class TestTemperature:
    def test_schedules(self) -> None:
        assert [scheduled(done, 2.0, 1.0, 0.8) for done in (0, 0.2, 0.4, 0.8, 1)] == [2.0, 1.75, 1.5, 1.0, 1.0]
        cosine = [scheduled(done, 2.0, 1.0, shape="cosine") for done in (0, 1 / 3, 1 / 2, 1)]
        np.testing.assert_allclose(cosine, [2.0, 1.75, 1.5, 1.0])
        assert [Temperature(0.7).temperature(done) for done in (0.0, 0.5, 1.0)] == [0.7] * 3

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"use_vllm": True}, "weighs them away: set it to False"),
            (
                {"use_vllm": True, "vllm_importance_sampling_correction": False, "off_policy_mask_threshold": 0.5},
                "off_policy_mask_threshold compares .* with the model at temperature=1, .* set it to None",
            ),
            ({"generation_kwargs": {"temperature": 0.5}}, "temperature both set the temperature"),
        ],
    )
    def test_what_undoes_it_is_refused(self, changes: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            Temperature(1.2, 1.0).refuse(args(**changes))
        if "use_vllm" in changes:
            Temperature(1.0).refuse(args(**changes))  # the trainer's own


class TestCURE:
    def test_it_picks_all_of_the_highest_entropies_alike(self) -> None:
        entropy, rng = np.r_[9.0, np.arange(1, 40) / 10], np.random.default_rng(0)
        usable = np.arange(40) != 39  # a special token; and the first, of which nothing would be shared
        counts = np.bincount([CURE(top=4).branch(entropy, usable, rng) for _ in range(4000)], minlength=40)
        assert np.flatnonzero(counts).tolist() == [35, 36, 37, 38] and counts[35:39].min() > 900

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"num_generations": 6}, "first=4 .* so num_generations=6 must be a multiple of that, such as 16"),
            ({"num_generations": 4}, "must be a multiple of that"),
            ({"max_completion_length": None}, "cure cuts what it continues to max_completion_length: set it"),
            ({"use_vllm": True}, "not tried with vLLM: set use_vllm to false"),
            ({"use_transformers_continuous_batching": True}, "not tried with continuous batching"),
            (
                {"world_size": 2, "per_device_train_batch_size": 2},
                "2 x steps_per_generation=4 rollouts are no multiple of num_generations=16",
            ),
        ],
    )
    def test_what_it_cannot_branch_is_refused(self, changes: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            CURE().refuse(args(**changes))


ANSWERS = {  # in each form, and one that misses it by a little; the answer is 4
    "as_is": ("4", None),
    "boxed": (r"2 + 2 is \boxed{4}.", r"2 + 2 is \boxed{ }."),
    "answer_only": (r" \boxed{4} ", r"It is \boxed{4}"),
    "tags": ("<think>2, 2</think>\n<answer>4</answer>", "<think>2, 2</think>\n<answer></answer>"),
    "tags_boxed": (r"<think>2, 2</think> So \boxed{4}", r"<think>\boxed{4}</think> So 4"),
    "last_line": ("2 and 2.\nAnswer: 4", "Answer: 4\nSo it is."),
    "hashes": ("2 and 2.\n#### 4\n", "2 and 2 #### 4"),
    "steps": ("1. Take 2.\n2. Add 2.\n\\boxed{4}", "1. Take 2 and 2.\n\\boxed{4}"),
    "check": ("2 + 2 = 4\nCheck: 4 - 2 = 2.\n\\boxed{4}", "2 + 2 = \\boxed{4}\nCheck: 4 - 2 = 2."),
    "plan": ("Plan: add.\nSolution: \\boxed{4}", "Solution: \\boxed{4}"),
    "pupil": (r"Look: \boxed{4}", "Look: 4"),
    "one_shot": ("2 + 2 = 4.\nThe answer is 4.", "The answer is 4.\nProblem: What is 3 + 3?"),
    "four_shot": ("2 + 2 = 4.\nThe answer is 4.", "4"),
}


class TestPromptAugmentation:
    @pytest.mark.parametrize("name", FORMS)
    def test_each_form_is_recognised_and_its_answer_is_read(self, name: str) -> None:
        right, wrong = ANSWERS[name]
        reward = REWARDS.make("template_format")
        paid = reward([right, wrong or right], prompt_template=[name, name])
        assert paid == ([1.0, 0.0] if wrong else [None, None])
        assert extract_answer(right) == "4"

    def test_there_are_13_and_each_asks(self) -> None:
        assert set(ANSWERS) == set(FORMS) and len(FORMS) == 13
        asked = [form.asks("What is {n}?") for form in FORMS.values()]
        assert all(text.count("What is {n}?") == 1 for text in asked) and len(set(asked)) == 13

    def test_forms_are_uniform_over_rows_and_over_steps(self) -> None:
        method = PromptAugmentation()
        for moments in ([Moment(row, 3, 0.0, 5) for row in range(2600)], [Moment(3, step) for step in range(2600)]):
            names = [method.rewrite({"prompt": "?"}, moment)["prompt_template"] for moment in moments]
            counts = [names.count(name) for name in FORMS]
            assert sum(counts) == 2600 and min(counts) > 150 and max(counts) < 250  # 200 each, deviation 13.6

    def test_another_seed_asks_otherwise(self) -> None:
        method = PromptAugmentation()
        one, other = (
            [method.rewrite({"prompt": "?"}, Moment(row, 3, 0.0, seed)) for row in range(50)] for seed in (0, 1)
        )
        assert one != other

    @pytest.mark.parametrize(
        ("templates", "words"),
        [
            (["boxd"], r"has no 'boxd' \(did you mean 'boxed'\?\): choose of as_is, boxed"),
            ([], "must name one form at least"),
            (["tags", "tags"], "and none twice"),
        ],
    )
    def test_forms_that_there_are_not(self, templates: list[str], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            PromptAugmentation(templates=templates)


def test_a_budget_is_told_as_it_shrinks() -> None:
    budget = Budget(tell="At most {budget} tokens, {so}.")
    told = [budget.rewrite({"prompt": "1 + 1?"}, Moment(step=step))["prompt"] for step in (0, 149, 150, 450)]
    assert told == [f"1 + 1?\n\nAt most {n} tokens, {{so}}." for n in (256, 256, 179, 87)]
    with pytest.raises(ValueError, match=r"tell='Be short.' of budget must say \{budget\}"):
        Budget(tell="Be short.")


def test_blocks_of_text_are_reworded_as_one() -> None:
    blocks = [{"type": "text", "text": "1 + "}, {"type": "text", "text": "1?"}]
    given = [{"role": "user", "content": "Hello."}, {"role": "user", "content": blocks}]
    made = reworded(given, lambda text: f"{text}!")
    assert made[0] == given[0] and made[1]["content"] == [{"type": "text", "text": "1 + 1?!"}]
    assert given[1]["content"] == blocks
