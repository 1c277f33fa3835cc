"""`trl-curriculum select`: the select script of the recipes, started by `accelerate launch`."""

from collections.abc import Sequence

from .recipe import run_recipe


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    return run_recipe("select", argv, "select_rows")  # a script called select.py would hide a module of Python's
