"""Streams: rows by their places, passes over one that ends, and places that are found again."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from datasets import Dataset, IterableDataset

from trl_curriculum.data.streams import Stream, Streams, streams_of
from trl_curriculum.disk.state import StateError


def rows(name: str, n: int) -> list[dict[str, Any]]:
    return [{"prompt": f"{name}{k}", "level": k} for k in range(n)]


def of_rows(name: str, n: int, shards: int = 1) -> IterableDataset:
    return Dataset.from_list(rows(name, n)).to_iterable_dataset(num_shards=shards)


def prompts(streams: Streams, *numbers: int) -> list[str]:
    return list(streams.read(numbers)["prompt"])


def test_a_row_is_found_by_its_number_and_others_are_skipped() -> None:
    streams = Streams({"a": of_rows("a", 20), "b": of_rows("b", 20)}, look=3)
    assert list(streams.head["prompt"]) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert prompts(streams, 1, 0, 4, 0) == ["a0", "b0", "a2"], "each once, by number"
    assert prompts(streams, 20, 13) == ["b6", "a10"]
    with pytest.raises(RuntimeError, match="Row 6 of the stream 'b' was asked for again"):
        streams.read([13])


def test_a_stream_that_ends_starts_over_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stream("s", of_rows("s", 3))
    with caplog.at_level(logging.WARNING):
        assert [stream.read()["prompt"] for _ in range(8)] == ["s0", "s1", "s2"] * 2 + ["s0", "s1"]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["The stream 's' ended after 3 rows: it starts over."] * 2


def test_a_stream_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="The stream 'b' has no rows: leave it out"):
        Streams({"a": of_rows("a", 2), "b": of_rows("b", 2).filter(lambda row: False)})


class Plain:
    """Can be iterated over again, and has no state."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(rows("p", 30))


SOURCES = {
    "one shard": lambda: of_rows("s", 30),
    "shards": lambda: of_rows("s", 30, 4),
    "mapped": lambda: of_rows("s", 30, 4).map(lambda row: {"prompt": row["prompt"] * 2}),
    "shuffled in a buffer": lambda: of_rows("s", 30).shuffle(seed=1, buffer_size=7),
    "without a state": Plain,
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("after", [0, 1, 11, 29, 30, 41])
def test_a_resume_goes_on_exactly(name: str, after: int, caplog: pytest.LogCaptureFixture) -> None:
    first = Stream("s", SOURCES[name]())
    for _ in range(after):
        first.read()
    saved = first.state_dict()
    expected = [first.read() for _ in range(40)]
    second = Stream("s", SOURCES[name]())
    second.peek(5)  # which is not to matter
    second.load_state_dict(saved)
    assert [second.read() for _ in range(40)] == expected and (second.place, second.began) == (
        first.place,
        first.began,
    )
    assert ("does not find its place by its own state" in caplog.text) <= (name == "shuffled in a buffer")


def test_a_place_is_found_without_reading_again() -> None:
    made: list[int] = []

    def generate(chunk: list[int]) -> Iterator[dict[str, Any]]:
        for k in chunk:
            made.append(k)
            yield {"prompt": f"g{k}"}

    def stream() -> Stream:
        return Stream("g", IterableDataset.from_generator(generate, gen_kwargs={"chunk": list(range(50))}))

    first = stream()
    for _ in range(30):
        first.read()
    saved = first.state_dict()
    made.clear()
    second = stream()
    second.load_state_dict(saved)
    assert second.read() == {"prompt": "g30"} and min(made) >= 29


def test_other_rows_at_the_place_are_refused() -> None:
    first = Stream("s", of_rows("s", 30))
    for _ in range(10):
        first.read()
    with pytest.raises(StateError, match="'s' has other rows from its row 10 on"):
        Stream("s", of_rows("t", 30)).load_state_dict(first.state_dict())
    with pytest.raises(StateError, match="damaged"):
        Stream("s", of_rows("s", 30)).load_state_dict({"place": 3})


def test_a_process_goes_past_what_others_have_drawn_before_it_saves() -> None:
    """Two processes read every other row; either's state stands for both."""
    states, left = [], []
    for mine in ([0, 4], [1, 2]):
        streams = Streams({"a": of_rows("a", 20), "b": of_rows("b", 20)})
        streams.drawn([0, 1, 2, 4])
        streams.read(mine)
        states.append(streams.state_dict())
        left.append([one.read()["prompt"] for one in streams.streams])
    assert [{name: one["place"] for name, one in state.items()} for state in states] == [{"a": 3, "b": 1}] * 2
    assert left == [["a3", "b1"]] * 2
    again = Streams({"a": of_rows("a", 20), "b": of_rows("b", 20)})
    again.load_state_dict(states[1])
    assert prompts(again, 6, 3) == ["b1", "a3"]
    with pytest.raises(StateError, match="does not say where these streams were"):
        again.load_state_dict({"a": states[1]["a"]})


def test_rows_that_differ_in_their_columns_are_refused() -> None:
    def odd() -> Iterator[dict[str, Any]]:
        yield from rows("a", 2)
        yield {"prompt": "c"}

    streams = Streams({"a": IterableDataset.from_generator(odd)}, look=2)
    with pytest.raises(ValueError, match="has the columns prompt, and the first one prompt, level"):
        streams.read([2])
    with pytest.raises(ValueError, match="A row of the streams' first rows has the columns"):
        Streams({"a": of_rows("a", 2), "b": of_rows("b", 2).remove_columns("level")})


def test_what_is_taken_for_streams() -> None:
    one = of_rows("a", 2)
    assert streams_of(one) == {"all": one} and streams_of({"x": one}) == {"x": one}
    assert streams_of(Dataset.from_list(rows("a", 2))) is None and streams_of({}) is None
    assert streams_of({"x": one, "y": Dataset.from_list(rows("a", 2))}) is None


def test_the_key_tells_how_they_begin() -> None:
    keys = {Streams({name: of_rows(text, 20)}).key for name in "ab" for text in "st"}
    assert len(keys) == 4 and Streams({"a": of_rows("s", 20)}).key in keys
