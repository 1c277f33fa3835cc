import json
from typing import Any

import pytest

from trl_curriculum.data.streams import Stream
from trl_curriculum.data.tasks import UNSAFE_FAMILIES, disjoint, reasoning_gym_dataset, reasoning_gym_streams
from trl_curriculum.rewards import reasoning_gym_accuracy


COUNTDOWN = {"min_value": 1, "max_value": 100, "min_target": 1, "max_target": 1000}
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("countdown", {"min_numbers": 3, "max_numbers": 3, **COUNTDOWN}),
    ("countdown", {"min_numbers": 6, "max_numbers": 6, **COUNTDOWN}),
    ("zebra_puzzles", {"num_people": 3, "num_characteristics": 3}),
    ("arc_1d", {"min_size": 10, "max_size": 10, "num_train": 3}),
    ("arc_1d", {"min_size": 40, "max_size": 40, "num_train": 3}),
    ("knights_knaves", {"n_people": 3}),
    ("puzzle24", {"max_value": 9}),
    ("number_sorting", {}),
    ("gsm_symbolic", {}),
]


def spec(family: str = "countdown", size: int = 8, **more: Any) -> dict[str, Any]:
    return {"family": family, "size": size, "seed": 1, **more}


@pytest.mark.parametrize(("family", "config"), FAMILIES)
def test_right_answers_score_one_and_wrong_ones_zero(family: str, config: dict[str, Any]) -> None:
    rows = reasoning_gym_dataset([spec(family, config=config, level=1)])
    columns = {"family": rows["family"], "entry": rows["entry"]}
    right = [[{"role": "assistant", "content": f"So \\boxed{{{answer}}}."}] for answer in rows["answer"]]
    assert reasoning_gym_accuracy(right, **columns) == [1.0] * 8
    assert reasoning_gym_accuracy(["I give up"] * 8, **columns) == [0.0] * 8


def test_levels_are_what_they_say() -> None:
    specs = [
        spec("countdown", level=n, config={"min_numbers": n, "max_numbers": n, **COUNTDOWN}) for n in (3, 4, 5, 6)
    ]
    for row in reasoning_gym_dataset(specs):
        metadata = json.loads(row["entry"])["metadata"]
        assert len(metadata["numbers"]) == row["level"]
        assert all(1 <= number <= 100 for number in metadata["numbers"]) and 1 <= metadata["target"] <= 1000
    for row in reasoning_gym_dataset([spec("arc_1d", config={"min_size": 20, "max_size": 20}, level=2)]):
        assert len(row["answer"].split()) == 20


def test_seed_decides_and_seeds_do_not_overlap() -> None:
    one, again, other = (reasoning_gym_dataset([spec(size=50, seed=seed)]) for seed in (1, 1, 2))
    assert one["prompt"] == again["prompt"]
    assert not set(map(str, one["prompt"])) & set(map(str, other["prompt"]))


def test_more_processes_make_the_same_rows() -> None:
    rows = spec(size=7, seed=3)
    assert reasoning_gym_dataset([rows], num_proc=2)[:] == reasoning_gym_dataset([rows])[:]


def test_disjoint_drops_training_rows_that_are_held_out() -> None:
    train, test = reasoning_gym_dataset([spec(size=20)]), reasoning_gym_dataset([spec(size=5)])
    assert disjoint(train, test)["prompt"] == train["prompt"][5:]
    assert len(disjoint(train, reasoning_gym_dataset([spec(size=5, seed=2)]))) == 20


def test_system_and_instruction() -> None:
    (row,) = reasoning_gym_dataset([spec(size=1)], system="Be brief.", instruction="Box it.")
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["prompt"][1]["content"].endswith("\n\nBox it.")


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([], "`tasks` is empty"),
        ([spec("countdwn")], r"Unknown task family 'countdwn' \(did you mean 'countdown'\?\)"),
        ([spec(config={"min_number": 3})], r"Unknown option 'min_number'.*did you mean 'min_numbers'"),
        ([spec(config={"min_numbers": 1})], "min_numbers must be greater than 1"),
        ([spec(config={"seed": 1})], "move it one level up"),
        ([spec(size=0)], "has size 0"),
        ([spec(seed=-1)], "has seed -1"),
        ([{"family": "countdown"}], "needs `size`"),
        ([spec(answer="x")], "a column already"),
        ([spec(level=1), spec()], "give all the same labels"),
        ([spec("rearc")], "does not survive JSON"),
        *(([spec(family)], "executes text as code") for family in UNSAFE_FAMILIES),
    ],
)
def test_mistakes_are_one_sentence(specs: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reasoning_gym_dataset(specs)


def test_streams_have_the_rows_of_a_dataset_and_find_their_places() -> None:
    config = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}
    specs = [{"family": "chain_sum", "config": config, "level": level, "seed": level} for level in (1, 2)]
    streams = reasoning_gym_streams(specs)
    assert list(streams) == ["1", "2"]
    rows = reasoning_gym_dataset([spec | {"size": 70} for spec in specs])
    for k, stream in enumerate(streams.values()):
        read = Stream("s", stream)
        found = [read.read() for _ in range(70)]
        assert [row["prompt"] for row in found] == rows["prompt"][70 * k : 70 * (k + 1)]
        assert {row["level"] for row in found} == {k + 1}
    place = Stream("s", streams["1"])
    for _ in range(66):
        place.read()
    again = Stream("s", streams["1"])
    again.load_state_dict(place.state_dict())
    assert again.read()["prompt"] == rows["prompt"][66]


def test_streams_that_are_called_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="Two task specs are called 'countdown': give each labels of its own"):
        reasoning_gym_streams([spec(), spec(seed=2)])
