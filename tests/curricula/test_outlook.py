"""What curricula say beforehand is what they do."""

from typing import Any

import numpy as np
import pytest

from trl_curriculum import Feedback, Pool
from trl_curriculum.arms import make_arms
from trl_curriculum.curricula import CURRICULA, Curriculum
from trl_curriculum.curricula.outlook import Outlook


def bound(spec: Any, size: int = 12, arms: int = 1) -> Curriculum:
    names = [f"arm {k}" for k in range(arms)]
    pool = Pool(size, arm=np.arange(size) % arms, arm_names=names, difficulty=np.arange(size))
    return CURRICULA.make(spec).bind(pool)


GIVEN = {"placebo": {"placebo": {"of": "sec"}}, "alp_gmm": {"alp_gmm": {"parameters": "difficulty"}}}
EVERY: dict[str, Any] = {name: GIVEN.get(name, name) for name in CURRICULA.built_in}


def refreshed(curriculum: Any, batches: int, rows: int) -> list[int]:
    """Batches, counted from 1, before which it has refreshed, or begun a round."""
    seen = []
    for batch in range(1, batches + 1):
        counter = "refreshes" if hasattr(curriculum, "refreshes") else "round"
        before, progress = getattr(curriculum, counter), (batch - 1) / batches
        while (asked := curriculum.rows_to_probe(progress)) is not None:
            curriculum.observe_probe(asked, np.linspace(1, 2, len(asked)))
        draw = curriculum.select(rows, progress)
        if getattr(curriculum, counter) > before:
            seen.append(batch)
        loss = 1 + draw.row / 10
        ones = np.ones(rows, np.int64)
        curriculum.observe(Feedback(draw.row, draw.id, batch, length=ones, loss=loss, entropy=loss))
    return seen


@pytest.mark.parametrize(
    "spec",
    [
        "evo_curate",
        {"evo_curate": {"refresh_steps": 3}},
        {"evo_curate": {"measure": "probe", "refresh_steps": 4}},
        "self_paced",
        "loss_top_k",
        {"loss_top_k": {"measure": "probe"}},
        "data_maps",
        {"data_maps": {"measure": "probe", "refresh_steps": 2}},
        "cyclical",
        {"cyclical": {"measure": "probe", "start": 0.5}},
        {"pudf": {"response": "loss", "refresh_steps": 3}},
        {"edco": {"rounds": 3}},
        {"edco": {"rounds": 7}},
        {"edco": {"rounds": 50, "score_by": "random"}},
        {"edco": {"rounds": 50}},
    ],
)
@pytest.mark.parametrize("rows", [1, 4, 5, 24])
def test_refreshes_and_rounds_fall_where_they_are_announced(spec: Any, rows: int) -> None:
    outlook = bound(spec).outlook(20, rows)
    assert list(outlook.events) == refreshed(bound(spec), 20, rows)
    if outlook.acts_at is not None and outlook.acts_at <= 20:
        assert outlook.acts_at in outlook.events
    if outlook.probes:
        assert outlook.probes == len(outlook.events)


@pytest.mark.parametrize(
    ("spec", "batches", "acts_at", "remedy"),
    [
        ("evo_curate", 3, 4, "refresh_steps to at most 2"),
        ("data_maps", 6, 7, "refresh_steps to at most 2"),
        ("cyclical", 1, 2, "train for more steps"),
        ({"self_paced": {"refresh_steps": 9}}, 5, 10, "refresh_steps to at most 4"),
        ({"ucb1": {"round_batches": 20}}, 15, 21, "round_batches to at most 3"),
        ({"gain_rl": {"subset": 12}}, 3, 4, "subset to at most 8"),
        ({"pudf": {"refresh_steps": 9}}, 5, 10, "refresh_steps to at most 4"),
        ("adarft", 1, 2, "train for more steps"),
        ("wiki_r1", 1, 2, "train for more steps"),
    ],
)
def test_when_it_acts_too_late_it_says_what_to_set(spec: Any, batches: int, acts_at: int, remedy: str) -> None:
    outlook = bound(spec, arms=3).outlook(batches, 4)
    assert outlook.acts_at == acts_at > batches and remedy in outlook.remedy
    name, value = remedy.split(" to at most ") if "at most" in remedy else ("", "")
    if name:
        method = spec if isinstance(spec, str) else next(iter(spec))
        sooner = bound({method: {name: int(value)}}, arms=3).outlook(batches, 4)
        assert sooner.acts_at is not None and sooner.acts_at <= batches


