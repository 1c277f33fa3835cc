"""The command `trl-curriculum`. One command, one file with a `run(argv)`."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from ..suggest import nearest


COMMANDS = {
    "grpo": "Train with GRPO on the prompts that a curriculum picks",
    "methods": "List the curricula, what they learn from and what they cost",
}


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line interface.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments, by default those of the process.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="trl-curriculum",
        description="Curricula for TRL.",
        epilog="commands:\n" + "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", help="one of the commands below; `trl-curriculum <command> --help` tells more")
    if not argv:
        parser.print_help()
        return 0
    command = parser.parse_args(argv[:1]).command
    if command not in COMMANDS:
        hint = nearest(command, COMMANDS)
        print(f"trl-curriculum: unknown command '{command}'{hint}: choose one of {list(COMMANDS)}.", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f".{command}", __name__).run(argv[1:])
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"trl-curriculum {command}: {error}", file=sys.stderr)
        return 1
