"""Keys given twice are refused with their place, wherever a user writes them."""

from pathlib import Path

import pytest

from trl_curriculum.curricula import CURRICULA
from trl_curriculum.scripts.arguments import mapping, task_spec
from trl_curriculum.scripts.repeats import check_words, read_yaml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nlr: 2\nseed: 3\n", r"line 3: 'seed' is given twice \(it is in line 1 too\): leave one out\.$"),
        ("a:\n  sec:\n    tau: 1\n    tau: 2\n", "line 4: 'tau' is given twice"),
        ("a: {tau: 1, tau: 1}\n", r"line 1: 'tau' is given twice: leave"),
        ("a:\n- {path: x}\n- {path: y, split: z, path: w}\n", "line 3: 'path' is given twice"),
        ("a: b: c\n", r"line 1: this is no YAML \(mapping values are not allowed here\)\.$"),
        ("a: [1\n", "line 2: this is no YAML"),
        ("a: \x00\n", "is no YAML in UTF-8"),
    ],
)
def test_in_a_recipe(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    for words in (["--config", str(file)], [f"--config={file}", "--seed", "1"]):
        with pytest.raises(ValueError, match=f"^{file}.*{said}") as caught:
            check_words(words)
        assert "\n" not in str(caught.value)


def test_what_is_written_once_is_read_as_before(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("base: &b {x: 1}\none: {<<: *b, x: 2}\ntwo: {1: a, '1': b}\nthree: [{x: 1}, {x: 2}]\n")
    assert read_yaml(file) == {
        "base": {"x": 1},
        "one": {"x": 2},
        "two": {1: "a", "1": "b"},
        "three": [{"x": 1}, {"x": 2}],
    }
    (tmp_path / "utf16.yaml").write_bytes("a: 1".encode("utf-16"))
    assert read_yaml(file) and check_words(["--seed", "--config"]) is None
    assert check_words(["--config", str(file), "no-file-of-that-name"]) is None


@pytest.mark.parametrize(
    "words",
    [
        ["--curriculum", '{"sec": {"tau": 1, "tau": 2}}'],
        ['--curriculum={"sec": {"tau": 1}, "sec": {}, "tau": 1, "tau": 2}'],
        ["--shaping", "clip_cov", '{"budget": {"tau": 1, "tau": 2}}'],
        ["--model_init_kwargs", '{"a": [{"tau": 1, "tau": 2}]}'],
    ],
)
def test_in_json_on_the_command_line(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^--\w+ \{.*'(tau|sec)' is given twice: leave one out\.$"):
        check_words(words)


def test_in_a_list_on_the_command_line() -> None:
    check_words(["--tasks", ' [{"tau": 1}, {"tau": 2}]'])
    with pytest.raises(ValueError, match=r"^--tasks  \[.*'tau' is given twice: leave one out\.$"):
        check_words(["--tasks", ' [{"tau": 1}, {"tau": 1, "tau": 2}]'])


def test_in_json_within_a_recipe() -> None:
    twice = '{"size": 1, "size": 2}'
    for read in (lambda: mapping(twice, "features", {}), lambda: task_spec(twice, "tasks")):
        with pytest.raises(ValueError, match="'size' is given twice"):
            read()
    with pytest.raises(ValueError, match="'tau' is given twice"):
        CURRICULA.make('{"sec": {"tau": 1, "tau": 2}}')
