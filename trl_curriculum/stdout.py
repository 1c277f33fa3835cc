"""Standard output, which may be closed, full or of another encoding: nothing that is printed may end a run."""

import logging
import os
import sys


logger = logging.getLogger(__name__)


def say(text: str) -> None:
    """
    Prints text to standard output.

    What its encoding lacks is spelled out; where it cannot be written to at all, that is a warning.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)  # noqa: T201
    except (OSError, ValueError) as error:  # a pipe that is closed, a disk that is full
        logger.warning("Standard output cannot be written to: %s.", error)


def say_once(text: str) -> None:
    """Prints text where it is the first of the processes that a launcher has started."""
    if os.environ.get("RANK", "0") == "0":
        say(text)
