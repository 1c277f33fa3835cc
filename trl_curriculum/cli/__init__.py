"""The command `trl-curriculum`. One command, one file with a `run(argv)`."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..disk.fingerprint import redact
from ..registry import nearest
from ..scripts import MISTAKES
from ..scripts.hub import use_the_cache_where_the_hub_is_silent
from ..scripts.recipes import with_found_config


COMMANDS = {
    "grpo": "Train with GRPO on the prompts that a curriculum picks",
    "sft": "Train with SFT on the rows that a curriculum picks",
    "evolve": "Adapt a model in rounds of generate, select, train",
    "select": "Keep the rows of a pool that move a model towards a target task",
    "score": "Score the prompts of a dataset by their prefix entropies, without training",
    "compare": "Compare methods over seeds at equal cost, with uniform and with placebos",
    "eval": "Evaluate a model, or all checkpoints of a run, on benchmarks and held-out tasks",
    "report": "Write a page on what runs have drawn, what came of it, and which rows were waste",
    "push": "Send a finished run to the Hugging Face Hub",
    "methods": "List the methods of all families, or the options of one",
    "recipes": "List the recipes that come with the package, or print one",
}


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line interface.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments, by default those of the process.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of a missing kernel before every command
    parser = argparse.ArgumentParser(
        prog="trl-curriculum",
        description="Curricula for TRL.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
        + "\n\nAn error is one line; with TRL_CURRICULUM_DEBUG=1 in the environment, with its traceback.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
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
        words = with_found_config(argv[1:], command)  # a name with a typo is told before anything is imported
        use_the_cache_where_the_hub_is_silent(words, command)
        return importlib.import_module(f".{command}", __name__).run(words)
    except BrokenPipeError:  # `trl-curriculum methods | head`
        sys.stderr.close()
        return 0
    except MISTAKES as error:
        if os.environ.get("TRL_CURRICULUM_DEBUG"):
            raise
        print(f"trl-curriculum {command}: {redact(str(error))}", file=sys.stderr)
        return 1
