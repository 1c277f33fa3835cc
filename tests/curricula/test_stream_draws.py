"""Draws from streams: those of a pool in memory whose queues are in order, in each stream's order, resumed exactly."""

from typing import Any

import numpy as np
import pytest

from trl_curriculum import CURRICULA, Pool
from trl_curriculum.curricula.parts.queues import Queues, StreamQueues
from trl_curriculum.disk.state import StateError
from trl_curriculum.stream_pool import StreamPool
from trl_curriculum.testing.simulated import SimulatedHost, conduct


NAMES = ["a", "b", "c"]
SUCCESS = np.array([0.95, 0.5, 0.02])  # of each stream
TAKE = ["sec", {"sec": {"tau": 0.1, "unsampled": "decay"}}, {"mixture": {"weights": {"a": 1, "b": 2, "c": 0}}}]


def draws(curriculum: Any, steps: int, seed: int = 0, begin: int = 0) -> list[tuple[list[int], list[int]]]:
    """Arms and rows of steps whose rewards depend on the arm and on nothing else."""
    host = SimulatedHost(SUCCESS[curriculum.pool.arm], seed)
    conductor = conduct(curriculum, host)
    found = []
    for step in range(steps):
        host.rng = np.random.default_rng([seed, begin + step])
        draw = host.train(conductor, 8, step)
        found.append((draw.arm.tolist(), draw.row.tolist()))
    return found


@pytest.mark.parametrize("spec", TAKE, ids=str)
def test_are_those_of_a_pool_in_memory_that_is_read_in_order(spec: Any) -> None:
    streamed = CURRICULA.make(spec).bind(StreamPool(NAMES, 1000), 3)
    size = 1000
    pool = Pool(3 * size, np.repeat([0, 1, 2], size), NAMES)
    in_memory = CURRICULA.make(spec).bind(pool, 3)
    queues = Queues(pool.arm, 3, in_memory.rng, order=np.arange(3 * size))
    owner = in_memory.arms if hasattr(in_memory, "arms") else in_memory
    owner.queues = queues
    for (arms, rows), (arms_there, rows_there) in zip(draws(streamed, 40), draws(in_memory, 40), strict=True):
        assert arms == arms_there
        assert [row // 3 for row in rows] == [row % size for row in rows_there], "places in the streams"


@pytest.mark.parametrize("spec", [*TAKE, "dump", "ucb1", "uniform", {"placebo": {"of": "sec"}}], ids=str)
def test_rows_of_a_stream_come_in_its_order_and_a_resume_goes_on(spec: Any) -> None:
    first = CURRICULA.make(spec).bind(StreamPool(NAMES, 1000, "key"), 3)
    found = draws(first, 30)
    for arm in range(3):
        places = [row // 3 for arms, rows in found for k, row in zip(arms, rows, strict=True) if k == arm]
        assert places == list(range(len(places)))
    assert all(row % 3 == k for arms, rows in found for k, row in zip(arms, rows, strict=True))
    state = first.state_dict()
    second = CURRICULA.make(spec).bind(StreamPool(NAMES, 5000, "key"), 99)  # of a longer run
    assert second.load_state_dict(state) is None
    assert draws(second, 10, begin=30) == draws(first, 10, begin=30)


def test_uniform_takes_streams_in_turn() -> None:
    assert draws(CURRICULA.make("uniform").bind(StreamPool(NAMES, 100)), 2) == [
        ([0, 1, 2, 0, 1, 2, 0, 1], list(range(8))),
        ([2, 0, 1, 2, 0, 1, 2, 0], list(range(8, 16))),
    ]


def test_other_streams_are_not_those_of_a_checkpoint() -> None:
    state = CURRICULA.make("sec").bind(StreamPool(NAMES, 100, "key")).state_dict()
    for other in (StreamPool(["a", "b", "d"], 100, "key"), StreamPool(NAMES, 100, "other")):
        with pytest.raises(StateError, match=r"belongs to other rows \(arms a, b, c; now the streams a, b"):
            CURRICULA.make("sec").bind(other).load_state_dict(state)
    with pytest.raises(StateError):
        CURRICULA.make("sec").bind(Pool(30, np.arange(30) % 3, NAMES)).load_state_dict(state)


@pytest.mark.parametrize(
    ("spec", "needs"),
    [
        ("edco", "has the prefix entropy of rows measured before it draws them"),
        ("hive", "has the prompt entropy of rows measured before it draws them"),
        ("evo_curate", "remembers something of every row"),
        ("order", "goes by the difficulty of every row"),
        ({"placebo": {"of": "uniform"}}, "remembers something of every row"),
    ],
)
def test_what_a_stream_cannot_give_is_said_by_method(spec: Any, needs: str) -> None:
    name = spec if isinstance(spec, str) else "placebo"
    with pytest.raises(ValueError, match=f"Curriculum '{name}' {needs}, and rows of a stream are not known before"):
        CURRICULA.make(spec).bind(StreamPool(NAMES, 100))


def test_a_queue_by_hand() -> None:
    queues = StreamQueues(np.array([9, 9, 9]))
    assert queues.pop(np.array([2, 0, 2, 2])).tolist() == [2, 0, 5, 8]
    assert queues.pop(np.array([0, 1, 0])).tolist() == [3, 1, 6]
    assert queues.position.tolist() == [3, 1, 3]
