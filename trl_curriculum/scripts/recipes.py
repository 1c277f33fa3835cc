"""Recipes by name: those that come with the package, wherever it is installed, what each is for and starts from."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..registry import nearest
from . import ROOTS
from .repeats import read_yaml


BASE = "base"  # the key of a recipe that names what it starts from
GRIDS = "compare"  # whose recipes have an argument of that name: it keeps its own meaning


@dataclass(frozen=True)
class Recipe:
    """
    A recipe that comes with the package.

    Args:
        path (`Path`):
            Its file.
        name (`str`):
            Its place among the recipes, without the ending: `grpo/cpu/sec_countdown`.
    """

    path: Path
    name: str

    @property
    def command(self) -> str:
        """The command that it is for."""
        return self.name.split("/")[0]

    def about(self) -> str:
        """The first sentence of the comment that it begins with."""
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#") or line.startswith("#   trl-curriculum"):
                break
            lines.append(line.lstrip("# "))
        return re.split(r"(?<=[.:])\s+(?=[A-Z])", " ".join(lines).strip())[0].rstrip(".:")

    def row(self) -> dict[str, str]:
        """What it is, as plain texts: name, model, methods and one line."""
        said = read_recipe(self.path, self.command)
        default = "-" if self.command == "eval" else "uniform"
        keys = ("method", "curriculum", "selection")
        first = next((said[key] for key in keys if said.get(key) is not None), default)
        more = [one for key in ("rollouts", "shaping") for one in _as_list(said.get(key))]
        methods = said.get("methods", [first, *more])  # of a grid there are several
        return {
            "name": self.name,
            "model": str(said.get("model_name_or_path", "-")),
            "method": ", ".join(map(_name_of, methods)),
            "about": self.about(),
        }


def _name_of(spec: Any) -> str:
    if isinstance(spec, dict) and "name" in spec:
        return str(spec["name"])
    return next(iter(spec)) if isinstance(spec, dict) and len(spec) == 1 else str(spec)


def _as_list(specs: Any) -> list[Any]:
    return specs if isinstance(specs, list) else [] if specs is None else [specs]


@cache
def recipes() -> tuple[Recipe, ...]:
    """All recipes that come with the package: beside it in a checkout, and inside it where it is installed."""
    for root in ROOTS:
        folder = root / "recipes"
        if found := sorted(folder.rglob("*.yaml")):
            return tuple(Recipe(path, path.relative_to(folder).with_suffix("").as_posix()) for path in found)
    return ()


def find_recipe(name: str, command: str | None = None, folder: Path = Path(), said: str = "--config") -> Path:
    """
    The file of a recipe, given by a path that exists or by a name: `sec_countdown`, `grpo/cpu/sec_countdown` or
    `recipes/grpo/sec_countdown.yaml`.

    Of several with the same name it is the one of the `command`, and the one for GPUs.

    Args:
        name (`str`), command (`str`, *optional*):
            What is searched, and for which command.
        folder (`Path`, *optional*):
            Where a relative path begins; by default where the process runs.
        said (`str`, *optional*, defaults to `"--config"`):
            What named it, for messages.

    Raises:
        `FileNotFoundError`: naming the nearest one.
    """
    given = Path(name).expanduser()
    place = folder / given
    if place.is_file():
        return place
    if place.is_dir():
        raise FileNotFoundError(f"{said} {name} is a folder: give a recipe in it.")
    known, found = recipes(), _named(name)
    if own := [one for one in found if command in (None, one.command) or command not in {x.command for x in known}]:
        return min(own, key=lambda one: (one.name.count("/"), one.name)).path
    if found:
        raise FileNotFoundError(_of_another(f"{said} {name}", found[0].command, command))
    last = given.with_suffix("").name
    hint = nearest(last, [one.name.split("/")[-1] for one in known if command in (None, one.command)] or [])
    hint = hint or nearest(last, [one.name.split("/")[-1] for one in known])
    raise FileNotFoundError(
        f"{said} {name}: there is no such file, and no recipe of that name{hint}; `trl-curriculum recipes` lists "
        "those that come with the package."
    )


def _named(name: str) -> list[Recipe]:
    """The recipes whose names end in this one."""
    given = Path(name).expanduser()
    parts = [part for part in given.with_suffix("").parts if part != "."]
    parts = parts[1:] if parts[:1] == ["recipes"] else parts
    asked_for = given.suffix in ("", ".yaml", ".yml") and not given.is_absolute() and ".." not in parts
    return [one for one in recipes() if asked_for and parts and one.name.split("/")[-len(parts) :] == parts]


def _of_another(said: str, owner: str, command: str | None) -> str:
    return (
        f"{said}: this recipe is one of `trl-curriculum {owner}`: run it so, or name another for `{command}`; "
        "`trl-curriculum recipes` lists them."
    )


def read_recipe(file: str | Path, command: str | None = None) -> Any:
    """
    What a recipe says: its keys, and those that it has from its `base`, the recipe that it starts from.

    A key of the recipe replaces that of its base, with all that it holds. A base may have a base.

    Args:
        file (`str` or `Path`):
            The recipe. Its `base` is a path from the folder that it is in, or the name of a recipe that comes with the
            package.
        command (`str`, *optional*):
            What it is for; by default the command of the first recipe of the package that it is or starts from.

    Returns:
        A mapping without `base`; of a grid, as it is; and what the file holds where that is no mapping.

    Raises:
        `ValueError` or `OSError`: in one sentence, where a base is nowhere, of another command, the recipe itself, or
        no recipe.
    """
    command = command if command in {one.command for one in recipes()} else _command_of(file)
    recipe, files = read_yaml(file), [Path(file)]
    while command != GRIDS and isinstance(recipe, dict) and BASE in recipe:
        name = recipe.pop(BASE)
        base = _find_base(name, files[-1], command)
        if any(base.samefile(one) for one in files):
            raise ValueError(f"{files[-1]}: base {name} leads back to {base}: a recipe cannot start from itself.")
        below = read_yaml(base)
        if not isinstance(below, dict):
            raise ValueError(f"{files[-1]}: base {name} is no recipe: {base} must hold keys, as in `max_steps: 200`.")
        recipe, command = below | recipe, command or _command_of(base)
        files.append(base)
    return recipe


def _find_base(name: Any, file: Path, command: str | None) -> Path:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{file}: base={name!r} must be the name or the path of a recipe, such as grpo/one_gpu.")
    path = find_recipe(name, command, file.parent, f"{file}: base")
    commands = sorted({one.command for one in _named(name) if not (file.parent / name).is_file()})
    if command is None and len(commands) > 1:
        raise ValueError(
            f"{file}: base {name} is a recipe of {' and of '.join(commands)}: say which, as in {commands[0]}/{name}."
        )
    owner = _command_of(path)
    if command is not None and owner not in (None, command):
        raise ValueError(_of_another(f"{file}: base {name}", str(owner), command))
    return path


def _command_of(file: str | Path) -> str | None:
    """The command of a recipe that comes with the package."""
    return next((one.command for one in recipes() if one.path.samefile(file)), None)


def with_found_config(argv: Sequence[str], command: str | None = None) -> list[str]:
    """
    The arguments with a `--config` that names a recipe replaced by its file, of which the user is told.

    What it starts from is looked up too, so that a mistake in that is told as early.
    """
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    for place, word in enumerate(words[:-1]):
        if word == "--config":
            given, path = words[place + 1], find_recipe(words[place + 1], command)
            if path != Path(given):
                words[place + 1] = str(path)
                if os.environ.get("RANK", "0") == "0":
                    print(f"Recipe: {path}", file=sys.stderr)
            read_recipe(path, command)
    return words
