"""The parser of recipes: what the command line takes besides values."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trl_curriculum.scripts.parser import RecipeParser


@dataclass
class Arguments:
    column: str | None = field(default=None)
    names: list[str] | None = field(default=None)
    size: int | None = field(default=None)
    options: str | dict | None = field(default=None)
    word: str = field(default="a")


RECIPE = "column: level\nnames: [x, y]\nsize: 3\noptions: {a: 1}\nword: b\n"


def parsed(folder: Path, *words: str) -> Arguments:
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    return RecipeParser([Arguments]).parse_args_and_config(["--config", str(recipe), *words])[0]


@pytest.mark.parametrize("name", ["column", "names", "size", "options"])
def test_the_word_null_unsets_what_a_recipe_sets(tmp_path: Path, name: str) -> None:
    whole, found = vars(parsed(tmp_path)), vars(parsed(tmp_path, f"--{name}", "null"))
    assert whole[name] is not None and found == whole | {name: None}


def test_elsewhere_it_is_a_word(tmp_path: Path) -> None:
    assert parsed(tmp_path, "--word", "null").word == "null"
    assert parsed(tmp_path, "--column", "none").column == "none"
    assert parsed(tmp_path, "--names", "null", "z").names == ["null", "z"]


def test_the_help_says_so() -> None:
    assert "takes the word null" in " ".join(RecipeParser([Arguments]).format_help().split())
