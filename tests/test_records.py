"""Declared state: saved, checked and brought to another pool; what is damaged is refused in one sentence."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import VARIANTS, make

from trl_curriculum.disk.state import StateError
from trl_curriculum.records import PoolMapping, Stateful, arm_state, row_state, value_state
from trl_curriculum.testing.simulated import SimulatedHost, conduct


class Part(Stateful):
    seen = arm_state(0, np.int64, least=0)

    def __init__(self, n_arms: int) -> None:
        self.start(0, n_arms)


class Base(Stateful):
    loss = row_state(np.nan)
    count = row_state(0, np.uint16, most=9)


class Record(Base):
    share = row_state(0.5, np.float64, 0, 1, optional=True)
    mean = arm_state(0.0)
    last = arm_state(0.0, np.float32, width="window")
    steps = value_state(0, least=0, most=10)
    scale = value_state(1.0, least=-1)
    unknown = value_state(np.nan)
    done = value_state(False)
    text = value_state("a")

    def __init__(self, n_rows: int, n_arms: int, window: int = 2) -> None:
        self.window, self.plain = window, 3
        self.start(n_rows, n_arms)
        self.part = Part(n_arms)


class TestDeclaredState:
    def test_it_starts_as_declared_in_the_order_of_declaration(self) -> None:
        record = Record(3, 2)
        assert list(Record.declared()) == [
            *("loss", "count", "share", "mean", "last", "steps", "scale", "unknown", "done", "text")
        ]
        assert record.loss.dtype == np.float32 and record.loss.shape == (3,) and np.isnan(record.loss).all()
        assert record.count.dtype == np.uint16 and record.count.tolist() == [0, 0, 0] and record.share is None
        assert record.mean.dtype == np.float64 and record.mean.tolist() == [0, 0] and record.last.shape == (2, 2)
        assert (record.steps, record.scale, record.done, record.text) == (0, 1.0, False, "a")
        assert record.part.seen.tolist() == [0, 0]

    def test_a_saved_state_is_a_copy_and_what_is_not_known_is_left_out(self) -> None:
        record = Record(3, 2)
        state = record.state_dict()
        assert set(state) == {*Record.declared(), "part"} - {"share"} and "plain" not in state
        record.mean[:] = 7
        record.part.seen[:] = 7
        assert state["mean"].tolist() == [0, 0] and state["part"]["seen"].tolist() == [0, 0]

    def test_it_goes_on_from_a_copy_of_a_saved_state(self) -> None:
        record, other = Record(3, 2), Record(3, 2)
        record.loss[:], record.count[:], record.share, record.last[:] = [1, np.nan, 3], 9, np.array([0, 0.5, 1]), 2
        record.steps, record.scale, record.done, record.text, record.part.seen[1] = 10, 2, True, "", 5
        state = record.state_dict()
        other.load_state_dict(state)
        for name, value in other.state_dict().items():
            if name != "part":
                np.testing.assert_array_equal(value, state[name])
        assert other.part.seen.tolist() == [0, 5]
        other.loss[:] = 0
        assert state["loss"][0] == 1, "what was loaded is not what is saved"
        other.load_state_dict(Record(3, 2).state_dict())
        assert other.share is None, "it is not known any more"

    def test_rows_and_arms_of_another_pool(self) -> None:
        record = Record(3, 2)
        record.loss[:], record.share, record.mean[:] = [1, 2, 3], np.array([0.1, 0.2, 0.3]), [5, 6]
        record.last[:], record.steps = [[1, 2], [3, 4]], 4
        other = Record(4, 3)
        other.load_state_dict(record.state_dict(), PoolMapping(np.array([2, -1, 0, -1]), np.array([-1, 1, 0]), 3))
        assert other.loss.tolist() == pytest.approx([3, np.nan, 1, np.nan], nan_ok=True)
        assert other.share is not None and other.share.tolist() == [0.3, 0.5, 0.1, 0.5]
        assert other.mean.tolist() == [0, 6, 5] and other.last.tolist() == [[0, 0], [3, 4], [1, 2]]
        assert other.steps == 4 and other.part.seen.shape == (3,)

    def test_a_mapping_in_words(self) -> None:
        mapping = PoolMapping(np.array([2, -1, 0, -1]), np.array([0]), 5)
        assert mapping.summary() == "2 rows kept, 2 new, 3 lost"
        assert mapping.with_arms(np.array([1])).arm.tolist() == [1]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"loss": np.zeros(3)}, "'loss' holds float64, and must be an array of float32"),
            ({"loss": [0.0, 0.0, 0.0]}, "'loss' holds list, and must be an array of float32"),
            ({"loss": np.zeros(4, np.float32)}, r"'loss' has shape \(4,\), and must have \(3,\)"),
            ({"loss": np.zeros((3, 1), np.float32)}, r"'loss' has shape \(3, 1\), and must have \(3,\)"),
            ({"loss": np.array([0, np.inf, 0], np.float32)}, "'loss' holds a number that it never holds"),
            ({"count": np.array([0, 10, 0], np.uint16)}, "'count' holds a number that it never holds"),
            ({"count": None}, "'count' holds NoneType"),
            ({"share": np.array([0, 1.1, 0])}, "'share' holds a number that it never holds"),
            ({"share": np.array([0, np.nan, 0])}, "'share' holds a number that it never holds"),
            ({"mean": np.array([0, np.nan])}, "'mean' holds a number that it never holds"),
            ({"last": np.zeros((2, 3), np.float32)}, r"'last' has shape \(2, 3\), and must have \(2, 2\)"),
            ({"steps": -1}, "'steps' is -1, which it never is"),
            ({"steps": 11}, "'steps' is 11, which it never is"),
            ({"steps": 1.0}, r"'steps' is 1\.0, and must be of type int"),
            ({"steps": True}, "'steps' is True, and must be of type int"),
            ({"steps": None}, "'steps' is None, and must be of type int"),
            ({"scale": "1"}, "'scale' is '1', and must be of type float"),
            ({"scale": np.inf}, "'scale' is inf, which it never is"),
            ({"scale": np.nan}, "'scale' is nan, which it never is"),
            ({"scale": -2.0}, r"'scale' is -2\.0, which it never is"),
            ({"unknown": np.inf}, "'unknown' is inf, which it never is"),
            ({"done": 1}, "'done' is 1, and must be of type bool"),
            ({"text": 3}, "'text' is 3, and must be of type str"),
            ({"part": None}, "of Record has no whole 'part'"),
            ({"part": {}}, "The saved state of Part has no entry 'seen'"),
            ({"part": {"seen": np.array([0, -1])}}, "'seen' holds a number that it never holds"),
        ],
        ids=lambda case: str(case)[:60],
    )
    def test_every_violation_is_one_sentence(self, change: dict[str, Any], words: str) -> None:
        with pytest.raises(StateError, match=words) as error:
            Record(3, 2).load_state_dict(Record(3, 2).state_dict() | change)
        assert one_sentence(error.value)

    @pytest.mark.parametrize("name", [*Record.declared(), "part"])
    def test_what_is_missing_is_named(self, name: str) -> None:
        state = Record(3, 2).state_dict()
        if name == "share":
            return
        del state[name]
        with pytest.raises(StateError, match=f"The saved state of Record has no entry '{name}': it is damaged"):
            Record(3, 2).load_state_dict(state)

    def test_a_number_that_starts_as_nan_may_be_nan(self) -> None:
        record = Record(3, 2)
        record.load_state_dict(record.state_dict() | {"unknown": np.nan, "scale": 3})
        assert np.isnan(record.unknown) and record.scale == 3


def one_sentence(error: BaseException) -> bool:
    text = str(error)
    return "\n" not in text and text.endswith(".") and text[0].isupper()


# A fuzz over all variants: one entry of a saved state is damaged at a time.

SUCCESS = np.linspace(0, 1, 60)
OPTIONAL = {"cumulative", "queue", "measured", "rank", "order"}  # where it is not known yet
FREE = {"row_hash"}  # any number is one


def saved(variant: str) -> dict[str, Any]:
    """A state in the middle of a run, with draws that wait."""
    curriculum = make(variant)
    host = SimulatedHost(SUCCESS)
    conductor = conduct(curriculum, host)
    for step in range(7):
        host.done = 0.05 * step
        host.train(conductor, 8, step)
    curriculum.put_back(conductor.draw(4)[1:])
    return curriculum.state_dict()


def entries(state: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """All numbers, arrays, texts and containers of a state, by their path."""
    if path:
        yield path, state
    if isinstance(state, dict | list):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from entries(value, (*path, key))


def damages(value: Any, free: bool) -> Iterator[tuple[str, Any]]:
    """What an entry is replaced with, and why that cannot be."""
    yield "none of its kind", None if isinstance(value, dict) else {"x": object}
    if not isinstance(value, str) and value is not None:
        yield "text", "damaged"
    if isinstance(value, dict):
        yield "list", []
    elif isinstance(value, np.ndarray):
        yield "dtype", np.zeros(value.shape, np.int16 if value.dtype.kind == "f" else np.float32)
        yield "longer", np.concatenate([value, value[:1]]) if len(value) else np.zeros(1, value.dtype)
        yield "deeper", value[:, None]
        yield "no shape", np.zeros((), value.dtype)
        yield "list", value.tolist()
        if len(value) and value.dtype.kind == "f":
            yield "infinite", changed(value, np.inf)
            yield "minus infinite", changed(value, -np.inf)
        if len(value) and value.dtype.kind == "i" and not free:
            yield "negative", changed(value, -7)
    elif isinstance(value, bool):
        yield "number", 7
    elif isinstance(value, int):
        yield "negative", -7
        yield "fraction", 0.5
        yield "truth", True
    elif isinstance(value, float):
        yield "infinite", np.inf


def changed(value: np.ndarray, number: float, place: int = -1) -> np.ndarray:
    value = value.copy()
    value.flat[place] = number
    return value


def replaced(state: dict[str, Any], path: tuple, value: Any) -> dict[str, Any]:
    state = copy.deepcopy(state)
    inner: Any = state
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return state


@pytest.mark.parametrize("variant", VARIANTS)
class TestDamagedStates:
    def test_are_refused_in_one_sentence(self, variant: str) -> None:
        state = saved(variant)
        make(variant).load_state_dict(state)
        tried = 0
        for path, value in entries(state):
            for what, damaged in damages(value, path[-1] in FREE):
                if (path[0], what) == ("options", "truth"):  # True is 1
                    continue
                curriculum = make(variant, seed=3)
                with pytest.raises(StateError) as error:
                    curriculum.load_state_dict(replaced(state, path, damaged))
                    pytest.fail(f"{path} is {what} and was accepted")
                assert one_sentence(error.value), error.value
                tried += 1
        assert tried > 100

    def test_what_is_missing_is_refused(self, variant: str) -> None:
        state = saved(variant)
        for path, _ in entries(state):
            if isinstance(path[-1], int) or path[-1] in OPTIONAL:
                continue
            damaged = copy.deepcopy(state)
            inner: Any = damaged
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            with pytest.raises(StateError) as error:
                make(variant).load_state_dict(damaged)
                pytest.fail(f"{path} is missing and was accepted")
            assert one_sentence(error.value), error.value

    def test_large_numbers_are_refused_or_harmless(self, variant: str) -> None:
        state = saved(variant)
        for path, value in entries(state):
            if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and len(value):
                high = 1e30 if value.dtype.kind == "f" else np.iinfo(value.dtype).max
                large = [changed(value, high, place) for place in (0, -1)] + [np.full_like(value, high)]
            elif isinstance(value, int | float) and not isinstance(value, bool):
                large = [10**9 if isinstance(value, int) else 1e30]
            else:
                continue
            for number in large:
                curriculum = make(variant)
                try:
                    curriculum.load_state_dict(replaced(state, path, number))
                except StateError as error:
                    assert one_sentence(error), error
                    continue
                host = SimulatedHost(SUCCESS)
                conductor = conduct(curriculum, host)
                with np.errstate(over="ignore", invalid="ignore"):
                    for step in range(3):
                        host.done = 0.5
                        try:
                            draw = host.train(conductor, 8, step)
                        except Exception as error:
                            raise AssertionError(f"{path} = {number}") from error
                        assert ((draw.row >= 0) & (draw.row < 60)).all(), path
