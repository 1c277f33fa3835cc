"""Recipes by name: those that come with the package, wherever it is installed, and what each is for."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..registry import nearest
from . import ROOTS


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
        """What it is, as plain texts: name, model, method and one line."""
        written = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        default = "-" if self.command == "eval" else "uniform"
        method = next((written[key] for key in ("method", "curriculum", "selection") if key in written), default)
        methods = written.get("methods", [method])  # of a grid there are several
        return {
            "name": self.name,
            "model": str(written.get("model_name_or_path", "-")),
            "method": ", ".join(map(_name_of, methods)),
            "about": self.about(),
        }


def _name_of(spec: Any) -> str:
    if isinstance(spec, dict) and "name" in spec:
        return str(spec["name"])
    return next(iter(spec)) if isinstance(spec, dict) and len(spec) == 1 else str(spec)


def recipes() -> list[Recipe]:
    """All recipes that come with the package: beside it in a checkout, and inside it where it is installed."""
    for root in ROOTS:
        folder = root / "recipes"
        if found := sorted(folder.rglob("*.yaml")):
            return [Recipe(path, path.relative_to(folder).with_suffix("").as_posix()) for path in found]
    return []


def find_recipe(name: str, command: str | None = None) -> Path:
    """
    The file of a recipe, given by a path that exists or by a name: `sec_countdown`, `grpo/cpu/sec_countdown` or
    `recipes/grpo/sec_countdown.yaml`.

    Of several with the same name it is the one of the `command`, and the one for GPUs.

    Raises:
        `FileNotFoundError`: naming the nearest one.
    """
    given = Path(name).expanduser()
    if given.is_file():
        return given
    if given.is_dir():
        raise FileNotFoundError(f"--config {name} is a folder: give a recipe in it.")
    parts = [part for part in given.with_suffix("").parts if part != "."]
    parts = parts[1:] if parts[:1] == ["recipes"] else parts
    known = recipes()
    asked_for = given.suffix in ("", ".yaml", ".yml") and not given.is_absolute() and ".." not in parts
    found = [one for one in known if asked_for and parts and one.name.split("/")[-len(parts) :] == parts]
    if own := [one for one in found if command in (None, one.command) or command not in {x.command for x in known}]:
        return min(own, key=lambda one: (one.name.count("/"), one.name)).path
    if found:
        raise FileNotFoundError(
            f"The recipe {name!r} is one of `trl-curriculum {found[0].command}`: run it so, or name another for "
            f"`{command}`; `trl-curriculum recipes` lists them."
        )
    last = given.with_suffix("").name
    hint = nearest(last, [one.name.split("/")[-1] for one in known if command in (None, one.command)] or [])
    hint = hint or nearest(last, [one.name.split("/")[-1] for one in known])
    raise FileNotFoundError(
        f"--config {name}: there is no such file, and no recipe of that name{hint}; `trl-curriculum recipes` lists "
        "those that come with the package."
    )


def with_found_config(argv: Sequence[str], command: str | None = None) -> list[str]:
    """The arguments with a `--config` that names a recipe replaced by its file, of which the user is told."""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    for place, word in enumerate(words[:-1]):
        if word == "--config":
            given, path = words[place + 1], find_recipe(words[place + 1], command)
            if path != Path(given):
                words[place + 1] = str(path)
                if os.environ.get("RANK", "0") == "0":
                    print(f"Recipe: {path}", file=sys.stderr)
    return words
