"""Which methods are refused beside each other, and beside streams."""

from types import SimpleNamespace
from typing import Any

import pytest

from trl_curriculum.rollouts import ROLLOUTS
from trl_curriculum.shaping import SHAPING
from trl_curriculum.trainers.fit import refuse_at_odds, refuse_clashing, refuse_unmoved, refuse_unstreamable
from trl_curriculum.trainers.grpo_checks import rewriters


TRUNCATE = {"truncate": {"alpha": 0.3, "least": 1}}


@pytest.mark.parametrize(
    ("rollouts", "shaping", "words"),
    [
        (["aepo"], ["entrocraft"], "aepo and entrocraft would both control the entropy"),
        (["aepo"], ["clip_cov", "siren"], "aepo and siren would both control the entropy"),
        (["replay"], ["entrocraft"], "replay puts stored rollouts in the place of those that entrocraft leaves out"),
        (["self_imitation"], ["entrocraft"], "self_imitation puts stored rollouts in the place"),
        (["refill"], ["spine"], "refill goes by the rewards that spine replaces: leave one out"),
        ([{"temperature": {"start": 1.0}}, TRUNCATE], ["spine"], "truncate goes by the rewards that spine replaces"),
        (["allocation"], ["spine"], "allocation goes by the rewards that spine replaces"),
    ],
)
def test_a_method_that_undoes_a_shaper_is_refused(rollouts: list[Any], shaping: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refuse_at_odds(ROLLOUTS.make_all(rollouts), SHAPING.make_all(shaping))


def test_others_go_together() -> None:
    for rollouts, shaping in (
        (["refill", TRUNCATE], ["kl_cov"]),
        (["self_imitation"], ["clip_cov"]),
        (["replay"], ["siren"]),
        (["refill"], ["entrocraft"]),
        ([{"temperature": {"start": 1.0}}], ["spine"]),
        (["aepo"], ["clip_b"]),
    ):
        refuse_at_odds(ROLLOUTS.make_all(rollouts), SHAPING.make_all(shaping))


@pytest.mark.parametrize("rollouts", [[], ["replay"], ["self_imitation"], ["refill"], [{"refill": {"carry": True}}]])
def test_tokens_must_have_moved_where_they_are_held_back(rollouts: list[Any]) -> None:
    args = SimpleNamespace(gradient_accumulation_steps=4, steps_per_generation=2, num_iterations=2)
    given = ROLLOUTS.make_all(rollouts), SHAPING.make_all(["kl_cov", "clip_cov"])
    if rollouts in ([], ["refill"]):
        with pytest.raises(ValueError, match=r"kl_cov acts on tokens that have moved .* or replay: rollouts: .replay"):
            refuse_unmoved(*given, args)
    else:
        refuse_unmoved(*given, args)
    args.num_iterations = 4
    refuse_unmoved(*given, args)


def test_beliefs_about_rows_are_not_made_of_what_was_cut() -> None:
    with pytest.raises(ValueError, match="allocation and truncate were not tried together: leave one out"):
        refuse_clashing(ROLLOUTS.make_all([TRUNCATE, "allocation"]))
    refuse_clashing(ROLLOUTS.make_all([TRUNCATE, "refill"]))


@pytest.mark.parametrize(
    ("rollouts", "shaping", "words"),
    [
        (["aepo"], [], "aepo asks prompts once more, and a row of a stream is gone once it was read"),
        (["allocation"], [], "allocation remembers something of every row, and rows of streams come once"),
        ([], ["ceeh"], "ceeh remembers something of every row"),
    ],
)
def test_what_streams_leave_without_effect_is_refused(rollouts: list[Any], shaping: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refuse_unstreamable(ROLLOUTS.make_all(rollouts), SHAPING.make_all(shaping))
    every = ["refill", "replay", "cure", "prompt_augmentation", {"temperature": {"start": 1.0}}, TRUNCATE]
    refuse_unstreamable(ROLLOUTS.make_all(every), SHAPING.make_all(["siren", "lead", "budget"]))


@pytest.mark.parametrize("spec", ["aepo", {"temperature": {"start": 1.5}}])
def test_continuous_batching_was_not_tried_with_temperatures(spec: Any) -> None:
    args = SimpleNamespace(
        generation_kwargs=None, use_vllm=False, temperature=1.0, entropy_coef=0.0, use_adaptive_entropy=False,
        use_transformers_continuous_batching=True,
    )  # fmt: skip
    with pytest.raises(ValueError, match="was not tried with continuous batching: set use_transformers_continuous"):
        ROLLOUTS.make_all([spec])[0].refuse(args)


def test_a_budget_that_is_not_told_needs_no_column_of_prompts() -> None:
    """`GRPOChecks` refuses rewriters of datasets whose prompts an environment makes."""
    assert len(rewriters((), SHAPING.make_all([{"budget": {"tell": "{budget}"}}]))) == 1
    assert rewriters((), SHAPING.make_all(["budget"])) == []