@pytest.mark.parametrize(
    ("spec", "batches", "rows", "words"),
    [
        ({"evo_curate": {"kappa": 1.0}}, 9, 4, "kappa=1 draws all rows alike"),
        ({"loss_top_k": {"share": 1.0}}, 9, 4, "share=1 draws all rows alike"),
        ({"self_paced": {"start": 1.0}}, 9, 4, "start=1 draws all rows alike"),
        ({"evo_curate": {"diversity": 0.5}}, 9, 4, "diversity=0.5 spreads draws over arms, and there is one"),
        ({"edco": {"top_n": 12}}, 9, 4, "top_n=12 takes all 12 rows"),
        ({"edco": {"rounds": 8}}, 3, 4, "rounds=8 are asked for and only 3 begin"),
        ({"baby_steps": {"stages": 9}}, 2, 4, "stages=9 are asked for and only 2 begin"),
        ("gain_rl", 9, 4, "width=1000 ranks is more than the pool's 12"),
        ({"wiki_r1": {"levels": True}}, 9, 4, "levels=true goes from arm to arm, and there is one"),
        ("order", 2, 4, "8 of the 12 rows of the order: the hardest never come; set total_draws: 8"),
        ({"order": {"mode": "hard_to_easy"}}, 2, 4, "the easiest never come"),
        ({"order": {"total_draws": 100}}, 2, 4, "8 of the 100 rows of the order"),
    ],
)
def test_what_is_hardly_meant_is_said(spec: Any, batches: int, rows: int, words: str) -> None:
    assert words in " ".join(bound(spec).outlook(batches, rows).odd)


def test_arms_that_never_come_are_named() -> None:
    pool = Pool(12, arm=np.repeat([0, 1, 2], 4), arm_names=["easy", "medium", "hard"])
    blocked = CURRICULA.make({"order": {"mode": "blocked"}}).bind(pool)
    outlook = blocked.outlook(3, 2)
    assert outlook.by_arm and outlook.in_order and "'hard' never come" in outlook.odd[0]
    drawn = {int(arm) for _ in range(3) for arm in blocked.select(2).arm}
    assert drawn == {0, 1}
    assert blocked.outlook(6, 2).odd == ()


def test_who_chooses_among_arms() -> None:
    by_arm = {name for name, spec in EVERY.items() if bound(spec, arms=2).outlook(9, 4).by_arm}
    assert by_arm == {"sec", "dump", "mixture", "e2h", "placebo"}
    assert bound({"order": {"mode": "interleaved"}}, arms=2).outlook(9, 4).by_arm
    assert bound("uniform").outlook(None, None) == Outlook()


@pytest.mark.parametrize("spec", EVERY.values(), ids=EVERY)
def test_an_outlook_changes_nothing_and_needs_no_sizes(spec: Any) -> None:
    one, other = bound(spec, arms=2), bound(spec, arms=2)
    for sizes in ((None, None), (9, None), (None, 4), (9, 4), (0, 1)):
        one.outlook(*sizes)
    assert str(one.state_dict()) == str(other.state_dict())


@pytest.mark.parametrize("every", [1, 3])
def test_estimated_arms_are_regrouped_where_it_is_announced(every: int) -> None:
    def sec(every: int) -> Any:
        return CURRICULA.make("sec").bind(Pool(12, estimated=make_arms({"success_rate": {"every": every}})))

    curriculum, batch = sec(every), 0
    announced = curriculum.outlook(9, 4).acts_at
    while not curriculum.arms.arm.any():  # all are untried
        batch += 1
        draw, ones = curriculum.select(4), np.ones(4)
        curriculum.observe(Feedback(draw.row, draw.id, batch, length=ones, reward=ones, advantage=ones))
    assert announced == batch + 1
    assert sec(9).outlook(9, 4).remedy == "set every of success_rate to at most 8"
    assert sec(8).outlook(9, 4).acts_at == 9
