"""The house: who may import whom, what the smallest imports cost, and how long a file may be."""

import ast
import json
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
LONGEST = 300
FLOORS = {  # what each room may import; whatever is not named here may import anything below cli
    "options": (),
    "registry": ("options",),
    "signals": (),
    "disk": ("signals",),
    "lm": ("disk", "options", "signals"),
    "records": ("disk", "signals"),
    "curricula": ("arms", "curricula", "data", "disk", "pool", "records", "registry", "signals"),
    "selection": ("registry", "selection", "signals"),
    "rewriting": (),
    "schedules": (),
    "shaping": ("pool", "records", "registry", "rewards", "rewriting", "shaping", "signals"),
    "rollouts": ("records", "registry", "rewriting", "rollouts", "schedules", "signals"),
}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package and of the recipes by its dotted name."""
    found = {}
    for folder, package in ((ROOT / "trl_curriculum", "trl_curriculum"), (ROOT / "recipes", "trl_curriculum.recipes")):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


def imports(name: str, lazy: bool) -> set[str]:
    """Modules that a module imports, if `lazy` in its functions too, but not what a type checker alone reads."""
    path, found = modules()[name], set()
    tree = ast.parse(path.read_text())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy:
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            found.update(
                f"{target}.{alias.name}" if f"{target}.{alias.name}" in modules() else target for alias in node.names
            )
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return {one for one in found if one in modules() and one != name}


def room(name: str) -> str:
    return name.removeprefix("trl_curriculum.").split(".")[0]


def test_no_import_circle_not_even_inside_functions() -> None:
    graph = {name: imports(name, lazy=True) for name in modules()}
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = [*path[path.index(name) :], name]
            # A package that hands out what its files define is no circle with them.
            if not all(
                (a in packages and b.startswith(f"{a}.")) or (b in packages and a.startswith(f"{b}."))
                for a, b in pairwise(circle)
            ):
                pytest.fail(" -> ".join(circle))
            return
        if name in done:
            return
        for other in sorted(graph[name]):
            walk(other, (*path, name))
        done.add(name)

    for name in sorted(graph):
        walk(name, ())


@pytest.mark.parametrize("floor", FLOORS)
def test_a_room_imports_only_from_the_floors_below(floor: str) -> None:
    for name in modules():
        if room(name) == floor:
            others = {room(one) for one in imports(name, lazy=True)} - {floor, "trl_curriculum"}
            assert others <= set(FLOORS[floor]), f"{name} imports {sorted(others - set(FLOORS[floor]))}"


def test_the_commands_and_the_recipes_do_not_import_each_other() -> None:
    for name in modules():
        if room(name) == "recipes":
            assert not any(room(one) == "cli" for one in imports(name, lazy=True)), name


def test_only_tests_import_the_conformance_tables() -> None:
    """They need pytest, which a run does not."""
    for name in modules():
        if room(name) != "testing":
            assert not any(room(one) == "testing" for one in imports(name, lazy=True)), name


def test_what_the_smallest_imports_cost() -> None:
    """The package, the curricula and their simulated training need neither torch nor TRL."""
    heavy = ("torch", "trl", "transformers", "datasets")
    room = "trl_curriculum.evaluation.simulated"  # which needs the curricula
    code = f"import sys, json, {room}; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_file_is_long(name: str) -> None:
    assert len(modules()[name].read_text().splitlines()) <= LONGEST, "split it by subject"
