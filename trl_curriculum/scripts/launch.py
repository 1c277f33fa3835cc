"""What the recipe scripts and their commands share: parsing, and starting the script on several processes."""

import argparse
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trl
import yaml
from trl import TrlParser

from ..disk.fingerprint import redact
from ..disk.main_process import ProcessLostError, leave, name_lost_process
from ..registry import nearest
from ..trainers.config import MOVED
from ..trainers.declared import refuse_undeclared
from . import MISTAKES, apart
from .recipes import read_recipe, with_found_config
from .repeats import check_words


TRAINERS = Path(trl.__file__).resolve().parent / "trainer"
# Those of scripts as well: `select` had a `method`, which in other scripts is the name of a bundle.
MOVED_ARGUMENTS = MOVED | {"method": "selection: name, or selection: {name: {option: value}}"}


@dataclass(frozen=True)
class LaunchArguments:
    """Arguments of `accelerate launch`, from the config file and from the command line, which has the last word."""

    from_config: list[str]
    from_command_line: list[str]

    @property
    def num_processes(self) -> int | None:
        """Number of processes, where it is said here."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        parser.add_argument("--num_processes", type=int)
        try:
            return parser.parse_known_args([*self.from_config, *self.from_command_line])[0].num_processes
        except argparse.ArgumentError as error:
            raise ValueError(f"{error}: give a number of processes, such as `--num_processes 8`.") from error


def parse(
    parser: TrlParser, argv: Sequence[str] | None = None, launching: bool = False, command: str | None = None
) -> tuple[Any, ...]:
    """
    Parse the arguments of a recipe script, and tell those of `accelerate launch` from mistakes.

    As in TRL, a recipe may say how it is to be launched (`num_processes: 8`, `accelerate_config: zero2`). Once the
    script runs, such keys have done their work.

    Args:
        parser ([`~trl.TrlParser`]):
            Parser of the script.
        argv (`Sequence[str]`, *optional*):
            Arguments, by default those of the process.
        launching (`bool`, *optional*, defaults to `False`):
            Whether options of `accelerate launch` may stand on the command line too.
        command (`str`, *optional*):
            Name of the command, for recipes that are named.

    Returns:
        The dataclasses of the script, and then the [`LaunchArguments`].
    """
    argv = with_found_config(sys.argv[1:] if argv is None else argv, command)
    recipe = read_recipe(argv[argv.index("--config") + 1], command) if "--config" in argv[:-1] else None
    ours = {option for action in parser._actions for option in action.option_strings}
    planning = any(word in ("--dry_run", "--dry_run=true", "--dry_run=True") for word in argv)
    if planning and "--use_cpu" in ours and "--use_cpu" not in argv:
        argv += ["--use_cpu"]  # TrainingArguments refuses bf16 without a GPU, and a plan needs none
    check_words(argv)
    _say_what_is_replaced(argv, recipe)
    _refuse_undeclared(parser, argv, recipe)
    try:
        with _in_one_file(argv, recipe) as words:
            *arguments, from_config, from_command_line = parser.parse_args_and_config(
                words, return_remaining_strings=True, separate_remaining_strings=True
            )
    except (ImportError, TypeError, ValueError) as error:
        if _found_here(error):
            raise
        raise ValueError(" ".join(str(error).split())) from error  # what does not go together, by TRL's own checks
    options = _launch_options()
    _refuse_unknown(from_config, "in the config file", options, ours)
    _refuse_unknown(from_command_line, "on the command line", options if launching else set(), ours)
    return (*arguments, LaunchArguments(from_config, from_command_line))


@contextmanager
def _in_one_file(argv: list[str], recipe: Any) -> Iterator[list[str]]:
    """The arguments with a recipe that says itself what it has from its base: TRL's parser reads one file."""
    if not isinstance(recipe, dict):  # of which TRL's parser tells
        yield argv
        return
    place = argv.index("--config") + 1
    with TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        yield [*argv[:place], str(file), *argv[place + 1 :]]


def _refuse_undeclared(parser: TrlParser, argv: list[str], recipe: Any) -> None:
    """Checks all arguments before any dataclass works anything out of them; argparse checks texts only."""
    words = list(argv)
    if "--config" in words[:-1]:
        place = words.index("--config")
        del words[place : place + 2]
        if isinstance(recipe, dict):
            parser.set_defaults_with_config(**{str(name): value for name, value in recipe.items() if name != "env"})
    values = vars(parser.parse_known_args(words)[0])
    for declared in parser.dataclass_types:
        refuse_undeclared(values, declared)


