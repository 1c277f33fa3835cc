"""Every command on every page can be typed: it exists, knows its arguments, and finds its recipe."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from trl_curriculum.cli import COMMANDS
from trl_curriculum.families import FAMILIES
from trl_curriculum.report.commands import parsers
from trl_curriculum.scripts.launch import _launch_options
from trl_curriculum.scripts.recipes import find_recipe


ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
    *sorted((ROOT / "trl_curriculum").glob("**/SKILL.md")),
]


def commands(page: Path) -> list[list[str]]:
    """The words after `trl-curriculum` of each line of a page's shell blocks."""
    found = []
    for block in re.findall(r"(?s)```bash\n(.*?)```", page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            starts = [k for k, word in enumerate(words) if word.endswith(("trl-curriculum", "job.py"))]
            found += [_up_to_and(words[k + 1 :]) for k in starts if words[k + 1 :]]
    return found


def _up_to_and(words: list[str]) -> list[str]:
    ends = [k for k, word in enumerate(words) if word in ("&&", "|", ">", ";")]
    return words[: ends[0]] if ends else words


@cache
def known(command: str) -> set[str]:
    parser = parsers()[command]
    own = {option for action in parser._actions for option in action.option_strings}
    return own | {"--config"} | (_launch_options() if command != "score" else set())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_can_be_typed(page: Path) -> None:
    for words in commands(page):
        command, *rest = words
        if command.startswith("--"):
            continue
        assert command in COMMANDS, words
        if command == "methods":
            names = {name for registry in FAMILIES.values() for name in registry.built_in}
            assert {word for word in rest if not word.startswith("--")} <= names, words
        elif command == "recipes":
            assert all(find_recipe(name) for name in rest if not name.startswith("--"))
        else:
            flags = {word.split("=")[0] for word in rest if word.startswith("--")}
            assert flags <= known(command), (words, flags - known(command))
            if "--config" in rest:
                name = rest[rest.index("--config") + 1]
                assert name in ("score.yaml", "mine.yaml", "grid.yaml") or find_recipe(name, command).exists()


def test_there_are_commands_to_try() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 40
    assert commands(ROOT / "docs" / "jobs.md")[0][0] == "grpo"


@pytest.mark.parametrize("command", ["grpo", "sft", "evolve", "select", "score"])
def test_help_begins_with_what_is_not_trls_own(command: str) -> None:
    parser = parsers()[command]
    text = parser.format_help()
    places = [text.index(f"\n{title}:") for title in parser.parts()]
    assert places == sorted(places) and len(places) == 3
    before = text[: places[1]]
    assert len(before.splitlines()) < 30 and "--config RECIPE" in before
    added, theirs = text[places[1] : places[2]], text[places[2] :]
    assert all(f"--{action.dest}" in added for action in parser.added())
    assert "--curriculum" in added or command in ("select", "score")
    if command != "score":
        assert "--learning_rate " in theirs and "--learning_rate " not in added
    assert "--help" in text, "nothing is left out"
    every = {option for action in parser._actions for option in action.option_strings}
    assert all(option in text for option in every)
    assert len(parser.format_usage()) < 100
