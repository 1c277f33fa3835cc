"""
`trl-curriculum compare`: methods by seeds from one base recipe, compared at equal cost with uniform and with placebos.

Every cell is a run of its own, in `output_dir/method/seed-n`. The same command goes on where it was stopped.
"""

import io
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from trl import GRPOConfig

from ..disk.fingerprint import redact
from ..evaluation.cells import LOG, Cells
from ..evaluation.compare import MATCHES, Comparison, Metric, measure
from ..evaluation.comparison_page import said, tables, write
from ..evaluation.curves import read_run
from ..evaluation.grid import CHOICES, Cell, Grid, make_grid
from ..evaluation.rounds import measure_rounds
from ..evaluation.simulated_grid import COMPETENCE, Sizes, find_world, refuse_unsimulated, simulated_points
from ..evaluation.worlds import WORLDS
from ..report.figures import is_installed
from ..report.terminal import show, table
from ..scripts import MISTAKES
from ..scripts.launch import parse
from ..scripts.parser import RecipeParser
from ..scripts.recipes import find_recipe, read_recipe
from ..scripts.repeats import read_json
from ..stdout import say
from .recipe import run_recipe


@dataclass
class CompareArguments:
    """
    Arguments of `trl-curriculum compare`.

    Args:
        command (`str`, *optional*, defaults to `"grpo"`):
            What trains: `"grpo"`, `"sft"`, or `"evolve"`, whose methods are selections.
        base (`str` or `dict`):
            The recipe that all cells share: its name, its path, or what it holds.
        output_dir (`str`, *optional*, defaults to `"comparison"`):
            Where cells and results go.
        methods (`list[str or dict]`):
            Of each its spec, as in `curriculum` (of rounds, as in `selection`), or a mapping with a `name` and what it
            sets in the base.
        seeds (`list[int]`, *optional*, defaults to `[0, 1, 2, 3, 4]`):
            Of each cell, its `seed`.
        match (`str`, *optional*, defaults to `"steps"`):
            At which equal cost curves are compared: `"steps"`, `"trained_tokens"`, `"generated_tokens"` or `"time"`.
        metric (`str`, *optional*):
            What is compared, a name in the log; `reward_as_uniform` (`loss_as_uniform`) is that of all draws, arms
            weighted as uniform draws them. Default: `eval_reward` (`eval_loss`) where there is one, else the latter.
            Of rounds, `accuracy` or `loss` of the held-out rows; default: the first that there is.
        jobs (`int`, *optional*, defaults to `1`):
            Cells that run at a time, among which GPUs are shared out.
        simulate (`str`, *optional*):
            A world in which simulated learners stand for the runs; they are compared by their competence.
        dry_run (`bool`, *optional*, defaults to `False`):
            Whether to print the grid and end.
    """

    command: str = field(default="grpo", metadata={"help": "What trains.", "choices": [*CHOICES]})
    base: dict[str, Any] | str | None = field(default=None, metadata={"help": "The recipe that all cells share."})
    output_dir: str = field(default="comparison", metadata={"help": "Where cells and results go."})
    methods: list[str] | None = field(
        default=None, metadata={"help": 'Methods, such as sec \'{"name": "refilled", "rollouts": "refill"}\'.'}
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4], metadata={"help": "Seeds of the cells."})
    match: str = field(default="steps", metadata={"help": "At which equal cost.", "choices": [*MATCHES]})
    metric: str | None = field(default=None, metadata={"help": "What is compared, a name in the log."})
    jobs: int = field(default=1, metadata={"help": "Cells that run at a time."})
    simulate: str | None = field(
        default=None, metadata={"help": f"Simulated learners in place of runs, in one of {', '.join(WORLDS)}."}
    )
    dry_run: bool = field(default=False, metadata={"help": "Print the grid and end before anything runs."})

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"jobs={self.jobs} must be at least 1.")
        if self.match == "time" and self.jobs > 1:
            raise ValueError(
                f"match=time with jobs={self.jobs}: cells that run side by side slow each other; set jobs: 1."
            )
        if self.match == "generated_tokens" and self.command == "sft":
            raise ValueError("match=generated_tokens: SFT generates nothing; match by trained_tokens.")
        if self.command == "evolve" and self.simulate is not None:
            raise ValueError(f"simulate={self.simulate}: there are no simulated learners for rounds.")

    def grid(self) -> Grid:
        """Methods by seeds, with all that can be checked without reading data."""
        if not self.methods:
            raise ValueError("No methods: give some to compare, such as `methods: [sec, dump]`.")
        base: Any = self.base
        if base is None and self.simulate is not None:
            base = {"curriculum": "uniform"}  # a world has rows of its own
        if isinstance(base, str):
            told = base.lstrip().startswith("{")
            base = read_json(base) if told else read_recipe(find_recipe(base, self.command), self.command)
        methods = [read_json(one) if isinstance(one, str) and one[:1] == "{" else one for one in self.methods]
        return make_grid(methods, self.seeds, base, self.output_dir, self.command)