def run_script(main: Callable[..., None], parser: TrlParser) -> None:
    """
    Run a recipe script's `main` on the process's arguments. A mistake that this package has found is one line,
    anything else with its traceback.
    """
    try:
        *arguments, launch_args = parse(parser, command=Path(sys.argv[0]).stem)
        with name_lost_process():
            main(*arguments, num_processes=launch_args.num_processes)
    except MISTAKES as error:
        if os.environ.get("TRL_CURRICULUM_DEBUG") or not _found_here(error):
            raise
        print(f"{Path(sys.argv[0]).name}: {redact(str(error))}", file=sys.stderr)
        if isinstance(error, ProcessLostError):
            leave(1)
        sys.exit(1)


def _found_here(error: BaseException) -> bool:
    """
    Whether an error was raised by this package or the script, not by what they call; arguments that TRL's trainers
    refuse when they are made count as well.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    file, last = Path(frames[-1].filename).resolve(), frames[-1]
    refused = last.name == "__init__" and file.is_relative_to(TRAINERS) and (last.line or "").startswith("raise ")
    ours = file.is_relative_to(Path(__file__).resolve().parents[1])
    return refused or ours or file == Path(sys.argv[0]).resolve()


def launch(script: str, launch_args: LaunchArguments, script_args: list[str]) -> None:
    """
    Run a script by `accelerate launch`, with TRL's own named configurations for `--accelerate_config`. A script that
    fails has said why: this process ends with its code.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from trl.cli.accelerate_config import resolve_accelerate_config_argument

    options = resolve_accelerate_config_argument([*launch_args.from_config, *launch_args.from_command_line])
    try:
        launch_command(launch_command_parser().parse_args([*options, script, *script_args]))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except ChildFailedError:
        sys.exit(1)


def _say_what_is_replaced(argv: list[str], recipe: Any) -> None:
    """Says which options of a recipe go, because the command line has another spec in its place."""
    words = apart(argv)
    if "--config" not in words[:-1] or os.environ.get("RANK", "0") != "0":
        return
    file = words[words.index("--config") + 1]
    for name, specs in recipe.items() if isinstance(recipe, dict) else ():
        if f"--{name}" not in words[:-1]:
            continue
        given = list(takewhile(lambda word: not word.startswith("--"), words[words.index(f"--{name}") + 1 :]))
        again = {method: options for spec in given for method, options in _options_by_name(spec).items()}
        for before, options in _one_by_one(specs):
            if gone := [option for option in options if option not in again.get(before, ())]:
                now = " ".join(given)
                notice = f"--{name} {now} replaces {before} of {file}: its options ({', '.join(gone)}) go."
                print(notice, file=sys.stderr)


def _one_by_one(specs: Any) -> list[tuple[str, dict[str, Any]]]:
    """The methods of a spec, or of a list of them, that have options."""
    mappings = [spec for spec in (specs if isinstance(specs, list) else [specs]) if isinstance(spec, dict)]
    pairs = [next(iter(spec.items())) for spec in mappings if len(spec) == 1]
    return [(name, options) for name, options in pairs if isinstance(options, dict)]


def _options_by_name(spec: str) -> dict[str, dict[str, Any]]:
    """The same of a word of the command line; nothing where it is no mapping, or wrong: that is refused later."""
    try:
        return dict(_one_by_one(json.loads(spec))) if spec.lstrip().startswith("{") else {}
    except json.JSONDecodeError:
        return {}


def _refuse_unknown(words: list[str], place: str, allowed: set[str], ours: set[str]) -> None:
    for word in words:
        name = word.split("=")[0]
        if name.startswith("--") and name not in allowed:
            name = name.removeprefix("--")
            known = {option.removeprefix("--") for option in ours | allowed}
            if MOVED_ARGUMENTS.get(name, "").split(":")[0] in known:
                raise ValueError(f"{name}, {place}, is now spelled `{MOVED_ARGUMENTS[name]}`.")
            raise ValueError(f"Unknown argument '{name}' {place}{nearest(name, known)}: remove or correct it.")


def _launch_options() -> set[str]:
    from accelerate.commands.launch import launch_command_parser

    return {*launch_command_parser()._option_string_actions, "--accelerate_config"}
