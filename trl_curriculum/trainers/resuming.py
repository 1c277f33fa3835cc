"""Which checkpoint a run continues from: the newest that is whole on every process."""

import logging
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, gather_object

from ..disk import checkpoint as checkpoints
from ..disk.state import StateError


logger = logging.getLogger(__name__)


def resolve_checkpoint(accelerator: Any, output_dir: str, asked: str | bool | None) -> str | None:
    """
    The checkpoint to resume from, the same on every process.

    Args:
        accelerator ([`~accelerate.Accelerator`]):
            Of the processes.
        output_dir (`str`):
            The run's.
        asked (`str` or `bool`, *optional*):
            A folder; `True` for the newest one that is whole, incomplete ones are skipped with a warning.

    Raises:
        [`StateError`]: where there is none, or the one that was asked for is not whole.
    """
    if isinstance(asked, str) and asked.lower() in ("true", "false"):  # as a command line or YAML gives it
        asked = asked.lower() == "true"
    if not asked:
        return None
    candidates: list[Any] = [checkpoints.newest_first(output_dir) if asked is True else [Path(asked)]]
    broadcast_object_list(candidates)
    for path in candidates[0]:
        reason = _what_is_missing(accelerator, path)
        if reason is None:
            return str(path)
        if asked is not True:
            raise StateError(f"{path} cannot be resumed from: {reason}.")
        if accelerator.is_main_process:
            logger.warning("Skipping %s, which is incomplete: %s.", path, reason)
    raise StateError(f"No complete checkpoint to resume from in {output_dir}.")


def _what_is_missing(accelerator: Any, path: Path) -> str | None:
    """What the main process lacks of a checkpoint, or else any process; the same answer on all."""
    answer: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            answer = [checkpoints.saved_by(path)]
        except StateError as error:
            answer = [str(error).removesuffix(".")]  # it becomes the end of another sentence
    broadcast_object_list(answer)
    if isinstance(answer[0], str):
        return answer[0]
    mine = checkpoints.missing_random_state(path, accelerator.process_index, answer[0])
    return next((reason for reason in gather_object([mine]) if reason is not None), None)
