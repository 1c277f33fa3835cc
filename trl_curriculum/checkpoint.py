"""Which checkpoint folders are whole: a process can be killed in the middle of writing one."""

import json
import logging
import re
import zipfile
from pathlib import Path

from .state import StateError, read_state


logger = logging.getLogger(__name__)

FOLDER = "curriculum"


def what_is_missing(checkpoint: Path) -> str | None:
    """
    Says what a checkpoint lacks to be resumed from, or `None` where it is whole.

    The curriculum's state is written first and `trainer_state.json` last, so a save that was cut off lacks one.
    """
    try:
        state = read_state(checkpoint / FOLDER)
        json.loads((checkpoint / "trainer_state.json").read_text())
    except StateError as error:
        return str(error)
    except (OSError, ValueError):
        return "trainer_state.json is missing or cut off"
    world = state["world_size"]
    names = ["rng_state.pth"] if world == 1 else [f"rng_state_{rank}.pth" for rank in range(world)]
    for name in [*names, "scheduler.pt"]:
        if not zipfile.is_zipfile(checkpoint / name):
            return f"{name} is missing or cut off"
    return None


def last_whole_checkpoint(output_dir: str | Path) -> Path | None:
    """Newest checkpoint that can be resumed from; says of each newer one why it is skipped."""
    found = [path for path in Path(output_dir).glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    for path in sorted(found, key=lambda p: int(p.name.split("-")[1]), reverse=True):
        missing = what_is_missing(path)
        if missing is None:
            return path
        logger.warning("Skipping %s, it was not saved completely: %s.", path, missing)
    return None
