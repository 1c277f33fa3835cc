"""Which checkpoint folders are whole: a process can be killed in the middle of writing one."""

import json
import re
import zipfile
from pathlib import Path

from .state import StateError, read_state


FOLDER = "curriculum"


def newest_first(output_dir: str | Path) -> list[Path]:
    """All checkpoint folders of a run, whole or not."""
    found = [path for path in Path(output_dir).glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True)


def saved_by(checkpoint: Path) -> int:
    """
    Number of processes that saved a checkpoint.

    The curriculum's state is written first and `trainer_state.json` last: a save that was cut off lacks one of them.

    Raises:
        [`StateError`]: if it does.
    """
    state = read_state(checkpoint / FOLDER)
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError) as error:
        raise StateError("trainer_state.json is missing or cut off") from error
    return state["world_size"]


def missing_random_state(checkpoint: Path, rank: int, world_size: int) -> str | None:
    """Says whether a process lacks its own random state, of which each writes one, possibly on a disk of its own."""
    name = f"rng_state_{rank}.pth" if world_size > 1 else "rng_state.pth"
    if rank >= world_size or zipfile.is_zipfile(checkpoint / name):
        return None
    return f"{name} is missing (save_only_model=True leaves it out) or cut off"


def what_is_missing(checkpoint: Path) -> str | None:
    """Says what a checkpoint lacks to be resumed from, or `None` where it is whole; for runs on one disk."""
    try:
        world_size = saved_by(checkpoint)
    except StateError as error:
        return str(error)
    reasons = (missing_random_state(checkpoint, rank, world_size) for rank in range(world_size))
    return next((reason for reason in reasons if reason is not None), None)