def make_parser(prog: str | None = None) -> RecipeParser:
    """The parser of this command."""
    types: Any = (CompareArguments,)
    return RecipeParser(types, prog=prog)


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    if not argv:
        raise ValueError("Say what to compare: `--config GRID.yaml`, or `--help` for all arguments.")
    args, launch_args = parse(make_parser("trl-curriculum compare"), argv, command="compare")
    if launch_args.from_config:
        name = launch_args.from_config[0].removeprefix("--")
        raise ValueError(f"{name} says how a run is launched: set it in the base.")
    grid = args.grid()
    if args.simulate is not None:
        return _simulated(args, grid)
    cells = Cells(args.command, grid, args.jobs)
    cells.refuse_changed()
    done = cells.finished()
    waiting = {cell.entry.name for cell in grid.cells if cell not in done}
    plans = check(args.command, grid, waiting)
    _show_grid(args, grid, plans)
    if args.dry_run:
        return 0
    try:
        with ended_in_order():
            cells.run()
    except KeyboardInterrupt:
        print(
            f"Stopped, with {len(cells.finished())} of {len(grid.cells)} cells done: the same command goes on.",
            file=sys.stderr,
        )
        return 130
    points, metric = _points(args, grid, cells.finished())
    title = f"{args.command.upper()}: {len(grid.entries)} methods x {len(grid.seeds)} seeds"
    title += f" from {args.base}" if isinstance(args.base, str) and args.base[:1] != "{" else ""
    _report(Comparison(grid.entries, points, metric, args.match, grid.baseline), grid.output_dir, title, cells.failed)
    return 1 if cells.failed else 0


def _points(args: CompareArguments, grid: Grid, finished: list[Cell]) -> tuple[pd.DataFrame, Metric]:
    if not finished:
        raise ValueError(f"No cell has finished: each has a {LOG} in {grid.output_dir} that says why.")
    if args.command == "evolve":
        return measure_rounds(finished, args.metric, args.match)
    generations = GRPOConfig.num_generations or 0 if args.command == "grpo" else 0
    runs = {cell: read_run(cell.folder, grid.recipe(cell), generations) for cell in finished}
    return measure(runs, args.metric, args.match)


def check(command: str, grid: Grid, names: set[str]) -> dict[str, str]:
    """
    Plans a cell of each of some methods, which finds its mistakes before anything runs.

    Returns:
        `dict[str, str]`: of each method, what it runs.

    Raises:
        `ValueError`: on the first that is impossible, with the name of the cell.
    """
    plans = {}
    for cell in grid.cells[: len(grid.entries)]:
        if cell.entry.name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            recipe = Path(folder) / "recipe.yaml"
            recipe.write_text(yaml.safe_dump(grid.recipe(cell)), encoding="utf-8")
            try:
                with redirect_stdout(io.StringIO()) as plan:
                    run_recipe(command, ["--config", str(recipe), "--dry_run"])
            except MISTAKES as error:
                text = str(error).replace(f"{recipe}, ", "").replace(str(recipe), "the recipe")
                raise ValueError(f"{cell.name}: {text}") from error
        lines = plan.getvalue().splitlines()
        runs = (line.removeprefix("run ").strip() for line in lines if line.startswith("run "))
        plans[cell.entry.name] = next(runs, lines[-1] if lines else "")  # rounds are one line
    return plans


def _simulated(args: CompareArguments, grid: Grid) -> int:
    world = find_world(str(args.simulate))
    refuse_unsimulated(grid, args.match)
    sizes = Sizes.of(grid.base, args.command)
    if args.dry_run:
        _show_grid(args, grid, {})
        return 0
    points = simulated_points(grid, world, sizes, args.command, args.match)
    rollouts = f" x {sizes.generations} rollouts" if args.command == "grpo" else ""
    title = f"Simulated learners in {args.simulate}, {sizes.steps} steps of {sizes.batch} rows{rollouts}"
    folder = grid.output_dir / f"simulated-{args.simulate}"
    _report(Comparison(grid.entries, points, COMPETENCE, args.match), folder, title, {})
    return 0


def _show_grid(args: CompareArguments, grid: Grid, plans: dict[str, str]) -> None:
    where = f"{len(grid.entries)} methods x {len(grid.seeds)} seeds = {len(grid.cells)} cells in {grid.output_dir}"
    rows = [
        (
            entry.name,
            ", ".join(f"{key}={redact(value)}" for key, value in entry.changes.items()),
            plans.get(entry.name, "done"),
        )
        for entry in grid.entries
    ]
    if args.simulate is not None:
        rows = [(name, changes, f"simulated in {args.simulate}") for name, changes, _ in rows]
    show(table(where, {"method": "name", "sets": "words", "run": "words"}, rows))
    say(f"seeds {', '.join(map(str, grid.seeds))}; matched by {args.match}")


def _report(comparison: Comparison, folder: Path, title: str, failed: dict[str, str]) -> None:
    files = write(comparison, folder, title, failed)
    for line in said(comparison):
        say(line)
    for heading, rows in tables(comparison).items():
        words = dict.fromkeys(rows[0], "words")
        show(table(heading, words, [tuple(row.values()) for row in rows], boxed=True))
    say(f"Written: {', '.join(map(str, files))}.")
    if not is_installed():
        say("comparison.html takes altair and vl-convert-python: `pip install trl_curriculum[report]`.")


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Ends as after Ctrl-C where a scheduler asks this process to end, so that it ends its runs."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
