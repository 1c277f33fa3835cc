"""A curriculum's state: it continues exactly, is refused where it does not fit, and moves to another pool."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from ..curricula import Curriculum
from ..disk.state import StateError, read_state, write_state
from ..pool import Pool
from .case import through_disk
from .curricula import SUCCESS, CurriculumCase, rows
from .simulated import run


def continues_from_a_saved_state(case: CurriculumCase) -> None:
    first = case.bind()
    run(first, 7, SUCCESS, end=0.4)
    second = case.bind(seed=99)
    assert second.load_state_dict(through_disk(first.state_dict())) is None
    resumed, expected = (rows(run(one, 10, SUCCESS, seed=3, begin=0.4)) for one in (second, first))
    assert resumed == expected
    assert second.metrics() == first.metrics()


def a_state_does_not_change_after_it_was_taken(case: CurriculumCase) -> None:
    curriculum = case.bind()
    run(curriculum, 3, SUCCESS)
    state = curriculum.state_dict()
    expected = rows(run(curriculum, 10, SUCCESS, seed=5))
    again = case.bind()
    again.load_state_dict(through_disk(state))
    assert rows(run(again, 10, SUCCESS, seed=5)) == expected


def refuses_a_state_of_something_else(case: CurriculumCase) -> None:
    state = case.bind().state_dict()
    curriculum = case.bind()
    for change, words in (
        ({"method": "other"}, "curriculum 'other'"),
        ({"version": 99}, "version 99"),
    ):
        with pytest.raises(StateError, match=words):
            curriculum.load_state_dict(state | change)
    broken = dict(state)
    del broken["rng"]
    with pytest.raises(StateError, match="no entry 'rng'"):
        curriculum.load_state_dict(broken)
    for name, value in curriculum.method.options.items():
        changed = state | {"options": state["options"] | {name: "something else"}}
        with pytest.raises(StateError, match=f"{name}='something else'.*{re.escape(f'{name}={value!r}')}"):
            curriculum.load_state_dict(changed)


def refuses_files_with_a_flipped_bit(case: CurriculumCase, flips: int = 12, seed: int = 0) -> None:
    """
    Flips one bit of a saved state's files at a time; each is refused in one sentence, and nothing else is drawn.

    Args:
        case ([`CurriculumCase`]):
            A curriculum.
        flips (`int`, *optional*, defaults to `12`):
            How many bits; a long run takes more.
        seed (`int`, *optional*, defaults to `0`):
            Of their choice.
    """
    curriculum, rng = case.bind(), np.random.default_rng(seed)
    run(curriculum, 7, SUCCESS, end=0.4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "state"
        write_state(folder, curriculum.state_dict())
        files = sorted(folder.iterdir())
        for k in range(flips):
            file = files[k % len(files)]
            whole = file.read_bytes()
            broken = bytearray(whole)
            broken[rng.integers(len(whole))] ^= 1 << rng.integers(8)
            file.write_bytes(bytes(broken))
            with pytest.raises(StateError, match="resume from an earlier checkpoint") as error:
                read_state(folder)
            assert "\n" not in str(error.value)
            file.write_bytes(whole)
        case.bind().load_state_dict(read_state(folder))


def changed_pool_is_refused_or_carried_over(case: CurriculumCase) -> None:
    old = case.bind()
    run(old, 6, SUCCESS)
    drawn = old.drawn
    same = old.pool
    keep = np.arange(10, 60)  # ten rows lost, twenty new
    fresh = np.random.default_rng(1).integers(0, 2**63, 20, dtype=np.uint64)
    assert same.row_hash is not None
    bigger = Pool(
        70,
        np.concatenate([same.arm[keep], np.arange(20) % 5]) if same.n_arms > 1 else None,
        same.arm_names if same.n_arms > 1 else None,
        np.concatenate([same.difficulty[keep], np.arange(20) % 5]),  # type: ignore[index]
        np.concatenate([same.row_hash[keep], fresh]),
        same.estimated,
    )
    curriculum: Curriculum = case.bind(bigger)
    with pytest.raises(StateError, match="50 rows kept, 20 new, 10 lost"):
        curriculum.load_state_dict(old.state_dict())
    mapping = curriculum.load_state_dict(old.state_dict(), carry_over=True)
    assert mapping is not None and mapping.summary() == "50 rows kept, 20 new, 10 lost"
    assert curriculum.drawn == drawn
    reached = set(rows(run(curriculum, 60, np.full(70, 0.5))))
    assert reached <= set(range(70)) and reached & set(range(50, 70))


STATES = [
    continues_from_a_saved_state,
    a_state_does_not_change_after_it_was_taken,
    refuses_a_state_of_something_else,
    refuses_files_with_a_flipped_bit,
    changed_pool_is_refused_or_carried_over,
]
