"""A placebo draws as unevenly as its method, from the wrong places, and learns what its method would."""

import itertools
from typing import Any

import numpy as np
import pytest

from trl_curriculum import CURRICULA, Feedback, Pool
from trl_curriculum.arms import make_arms
from trl_curriculum.curricula import Placebo
from trl_curriculum.curricula.placebo import exchange
from trl_curriculum.disk.state import StateError


def pool(*sizes: int) -> Pool:
    arm = np.repeat(np.arange(len(sizes)), sizes)
    return Pool(len(arm), arm, [f"arm{k}" for k in range(len(sizes))], difficulty=np.arange(len(arm)))


def bound(of: Any, over: Pool, seed: int = 0) -> Any:
    return CURRICULA.make({"placebo": {"of": of}}).bind(over, seed)


def arm_goes_to(moved: np.ndarray, arm: np.ndarray) -> list[set[int]]:
    return [set(arm[moved[arm == k]].tolist()) for k in range(arm.max() + 1)]


def test_arms_of_one_size_move_whole_and_to_every_place_equally_often() -> None:
    arm = np.tile([0, 1, 2], 4)
    found: dict[tuple[int, ...], int] = {}
    for seed in range(3000):
        moved = exchange(arm, 3, np.random.default_rng(seed))
        assert sorted(moved) == list(range(12))
        to = arm_goes_to(moved, arm)
        assert all(len(goal) == 1 for goal in to)
        key = tuple(goal.pop() for goal in to)
        found[key] = found.get(key, 0) + 1
    assert set(found) == set(itertools.permutations(range(3))) - {(0, 1, 2)}
    assert all(count == pytest.approx(600, abs=5 * np.sqrt(3000 * 0.2 * 0.8)) for count in found.values())


def test_of_arms_of_unequal_sizes_as_many_rows_move_together_as_fit() -> None:
    arm = np.repeat([0, 1, 2], [2, 5, 8])
    for seed in range(50):
        moved = exchange(arm, 3, np.random.default_rng(seed))
        assert sorted(moved) == list(range(15))
        count = np.zeros((3, 3), int)
        np.add.at(count, (arm, arm[moved]), 1)
        size = np.bincount(arm)
        fitting = [
            to
            for to in itertools.permutations(range(3))
            if to != (0, 1, 2) and all(count[k, to[k]] >= min(size[k], size[to[k]]) for k in range(3))
        ]
        assert fitting, count


def test_two_arms_are_swapped_and_a_run_is_told() -> None:
    placebo = bound("sec", pool(3, 3))
    assert arm_goes_to(placebo.moved, placebo.pool.arm) == [{1}, {0}]
    assert "two arms can only be swapped" in placebo.outlook(9, 4).odd[0]
    assert bound("sec", pool(3, 3, 3)).outlook(9, 4).odd == ()


@pytest.mark.parametrize("of", ["order", "baby_steps", "loss_top_k", "edco", {"sec": {"tau": 0.2}}, "uniform"])
def test_it_trains_on_the_rows_in_the_places_of_those_that_its_method_drew(of: Any) -> None:
    placebo, method = bound(of, pool(4, 4, 4)), CURRICULA.make(of).bind(pool(4, 4, 4))
    for step in range(6):
        for one in (placebo, method):
            while (asked := one.rows_to_probe(step / 6)) is not None:
                one.observe_probe(asked, np.linspace(0, 1, len(asked)))
        seen, meant = placebo.select(3, step / 6), method.select(3, step / 6)
        assert seen.row.tolist() == placebo.moved[meant.row].tolist()
        assert seen.probability == pytest.approx(meant.probability, nan_ok=True)
        assert seen.id.tolist() == meant.id.tolist() and seen.events == meant.events
        assert seen.arm.tolist() == placebo.pool.arm[seen.row].tolist()
        for one in (placebo, method):  # the same rows were trained on
            value = seen.row / 12
            one.observe(Feedback(seen.row, seen.id, step, reward=value, advantage=value, loss=value))
    assert sorted(placebo.moved) == list(range(12)) and placebo.moved.tolist() != list(range(12))


