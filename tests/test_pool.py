import numpy as np
import pytest
from datasets import Dataset

from trl_curriculum import Pool
from trl_curriculum.disk.state import StateError
from trl_curriculum.pool import match_rows


DATA = Dataset.from_dict(
    {
        "prompt": ["p0", "p1", "p2", "p3"],
        "level": [2, 10, 2, 1],
        "kind": ["x", "y", "y", "x"],
        "gap": ["x", None, "y", None],
        "turns": [[{"role": "user"}]] * 4,
        "hard": [0.5, 0.1, 0.9, 0.2],
    }
)


def test_arms_from_one_column_are_sorted_by_value() -> None:
    pool = Pool.from_dataset(DATA, "level")
    assert pool.arm_names == ("1", "2", "10") and pool.arm.tolist() == [1, 2, 1, 0]


def test_joint_arms() -> None:
    pool = Pool.from_dataset(DATA, ["level", "kind"])
    assert pool.arm_names == ("1/x", "2/x", "2/y", "10/y") and pool.arm.tolist() == [1, 3, 2, 0]


def test_arms_of_a_selected_and_shuffled_dataset_follow_its_rows() -> None:
    assert Pool.from_dataset(DATA.select([3, 0]), "level").arm_names == ("1", "2")


def test_difficulty() -> None:
    assert Pool.from_dataset(DATA, difficulty_column="hard").difficulty == pytest.approx([0.5, 0.1, 0.9, 0.2])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"arms": "levle"}, "arms 'levle' .did you mean 'level'.* is not a column"),
        ({"arms": "gap"}, "arms 'gap' is null in 2 of 4 rows \\(first: row 1\\)"),
        ({"arms": "turns"}, "arms 'turns' holds list values"),
        ({"difficulty_column": "kind"}, "difficulty_column 'kind' holds 'x' in row 0 .*: it must be numeric"),
        ({"difficulty_column": "nope"}, "difficulty_column 'nope' is not a column"),
    ],
)
def test_bad_columns_say_what_is_wrong(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Pool.from_dataset(DATA, **arguments)


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match="dataset is empty"):
        Pool.from_dataset(DATA.select([]))


def test_hashes_see_every_column_and_not_the_position() -> None:
    pool, again = Pool.from_dataset(DATA), Pool.from_dataset(DATA.select([1, 0, 2, 3]))
    assert pool.row_hash is not None and again.row_hash is not None
    assert pool.row_hash[[1, 0, 2, 3]].tolist() == again.row_hash.tolist() and pool.digest != again.digest
    changed = Pool.from_dataset(DATA.map(lambda row: {"hard": row["hard"] + (row["prompt"] == "p2")}))
    assert changed.row_hash is not None
    assert (changed.row_hash != pool.row_hash).tolist() == [False, False, True, False]


def test_equal_rows_are_matched_in_order() -> None:
    old, new = np.array([5, 7, 5, 9], np.uint64), np.array([5, 5, 5, 8, 7], np.uint64)
    assert match_rows(old, new).tolist() == [0, 2, -1, -1, 1]


def test_a_pool_needs_a_row_in_every_arm() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        Pool(2, [0, 0], ["a", "b"])


def test_joint_names_that_collide_are_refused() -> None:
    data = Dataset.from_dict({"x": ["a/b", "a"], "y": ["c", "b/c"]})
    with pytest.raises(ValueError, match="have the same joint name"):
        Pool.from_dataset(data, ["x", "y"])


def test_the_fingerprint_sees_arms_and_difficulties() -> None:
    digests = {
        Pool.from_dataset(DATA, *arguments).digest
        for arguments in ((), ("level",), ("kind",), (None, "hard"), (None, "level"))
    }
    assert len(digests) == 5


def test_a_row_is_known_by_what_training_reads(caplog: pytest.LogCaptureFixture) -> None:
    """What else is in the dataset changes no row, and is named."""
    old = Pool.from_dataset(DATA, content=["prompt", "not there"])
    more = DATA.map(lambda row: {"hard": row["hard"] + 1, "note": row["prompt"]}).remove_columns("level")
    new = Pool.from_dataset(more, content=["prompt"])
    with caplog.at_level("WARNING", "trl_curriculum"):
        assert new.mapping_from(old.state_dict(), carry_over=False) is None
    assert "(new: note; gone: level; changed: hard)" in caplog.text
    changed = Pool.from_dataset(more.map(lambda row: {"prompt": row["prompt"] + "!"}), content=["prompt"])
    with pytest.raises(StateError, match="0 rows kept, 4 new, 4 lost"):
        changed.mapping_from(old.state_dict(), carry_over=False)


