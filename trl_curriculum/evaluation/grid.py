"""The grid of a comparison: methods by seeds, each cell a recipe of its own, made from one base."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..bundles import BUNDLES
from ..curricula import CURRICULA
from ..disk.fingerprint import redact
from ..disk.stages import flatten
from ..registry import Method, Registry
from ..selection import SELECTION


UNIFORM, PLACEBO = "uniform", "placebo"
SET_HERE = ("output_dir", "seed", "resume_from_checkpoint", "disable_tqdm")  # of a cell, whatever the base says
LEFT_OUT = ("dry_run", "overwrite_output_dir")  # of the base, which would not go with cells
NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")  # of a method: it becomes a folder
SAVES = {"save_strategy": "steps", "save_steps": 0.1}  # of a base that saves nothing: a cell must be able to go on


@dataclass(frozen=True)
class Choice:
    """
    What the methods of a grid are.

    Args:
        argument (`str`):
            Of a recipe, by which one is chosen.
        registry ([`~trl_curriculum.registry.Registry`]):
            Where they are.
        baseline (`str`):
            The one that all are compared with.
        default (`str`):
            The one of a recipe that does not say.
        placebos (`bool`, *optional*, defaults to `True`):
            Whether each has a placebo. A selection has none: its scores permuted over the candidates are `random`.
    """

    argument: str
    registry: Registry[Any]
    baseline: str
    default: str
    placebos: bool = True

    def of(self, recipe: dict[str, Any], name: str) -> Any:
        """
        The [`~trl_curriculum.registry.Method`] of a recipe: its own, or that of its bundle.

        Raises:
            `ValueError`: with the `name` of what the recipe is for.
        """
        try:
            spec = recipe.get(self.argument)
            if spec is None and recipe.get("method") is not None:
                spec = BUNDLES.make(recipe["method"]).expand().get(self.argument)
            return self.registry.make(self.default if spec is None else spec)
        except (ValueError, TypeError, ImportError) as error:
            raise ValueError(f"{name}: {error}") from error


CURRICULUM = Choice("curriculum", CURRICULA, UNIFORM, UNIFORM)
CHOICES = {  # by the command that trains
    "grpo": CURRICULUM,
    "sft": CURRICULUM,
    "evolve": Choice("selection", SELECTION, "random", "evoselect", placebos=False),
}


@dataclass(frozen=True)
class Entry:
    """
    A method of the grid.

    Args:
        name (`str`):
            What it is called, in tables and as a folder.
        changes (`dict`):
            What it sets in the base recipe.
        placebo_of (`str`, *optional*):
            Name of the method whose placebo it is.
    """

    name: str
    changes: dict[str, Any] = field(hash=False)
    placebo_of: str | None = None


@dataclass(frozen=True)
class Cell:
    """A method of the grid with a seed, and the folder of its run."""

    entry: Entry
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """`method/seed-n`."""
        return f"{self.entry.name}/seed-{self.seed}"


@dataclass(frozen=True)
class Grid:
    """
    Methods by seeds.

    Args:
        entries (`tuple` of [`Entry`]):
            With `uniform` and placebos among them.
        seeds (`tuple` of `int`):
            All different.
        base (`dict`):
            The recipe that all cells share.
        output_dir (`Path`):
            Folder of the comparison.
        command (`str`, *optional*, defaults to `"grpo"`):
            What trains, a key of `CHOICES`.
    """

    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    base: dict[str, Any]
    output_dir: Path
    command: str = "grpo"

    @property
    def baseline(self) -> str:
        """Name of the method that all are compared with."""
        return CHOICES[self.command].baseline

    @property
    def cells(self) -> list[Cell]:
        """All cells, seed by seed, so that a comparison that is stopped has whole seeds."""
        return [
            Cell(entry, seed, self.output_dir / entry.name / f"seed-{seed}")
            for seed in self.seeds
            for entry in self.entries
        ]

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether the base saves; else those of a cell are only there until it is done. Rounds keep what they make."""
        return self.command == "evolve" or self.base.get("save_strategy", "steps") not in ("no", False)

    def recipe(self, cell: Cell) -> dict[str, Any]:
        """The recipe of a cell: the base, what the method sets, and what a cell of a comparison needs."""
        made = {name: value for name, value in self.base.items() if name not in LEFT_OUT} | cell.entry.changes
        if not self.keeps_checkpoints:
            made |= SAVES | ({"save_steps": 500} if made.get("max_tokens") else {})  # a share needs a number of steps
        own: dict[str, Any] = {"output_dir": str(cell.folder), "seed": cell.seed, "disable_tqdm": True}
        if self.command != "evolve":  # whose stages go on by themselves
            own["resume_from_checkpoint"] = "auto"
        return {"save_total_limit": 1} | made | own


