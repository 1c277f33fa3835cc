"""What the training commands share: a recipe script, found and started by `accelerate launch`."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from trl.cli.commands.training import _subtract_subsequence

from ..scripts.launch import launch, parse


def run_recipe(name: str, argv: Sequence[str], script_name: str | None = None) -> int:
    """Run a command, whose recipe script has its name unless another is given, on the arguments after the name."""
    if not argv:
        raise ValueError("Say what to do: `--config RECIPE.yaml`, or `--help` for all arguments.")
    script = load_recipe(script_name or name)
    parser = script.make_parser(prog=f"trl-curriculum {name}")
    *arguments, launch_args = parse(parser, argv, launching=True, command=name)
    if arguments[0].dry_run:  # one process can plan for many
        script.main(*arguments, num_processes=launch_args.num_processes)
    else:
        launch(str(script.__file__), launch_args, _subtract_subsequence(list(argv), launch_args.from_command_line))
    return 0


def load_recipe(name: str) -> ModuleType:
    """Import a recipe script, from the installed package or from the source checkout that this file is in."""
    module_name = f"trl_curriculum.recipes.{name}"
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name not in ("trl_curriculum.recipes", module_name):
            raise
    path = Path(__file__).resolve().parents[2] / "recipes" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(module_name, path) if path.exists() else None
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"The recipe '{name}' is neither installed nor at {path}: reinstall trl_curriculum.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where dataclasses look for their own module
    spec.loader.exec_module(module)
    return module
