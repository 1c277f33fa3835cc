"""The page of the commands, written from their parsers."""

import argparse
import re

from ..cli import COMMANDS, push, report
from ..cli import compare as compare_command
from ..cli import eval as eval_command
from ..cli.recipe import load_recipe
from ..cli.score import VOID
from ..cli.score import make_parser as score_parser
from ..scripts.parser import RecipeParser
from .markdown import table


HEAD = """# Reference of the commands

Written by `make pages` from the commands' parsers. An argument stands in a recipe as `name: value` and on the command
line as `--name value`, which wins; a value that is a mapping is JSON there. What is listed is added by trl_curriculum:
`grpo`, `sft` and `evolve` take every argument of TRL's scripts besides, of which [What TRL takes](trl.md) tells, and
those of `accelerate launch`. `--help` of a command prints all. An error is one line; with `TRL_CURRICULUM_DEBUG=1` in
the environment, with its traceback.

A recipe may start from another: `base: grpo/one_gpu`, a name or a path from its own folder. It has the keys of that
one besides its own, and where both have a key its own counts, with all that it holds. A `method` beside the base's
`curriculum` therefore needs `curriculum: null`, or another one, in the recipe.
"""
COLUMNS = ("argument", "default", "what it is")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands that have many arguments."""
    scripts = {"grpo": "grpo", "sft": "sft", "evolve": "evolve", "select": "select_rows"}
    found = {name: load_recipe(script).make_parser() for name, script in scripts.items()} | {"score": score_parser()}
    others = {"compare": compare_command, "eval": eval_command, "report": report, "push": push}
    return found | {name: one.make_parser() for name, one in others.items()}


def added(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    if isinstance(parser, RecipeParser):
        return parser.added()
    return [action for action in parser._actions if action.dest != "help"]


def commands() -> str:
    """`docs/reference/commands.md`: of each command the arguments that TRL's scripts do not have."""
    rows = {name: {action.dest: _row(action) for action in added(one)} for name, one in parsers().items()}
    rows["score"] = {name: row for name, row in rows["score"].items() if name not in VOID}
    trained = [rows[name] for name in ("grpo", "sft", "evolve")]
    shared = {name: row for name, row in trained[0].items() if all(other.get(name) == row for other in trained[1:])}
    listed = table(("command", "what it does"), [(f"`{name}`", text) for name, text in COMMANDS.items()])
    parts = [HEAD, listed, "## What grpo, sft and evolve share\n", table(COLUMNS, list(shared.values()))]
    for command, mine in rows.items():
        own = [row for name, row in mine.items() if shared.get(name) != row]
        also = sorted(name for name, row in mine.items() if shared.get(name) == row)
        parts.append(f"## {command}\n\n{COMMANDS[command]}.\n")
        if command in ("select", "score") and also:
            parts.append(f"Of what is shared above: {', '.join(f'`{name}`' for name in also)}. And:\n")
        parts.append(table(COLUMNS, own))
    parts.append("## methods, recipes\n")
    lines = (
        ("`methods [NAME]`", "all methods, plug-ins included, or the options of one; `--family`, `--json`"),
        ("`recipes [NAME]`", "all recipes, or one as it is: `trl-curriculum recipes sec_math > mine.yaml`"),
    )
    parts.append(table(("command", "prints"), lines))
    return "\n".join(parts)


def _row(action: argparse.Action) -> tuple[str, str, str]:
    default = "" if action.default in (None, argparse.SUPPRESS, []) else f"`{action.default}`"
    chosen = " or ".join(f"`{one}`" for one in action.choices or ())
    text = " ".join((action.help or "").split())
    text = re.sub(r"(One of|Of) [^;]*; see `trl-curriculum methods NAME`", "[Names](methods.md)", text)  # plug-ins too
    return f"`{action.dest}`", default, f"{text} {chosen}".strip()