def make_grid(methods: Any, seeds: Any, base: dict[str, Any], output_dir: str | Path, command: str = "grpo") -> Grid:
    """
    Reads a grid; adds the baseline (`uniform`, of rounds the selection `random`), and the placebo of each method whose
    curriculum is another one, also of those that follow a fixed order, unless the grid names placebos itself.

    Args:
        methods (`list`):
            Of each method its spec, as in `curriculum` (of rounds, as in `selection`), or a mapping with a `name` and
            what it sets in the base.
        seeds (`list[int]`):
            Seeds.
        base (`dict`):
            The recipe that all cells share.
        output_dir (`str` or `Path`):
            Folder of the comparison.
        command (`str`, *optional*, defaults to `"grpo"`):
            What trains, a key of `CHOICES`.

    Raises:
        `ValueError` or `TypeError`: in one sentence that names the method or the seed.
    """
    choice = CHOICES[command]
    _check_base(base)
    _refuse_secrets(base, "base")
    listed = methods if isinstance(methods, list) else [methods]
    entries = [_entry(spec, k, choice) for k, spec in enumerate(listed)]
    named = {entry.name: entry for entry in entries}
    if choice.baseline not in named:
        entries.insert(0, Entry(choice.baseline, {choice.argument: choice.baseline}))
    elif (found := choice.of(base | named[choice.baseline].changes, choice.baseline)).name != choice.baseline:
        raise ValueError(
            f"The method called {choice.baseline!r}, which all are compared with, has the {choice.argument} "
            f"{found.name}."
        )
    methods_of = {entry.name: choice.of(base | entry.changes, entry.name) for entry in entries}
    if any(found.name == PLACEBO for found in methods_of.values()):
        entries = [_with_its_method(entry, entries, methods_of) for entry in entries]
    elif choice.placebos:
        for entry in list(entries):
            found = methods_of[entry.name]
            if found.name != choice.baseline:
                changes = entry.changes | {"curriculum": {PLACEBO: {"of": found.spec}}}
                entries.append(Entry(f"{PLACEBO}-{entry.name}", changes, placebo_of=entry.name))
    for k, entry in enumerate(entries):
        if entry.name in [other.name for other in entries[:k]]:
            raise ValueError(
                f"Two methods are called {entry.name!r}: give each a name, as in "
                f"{{name: another, {choice.argument}: {entry.changes.get(choice.argument, '…')}}}."
            )
    return Grid(tuple(entries), _seeds(seeds), base, Path(output_dir), command)


def _check_base(base: Any) -> None:
    if not isinstance(base, dict) or not base:
        raise TypeError("base must be a recipe: its name, its path, or the mapping that it holds.")
    if "base" in base:
        raise ValueError("base holds a base of its own: give the name or the path of a recipe that does.")
    if base.get("data_seed") is not None:
        raise ValueError("base sets data_seed, by which all seeds would draw alike: leave it out.")
    if base.get("push_to_hub"):
        raise ValueError("base sets push_to_hub, and every cell would push to the same place: leave it out.")
    if base.get("save_only_model"):
        raise ValueError("base sets save_only_model, and a cell that was stopped could not go on: leave it out.")


def _refuse_secrets(recipe: dict[str, Any], where: str) -> None:
    """Each cell's recipe is written down, and what others must not read is not."""
    shown = flatten(redact(recipe))
    for name, value in flatten(recipe).items():
        if shown.get(name) != value:
            raise ValueError(f"{where}: {name} holds a secret, and cells are written down: set it in the environment.")


def _entry(spec: Any, k: int, choice: Choice) -> Entry:
    where = f"methods[{k}]"
    if isinstance(spec, dict) and "name" in spec:
        changes = {key: value for key, value in spec.items() if key != "name"}
        name = spec["name"]
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(
                f"{where}: name={name!r} must be a word of letters, digits and any of . _ + -: it becomes a folder."
            )
        if "base" in changes:
            raise ValueError(f"{name}: base is the recipe that all methods share: leave it out of the method.")
        for key in changes:
            if key in (*SET_HERE, *LEFT_OUT, "data_seed"):
                raise ValueError(f"{name}: {key} is set for each cell: leave it out of the method.")
        _refuse_secrets(changes, name)
        return Entry(name, changes)
    if isinstance(spec, dict) and len(spec) != 1:
        raise ValueError(
            f"{where}={spec!r} is no method such as {{sec: {{tau: 0.2}}}}, and no mapping of what it sets with a "
            "name, such as {name: refilled, curriculum: sec, rollouts: refill}."
        )
    try:
        method = choice.registry.make(spec)
    except (ValueError, TypeError, ImportError) as error:
        raise ValueError(f"{where}: {error}") from error
    return Entry(method.name, {choice.argument: method.spec})


def _with_its_method(entry: Entry, entries: list[Entry], methods_of: dict[str, Method]) -> Entry:
    """A placebo that the grid names, with the method that it is the placebo of: first one that sets nothing else."""
    placebo = methods_of[entry.name]
    if placebo.name != PLACEBO:
        return entry
    of = CURRICULA.make(placebo.options["of"])
    same = [one for one in entries if methods_of[one.name] == of]
    same.sort(key=lambda one: _besides(one) != _besides(entry))  # stable
    return Entry(entry.name, entry.changes, placebo_of=same[0].name if same else None)


def _besides(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in entry.changes.items() if name != "curriculum"}


def _seeds(seeds: Any) -> tuple[int, ...]:
    seeds = seeds if isinstance(seeds, Sequence) and not isinstance(seeds, str) else [seeds]
    if not seeds:
        raise ValueError("seeds is empty: give some, such as [0, 1, 2, 3, 4].")
    for k, seed in enumerate(seeds):
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise ValueError(f"seeds[{k}]={seed!r} must be a whole number from 0 on, below 2^32.")
        if seed in seeds[:k]:
            raise ValueError(f"The seed {seed} is given twice: leave one out.")
    return tuple(seeds)