def test_its_method_believes_the_truth_of_each_arm_and_another_arm_is_drawn_by_it() -> None:
    over = pool(20, 20, 20, 20)
    placebo = bound({"sec": {"tau": 0.05}}, over)
    (goal,) = arm_goes_to(placebo.moved, over.arm)[2]
    for step in range(30):
        draw = placebo.select(8)
        good = np.where(draw.arm == 2, 0.9, 0.0)  # what arm 2 shows
        placebo.observe(Feedback(draw.row, draw.id, step, advantage=good))
    assert placebo.inner.belief().mean.argmax() == 2 and placebo.inner.probabilities()[2] > 0.99
    assert set(placebo.select(100).arm.tolist()) == {goal}
    assert placebo.metrics()["value/arm2"] > 0.8 and not any("probability" in key for key in placebo.metrics())


@pytest.mark.parametrize(
    ("of", "same"),
    [
        ("order", False),
        ("loss_top_k", False),
        ({"order": {"mode": "blocked"}}, True),
        ("mixture", True),
        ("ucb1", True),
    ],
)
def test_who_chooses_arms_has_arms_exchanged_and_all_others_rows(of: Any, same: bool) -> None:
    over = pool(30, 30, 30)
    wholes = [len(goal) == 1 for goal in arm_goes_to(bound(of, over).moved, over.arm)]
    assert all(wholes) == same and any(wholes) == same


def test_estimated_arms_have_rows_exchanged_and_draws_say_the_arm_of_now() -> None:
    placebo = bound("sec", Pool(12, estimated=make_arms({"success_rate": {"every": 1}})))
    assert placebo.takes_estimated_arms and not placebo.chooses_arms
    for step in range(9):
        draw = placebo.select(4)
        assert draw.arm.tolist() == placebo.inner.arms.arm[draw.row].tolist()
        ones = np.ones(4)
        placebo.observe(Feedback(draw.row, draw.id, step, reward=ones, advantage=ones))
    with pytest.raises(ValueError, match="no effect on curriculum 'order'"):
        bound("order", Pool(12, difficulty=np.arange(12), estimated=make_arms("success_rate")))


def test_it_needs_and_trains_what_its_method_does() -> None:
    for of in ("sec", "ucb1", "evo_curate", {"edco": {"reprobe": "uncertain"}}, {"order": {"difficulty": "probe"}}):
        placebo, method = Placebo(of=of), CURRICULA.make(of)
        for fact in ("trainers", "follows", "wants", "probe", "cost"):
            assert getattr(placebo, fact) == getattr(method, fact), (of, fact)
    assert Placebo(of={"sec": {"outcome": "right"}}).outcome == "right" and Placebo(of="order").outcome is None
    assert Placebo(of="edco").optimizer == "reset" and Placebo(of="sec").optimizer is None
    assert Placebo(of={"sec": {"tau": 1.0}}).spec == {"placebo": {"of": "sec"}}


def test_what_is_no_method_is_refused() -> None:
    with pytest.raises(ValueError, match=r"of='sek' of placebo is no curriculum: Unknown curriculum 'sek' \(did you"):
        Placebo(of="sek")
    with pytest.raises(ValueError, match="of placebo is a placebo already"):
        Placebo(of={"placebo": {"of": "sec"}})
    with pytest.raises(ValueError, match="Curriculum 'placebo' needs the option 'of'"):
        CURRICULA.make("placebo")


def test_a_damaged_state_is_refused() -> None:
    placebo = bound("sec", pool(3, 3, 3))
    placebo.select(2)
    state = placebo.state_dict()
    assert "pool" not in state["of"]  # which would be saved twice
    other = dict(state["own"]) | {"moved": np.zeros(9, np.int32)}
    for change, words in (
        ({"own": other}, "'moved' of PlaceboCurriculum cannot be"),
        ({"of": None}, "no whole 'of'"),
        ({"of": state["of"] | {"own": state["of"]["own"] | {"drawn": 7}}}, "'drawn' of PlaceboCurriculum cannot be"),
    ):
        with pytest.raises(StateError, match=words):
            bound("sec", pool(3, 3, 3)).load_state_dict(state | change)
    with pytest.raises(StateError, match="made with of='sec', but this run has of='dump'"):
        bound("dump", pool(3, 3, 3)).load_state_dict(state)


def test_another_seed_exchanges_otherwise_and_a_resume_does_not() -> None:
    first, second = (bound("loss_top_k", pool(20, 20), seed) for seed in (0, 1))
    assert first.moved.tolist() != second.moved.tolist()
    second.load_state_dict(first.state_dict())
    assert first.moved.tolist() == second.moved.tolist()
