"""Names from data: what is shown of them, their order, their keys, and what a recipe means by them."""

import random

import pytest

from trl_curriculum.data.names import alike, counts, keys, listed, match, natural, shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("[/INST] code", "[/INST] code"),
        ("", "(blank)"),
        (" \t\n", "(blank)"),
        ("two\nlines", "two lines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x00b", "a\\x00b"),
        ("\u202egnp.exe", "\\x202egnp.exe"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        (3, "3"),
    ],
)
def test_what_is_shown_of_a_name(name: str, text: str) -> None:
    assert shown(name) == text


def test_a_long_name_loses_its_middle() -> None:
    text = shown("begin" + "x" * 300 + "end")
    assert len(text) == 40 and text.startswith("begin") and text.endswith("end") and "…" in text


def test_of_many_names_the_first_few_are_listed() -> None:
    assert listed("abc") == "a, b, c"
    assert listed(range(30_000)) == "0, 1, 2, 3, 4, 5, 6, 7, … (30,000 in all)"
    assert listed("abc", between=" → ") == "a → b → c"


@pytest.mark.parametrize(
    "ordered",
    [
        ["grade 1", "grade 2", "grade 10"],
        ["1", "2", "10"],
        ["-10", "-2", "-1", "0", "3.5", "12"],
        ["0.25", "0.5", "1.5"],
        ["v0.25", "v0.5", "v1"],
        ["level -10", "level -2", "level 3"],
        ["ch-1", "ch-2", "ch-10"],
        ["1e-3", "0.5", "2e2"],
        ["1-5", "6-10", "11-20"],
        ["easy", "hard", "medium"],
        [-3, 2, 10],
        [False, True],
        [("algebra", 2), ("algebra", 10), ("geometry", 1)],
        [("2", "b"), ("10", "a")],
        ["Level", "Level 1", "Level ?"],
    ],
)
def test_values_come_in_the_order_in_which_a_person_counts(ordered: list) -> None:
    mixed = random.Random(0).sample(ordered, len(ordered))
    assert [mixed[k] for k in natural(mixed)] == ordered


def test_numbers_of_one_size_have_an_order_too() -> None:
    for mixed in (["1", "01", "1.0"], ["1.0", "1", "01"], ["01", "1.0", "1"]):
        assert [mixed[k] for k in natural(mixed)] == ["01", "1", "1.0"]


def test_words_come_as_they_always_did() -> None:
    words = ["b", "A", "a", "Z", "ä", "a b", "a-b", "_"]
    assert [words[k] for k in natural(words)] == sorted(words)
    assert counts(["grade 1", "grade 2"]) and not counts(["easy", "hard"])


def test_keys_are_one_to_one() -> None:
    names = ["a/b", "a-b", "a-b-2", "", " ", "blank", "x\ny", "x y", "y" * 300, "y" * 301]
    made = keys(names, slash=False)
    assert list(made) == names
    assert len(set(made.values())) == len(names)
    assert made["a-b"] == "a-b" and made["a-b-2"] == "a-b-2" and made["a/b"] == "a-b-3"
    assert made["blank"] == "blank" and made[""] == "blank-2"
    assert all(key.isprintable() and len(key) < 100 and "/" not in key for key in made.values())
    assert keys(["a/b", "a-b"]) == {"a/b": "a/b", "a-b": "a-b"}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Math", "math"),
        ("math", "math "),
        ("multi-hop", "multi_hop"),
        ("multi hop", "multi  hop"),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff21", "A"),
        ("a\u200bb", "ab"),
        ("1", "01"),
        ("1", "1.0"),
    ],
)
def test_names_that_a_person_takes_for_the_same(a: str, b: str) -> None:
    assert alike(["other", a, b]) == [(a, b)]


@pytest.mark.parametrize(("a", "b"), [("1", "-1"), ("a/b", "a-b"), ("a", "b"), ("caf\u00e9", "cafe"), ("1", "11")])
def test_names_that_are_apart(a: str, b: str) -> None:
    assert alike([a, b]) == []


@pytest.mark.parametrize(
    ("given", "names", "meant"),
    [
        ([1, 2], ["1", "2"], ["1", "2"]),
        ([1, 2.5], ["1.0", "2.5"], ["1.0", "2.5"]),
        ([True, False], ["False", "True"], ["True", "False"]),
        ([True, "no"], ["no", "yes"], ["yes", "no"]),
        (["01", 2], ["01", "02"], ["01", "02"]),
    ],
)
def test_a_recipes_values_mean_names(given: list, names: list[str], meant: list[str]) -> None:
    assert list(match(given, names, "weights").values()) == meant


@pytest.mark.parametrize(
    ("given", "names", "words"),
    [
        (["esay"], ["easy", "hard"], "names an arm 'esay' that the data does not have .did you mean 'easy'"),
        ([3], ["1", "2"], "names an arm '3' that the data does not have: its arms are 1, 2"),
        (["1", 1.0], ["1", "2"], "names the arm '1' twice"),
        (["x"], [str(k) for k in range(9_999)], r"its arms are 0, .*… \(9,999 in all\)"),
    ],
)
def test_values_that_mean_none_are_refused(given: list, names: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        match(given, names, "weights")
    assert len(str(error.value)) < 300
