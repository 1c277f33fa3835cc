"""A placebo draws as unevenly as its method, from the wrong places, and learns what its method would."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from trl_curriculum import CURRICULA, Feedback, Pool
from trl_curriculum.arms import make_arms
from trl_curriculum.curricula import Placebo
from trl_curriculum.disk.state import StateError


def pool(*sizes: int) -> Pool:
    arm = np.repeat(np.arange(len(sizes)), sizes)
    return Pool(len(arm), arm, [f"arm{k}" for k in range(len(sizes))], difficulty=np.arange(len(arm)))


def bound(of: Any, over: Pool, seed: int = 0) -> Any:
    return CURRICULA.make({"placebo": {"of": of}}).bind(over, seed)


def select(one: Any, n: int, progress: float) -> Any:
    while (asked := one.rows_to_probe(progress)) is not None:
        one.observe_probe(asked, np.linspace(0, 1, len(asked)))
    return one.select(n, progress)


def follow(of: Any, over: Pool, steps: int = 12) -> Iterator[tuple[Any, Any, Any]]:
    """A placebo, what it drew, and what its method would have drawn that saw the same."""
    placebo, method = bound(of, over), CURRICULA.make(of).bind(over)
    for step in range(steps):
        seen, meant = (select(one, 4, step / steps) for one in (placebo, method))
        yield placebo, seen, meant
        for one in (placebo, method):
            value = seen.row / over.size
            one.observe(Feedback(seen.row, seen.id, step, reward=value, advantage=value, loss=value))


BY_ROWS = [
    "uniform",
    "order",
    "baby_steps",
    "competence",
    "loss_top_k",
    "evo_curate",
    "edco",
    "adarft",
    "gain_rl",
    "wiki_r1",
    "pudf",
]
BY_ARMS = [{"sec": {"tau": 0.2}}, "dump", "ucb1", "mixture", {"order": {"mode": "blocked"}}, "e2h"]


@pytest.mark.parametrize("of", BY_ROWS, ids=str)
def test_of_rows_it_trains_on_those_in_the_places_of_those_that_its_method_drew(of: Any) -> None:
    for placebo, seen, meant in follow(of, pool(6, 6, 6)):
        assert seen.row.tolist() == placebo.other_row[meant.row].tolist()
        assert seen.probability == pytest.approx(meant.probability, nan_ok=True)
        assert seen.id.tolist() == meant.id.tolist() and seen.events == meant.events
        assert seen.arm.tolist() == placebo.pool.arm[seen.row].tolist()
        assert sorted(placebo.other_row) == list(range(18)) and placebo.other_row.tolist() != list(range(18))


@pytest.mark.parametrize("of", BY_ARMS, ids=str)
def test_of_arms_it_trains_on_the_next_rows_of_those_in_the_places_of_others(of: Any) -> None:
    over = pool(2, 3, 9)
    size, drawn = over.arm_size, [[], [], []]  # type: ignore[var-annotated]
    for placebo, seen, meant in follow(of, over):
        assert seen.arm.tolist() == placebo.other_arm[meant.arm].tolist() == over.arm[seen.row].tolist()
        assert sorted(placebo.other_arm) == [0, 1, 2]
        of_arm = meant.probability * size[meant.arm]  # of the arm that the method drew
        assert seen.probability == pytest.approx(of_arm / size[seen.arm], nan_ok=True)
        for row, arm in zip(seen.row.tolist(), seen.arm.tolist(), strict=True):
            drawn[arm].append(row)
    for n, rows in zip(size, drawn, strict=True):  # an arm is used up before one of its rows comes again
        assert all(len(set(rows[k : k + n])) == len(rows[k : k + n]) for k in range(0, len(rows), n))


def renewals(of: Any, steps: int = 12, over: Pool | None = None) -> list[int]:
    """Steps in which a placebo exchanges otherwise than before."""
    last, found = None, []
    for step, (placebo, _, _) in enumerate(follow(of, over or pool(6, 6, 6, 6), steps)):
        now = (placebo.other_arm if placebo.by_arm else placebo.other_row).tolist()
        if now != last:
            found.append(step)
        last = now
    return found


def test_it_exchanges_otherwise_whenever_its_method_chooses_anew() -> None:
    assert renewals({"loss_top_k": {"refresh_steps": 3}}) == [0, 3, 6, 9]
    assert renewals({"loss_top_k": {"refresh_steps": 5, "measure": "probe"}}) == [0, 5, 10]
    assert renewals({"edco": {"rounds": 4}}) == [0, 3, 6, 9]
    assert renewals({"pudf": {"refresh_steps": 3}}) == [0, 3, 6, 9]
    assert renewals({"gain_rl": {"subset": 16}}) == [0, 4, 8]
    assert renewals("adarft") == renewals("wiki_r1") == [*range(12)]
    eight = pool(*[3] * 8)  # so that another is not the same by chance
    assert renewals({"ucb1": {"round_batches": 4}}, over=eight) == [0, 4, 8]
    assert renewals("sec", over=eight) == renewals("dump", over=eight) == [*range(12)]
    for once in ("mixture", "order", {"order": {"mode": "blocked"}}, "baby_steps", "competence", "e2h", "uniform"):
        assert renewals(once) == [0], once
    estimated = Pool(24, estimated=make_arms({"success_rate": {"every": 5}}))
    assert renewals("sec", over=estimated) == [0, 5, 10]


def test_a_bandit_that_draws_one_arm_has_a_placebo_that_draws_all_alike() -> None:
    """And its method believes the truth of each arm."""
    placebo = bound({"sec": {"tau": 0.05}}, pool(20, 20, 20, 20))
    drawn = []
    for step in range(440):
        draw = placebo.select(8)
        if step >= 40:
            assert placebo.inner.probabilities()[2] > 0.99
            drawn.append(np.bincount(draw.arm, minlength=4))
        placebo.observe(Feedback(draw.row, draw.id, step, advantage=np.where(draw.arm == 2, 0.9, 0.0)))
    assert placebo.inner.belief().mean.argmax() == 2
    assert placebo.metrics()["value/arm2"] > 0.8 and not any("probability" in key for key in placebo.metrics())
    assert np.mean([one.max() for one in drawn]) > 7.9  # as uneven as the method in each batch
    most = np.bincount([one.argmax() for one in drawn], minlength=4)
    assert most == pytest.approx(np.full(4, 100), abs=5 * np.sqrt(400 * 0.25 * 0.75))


def test_what_is_chosen_once_is_never_left_in_its_place_and_of_all_others_equally_often() -> None:
    found: dict[tuple[int, ...], int] = {}
    for seed in range(600):
        key = tuple(bound("mixture", pool(1, 1, 1), seed).other_arm.tolist())
        found[key] = found.get(key, 0) + 1
    assert set(found) == set(itertools.permutations(range(3))) - {(0, 1, 2)}
    assert all(count == pytest.approx(120, abs=5 * np.sqrt(600 * 0.2 * 0.8)) for count in found.values())


def test_two_arms_of_a_fixed_mixture_are_swapped_and_a_run_is_told() -> None:
    swapped = bound({"mixture": {"weights": {"arm0": 3, "arm1": 0}}}, pool(3, 3))
    assert set(swapped.select(9).arm.tolist()) == {1}
    assert "two arms can only be swapped" in swapped.outlook(9, 4).odd[0]
    assert bound("mixture", pool(3, 3, 3)).outlook(9, 4).odd == bound("sec", pool(3, 3)).outlook(9, 4).odd == ()


def test_estimated_arms_have_rows_exchanged_and_draws_say_the_arm_of_now() -> None:
    placebo = bound("sec", Pool(12, estimated=make_arms({"success_rate": {"every": 1}})))
    assert placebo.takes_estimated_arms and not placebo.by_arm
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
    for of, name in (("sec", "other_arm"), ("loss_top_k", "other_row")):
        placebo = bound(of, pool(3, 3, 3))
        placebo.select(2)
        state = placebo.state_dict()
        assert "pool" not in state["of"]  # which would be saved twice
        assert ("other_row" in state["own"]) == (name == "other_row")
        for change, words in (
            ({"own": state["own"] | {name: 0 * state["own"][name]}}, f"'{name}' of PlaceboCurriculum cannot be"),
            ({"of": None}, "no whole 'of'"),
            ({"of": state["of"] | {"own": state["of"]["own"] | {"drawn": 7}}}, "'drawn' of PlaceboCurriculum"),
        ):
            with pytest.raises(StateError, match=words):
                bound(of, pool(3, 3, 3)).load_state_dict(state | change)
    del state["own"]["other_row"]
    with pytest.raises(StateError, match="'other_row' of PlaceboCurriculum cannot be"):
        bound("loss_top_k", pool(3, 3, 3)).load_state_dict(state)
    with pytest.raises(StateError, match="made with of='loss_top_k', but this run has of='dump'"):
        bound("dump", pool(3, 3, 3)).load_state_dict(state)


def test_it_does_not_exchange_by_the_random_numbers_of_its_method() -> None:
    """Of one seed they would be the same permutation."""
    first_pass = CURRICULA.make("uniform").bind(pool(9, 9)).select(18).row
    assert bound("uniform", pool(9, 9)).other_row.tolist() != first_pass.tolist()


def test_another_seed_exchanges_otherwise_and_a_resume_does_not() -> None:
    first, second = (bound("loss_top_k", pool(20, 20), seed) for seed in (0, 1))
    assert first.other_row.tolist() != second.other_row.tolist()
    second.load_state_dict(first.state_dict())
    assert first.other_row.tolist() == second.other_row.tolist()
