"""What the recipe scripts and the commands share."""

from collections.abc import Sequence
from pathlib import Path

import yaml


MISTAKES = (ImportError, OSError, TypeError, ValueError, yaml.YAMLError)  # errors that become one line
MADE = "smollm2-135m"  # the model that is made of a PyPI package, by the first run that names it
# What recipes name lies beside them: inside the package where that is installed, beside it in a checkout
ROOTS = tuple(Path(__file__).resolve().parents[1:3])


def apart(argv: Sequence[str]) -> list[str]:
    """The words of a command line, those such as `--name=value` as two."""
    return [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
