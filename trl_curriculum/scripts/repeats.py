"""Keys that are given twice, in a recipe or in JSON: of two values the last would count, without a word."""

import json
from pathlib import Path
from typing import Any

import yaml

from ..registry import without_repeats


class _Loader(yaml.SafeLoader):
    """Reads YAML, and refuses a key that a mapping has twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in seen:
                before = f" (it is in line {seen[name]} too)" if seen[name] != line else ""
                raise ValueError(f"line {line}: {key.value!r} is given twice{before}: leave one out.")
            seen[name] = line
        return super().construct_mapping(node, deep)


def read_yaml(file: str | Path) -> Any:
    """
    What a YAML file holds.

    Raises:
        `ValueError`: with file and line, where it is no YAML or a key is given twice; `OSError` where it cannot be
        read.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            return yaml.load(opened, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise ValueError(f"{file}, {line}this is no YAML ({error.problem}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no YAML in UTF-8 ({str(error).splitlines()[0]}).") from error
    except ValueError as error:
        raise ValueError(f"{file}, {error}") from error


def read_json(text: str) -> Any:
    """
    What a text in JSON holds.

    Raises:
        `ValueError`: where a key is given twice; `json.JSONDecodeError` where it is no JSON.
    """
    return json.loads(text, object_pairs_hook=without_repeats)


def check_words(words: list[str]) -> None:
    """
    Refuses a key that is given twice in a recipe or in JSON on a command line.

    Args:
        words (`list[str]`):
            Arguments of a script, such as `["--config", "recipe.yaml", "--curriculum", "{…}"]`.

    Raises:
        `ValueError`: in one sentence that names the key, and file and line or the option.
    """
    option = ""
    for word in words:
        if word.startswith("--"):
            option, _, word = word.partition("=")
        if option == "--config" and word:
            read_yaml(word)
            option = ""
        elif word.lstrip()[:1] in ("{", "["):
            try:
                read_json(word)
            except json.JSONDecodeError:
                pass  # what takes it says so
            except ValueError as error:
                raise ValueError(f"{option} {word}: {error}") from error