def arms_of(*arm: str) -> Pool:
    """Five rows that are told apart, in arms by name."""
    names = sorted(set(arm))
    return Pool(len(arm), [names.index(one) for one in arm], names, row_hash=np.arange(len(arm), dtype=np.uint64))


@pytest.mark.parametrize(
    ("now", "arm", "renamed"),
    [
        (("x", "x", "y", "y", "c"), [2, 0, 1], ("arm 'a' is now 'x'", "arm 'b' is now 'y'")),
        (("a", "a", "y", "y", "c"), [0, 2, 1], ("arm 'b' is now 'y'",)),
        (("a", "x", "b", "b", "c"), [0, 1, 2, -1], ()),  # a part of an arm is another arm
        (("x", "x", "x", "x", "c"), [2, -1], ()),  # so are two arms together
    ],
)
def test_an_arm_with_another_name_continues(now: tuple[str, ...], arm: list[int], renamed: tuple[str, ...]) -> None:
    mapping = arms_of(*now).mapping_from(arms_of("a", "a", "b", "b", "c").state_dict(), carry_over=True)
    assert mapping is not None
    assert mapping.arm.tolist() == arm and mapping.renamed == renamed
    assert mapping.summary() == "; ".join(["5 rows kept, 0 new, 0 lost", *renamed])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["1", "2", "hard"], "holds 'hard' in row 2 .* 1 of 3 rows"),
        ([1.0, float("inf"), 3.0], "holds 'inf' in row 1 "),
        ([1.0, 2.0, float("-inf")], "holds '-inf' in row 2 "),
        (["1", "nan", "2"], "holds 'nan' in row 1 "),
        ([[1], [2], [3]], r"holds '\[1\]' in row 0 "),
    ],
)
def test_difficulties_are_finite_numbers(values: list, words: str) -> None:
    with pytest.raises(ValueError, match=f"difficulty_column 'level' {words}"):
        Pool.from_dataset(Dataset.from_dict({"level": values}), difficulty_column="level", hash_rows=False)


def test_an_arm_that_is_still_there_gives_its_name_to_no_other() -> None:
    """All its rows of before are in another arm, and new ones bear its name: that one continues it."""
    before = Pool(3, [0, 0, 1], ["a", "b"], row_hash=np.arange(3, dtype=np.uint64))
    now = Pool(4, [2, 2, 1, 0], ["a", "b", "x"], row_hash=np.array([0, 1, 2, 9], np.uint64))
    mapping = now.mapping_from(before.state_dict(), carry_over=True)
    assert mapping is not None and mapping.arm.tolist() == [0, 1, -1] and mapping.renamed == ()


def test_the_parts_of_an_arm_that_is_gone_are_other_arms() -> None:
    mapping = arms_of("x", "y", "b", "b", "c").mapping_from(arms_of("a", "a", "b", "b", "c").state_dict(), True)
    assert mapping is not None and mapping.arm.tolist() == [1, 2, -1, -1] and mapping.renamed == ()


def test_renamed_arms_are_told_where_they_are_not_accepted() -> None:
    before = arms_of("a", "a", "b", "b", "c").state_dict()
    with pytest.raises(StateError, match=r"5 rows kept, .*arm 'a' is now 'x'; arms a, b, c before, b, c, x now"):
        arms_of("x", "x", "b", "b", "c").mapping_from(before, carry_over=False)
    with pytest.raises(StateError, match="The rows are those of the checkpoint, but their arms or difficulties"):
        arms_of("a", "b", "b", "b", "c").mapping_from(before, carry_over=False)


def test_hashes_of_many_rows_and_of_columns_in_another_order() -> None:
    """Rows are read in batches of 1,000, and a dataset may be written with its columns in any order."""
    data = Dataset.from_dict({"b": range(1001), "a": ["x"] * 1001})
    hashes = Pool.from_dataset(data).row_hash
    assert hashes is not None and len(set(hashes.tolist())) == 1001
    for k in (0, 999, 1000):
        assert Pool.from_dataset(data.select([k])).row_hash == hashes[[k]]
    assert Pool.from_dataset(data.select_columns(["a", "b"])).digest == Pool.from_dataset(data).digest
