"""Where a run begins: at a checkpoint that is whole on every process and was made by the same run, or afresh."""

import logging
import shutil
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, gather_object

from ..disk import checkpoint as checkpoints
from ..disk.main_process import on_main_process
from ..disk.state import StateError
from ..report import history
from .run_settings import compare


logger = logging.getLogger(__name__)

AUTO = "auto"


def read_asked(asked: str | bool | None) -> str | bool:
    """What `resume_from_checkpoint` asks for: `False`, `True`, `"auto"` or a folder; a word is as good as a value."""
    words: dict[str, str | bool] = {"true": True, "false": False, "none": False, "": False, AUTO: AUTO}
    return words.get(asked.lower(), asked) if isinstance(asked, str) else bool(asked)


def resolve_checkpoint(accelerator: Any, output_dir: str, asked: str | bool | None) -> str | None:
    """
    The checkpoint to resume from, the same on every process.

    Args:
        accelerator ([`~accelerate.Accelerator`]):
            Of the processes.
        output_dir (`str`):
            The run's.
        asked (`str` or `bool`, *optional*):
            A folder; `True` for the newest one that is whole, incomplete ones are skipped with a warning; `"auto"` for
            the same, or `None` where there is none.

    Raises:
        [`StateError`]: where there is none, or the one that was asked for is not whole. `OSError`: where a folder is
            in the place of a file.
    """
    asked = read_asked(asked)
    if asked is False:
        return None
    newest = asked in (True, AUTO)
    candidates: list[Any] = [checkpoints.newest_first(output_dir) if newest else [Path(str(asked))]]
    broadcast_object_list(candidates)
    on_main_process(lambda: list(map(checkpoints.check_places, candidates[0])))
    for path in candidates[0]:
        reason = _what_is_missing(accelerator, path)
        if reason is None:
            return str(path)
        if not newest:
            raise StateError(f"{path} cannot be resumed from: {reason}.")
        if accelerator.is_main_process:
            logger.warning("Skipping %s, which is incomplete: %s.", path, reason)
    if asked == AUTO:
        return None
    raise StateError(
        f"No complete checkpoint to resume from in {output_dir}: leave resume_from_checkpoint out for a first start, "
        "or set it to auto."
    )


def refuse_weights_only(args: Any, asked: str | bool | None) -> None:
    """Says that checkpoints without an optimizer cannot be resumed from; refuses a run that counts on them."""
    if not args.save_only_model or args.save_strategy == "no":
        return
    if read_asked(asked) == AUTO:
        raise ValueError(
            "resume_from_checkpoint=auto needs the optimizer and the random states, which save_only_model=True leaves "
            "out: leave one of them out."
        )
    logger.warning("With save_only_model=True no checkpoint of this run can be resumed from.")


def refuse_other_run(checkpoint: str, settings: dict[str, Any]) -> None:
    """
    Compares a run with the one that has made a checkpoint; warns of differences that matter little.

    Raises:
        [`StateError`]: on every process, naming what draws, tokens or the schedule depend on and is another now.
    """

    def differences() -> tuple[str | None, list[str]]:
        return compare(checkpoints.read_whole(Path(checkpoint)).get("run", {}), settings)

    reason, warnings = on_main_process(differences)
    if reason is not None:
        raise StateError(reason)
    for warning in warnings:
        logger.warning("%s", warning)


def refuse_earlier_run(output_dir: str | Path, asked: str | bool | None, overwrite: bool) -> None:
    """
    Refuses an output folder whose earlier run nobody has decided about; to be called before anything expensive.

    Args:
        output_dir (`str` or `Path`):
            The run's.
        asked (`str` or `bool`, *optional*):
            `resume_from_checkpoint`.
        overwrite (`bool`):
            `overwrite_output_dir`: whether the earlier run may go.

    Raises:
        `ValueError`: naming what is there and the choices.
    """
    if read_asked(asked) is not False:
        if overwrite:
            raise ValueError(
                f"resume_from_checkpoint={asked} goes on with the run in {output_dir}, and overwrite_output_dir=True "
                "removes it: leave one of them out."
            )
        return
    found = checkpoints.newest_first(output_dir)
    foreign = [path.name for path in found if not checkpoints.is_ours(path)]
    if foreign and overwrite:
        raise ValueError(
            f"{output_dir} holds {foreign[0]}, which this package has not written, so overwrite_output_dir=True does "
            "not remove it: move it elsewhere, or use another output_dir."
        )
    names = [path.name for path in found[:1]] + ([history.FOLDER] if history.is_there(output_dir) else [])
    if names and not overwrite:
        raise ValueError(
            f"{output_dir} holds an earlier run ({', '.join(names)}): set resume_from_checkpoint: auto (or true) to "
            "go on with it, overwrite_output_dir: true to remove its checkpoints, or use another output_dir."
        )


def begin_afresh(output_dir: str | Path) -> None:
    """Removes the checkpoints of an earlier run, which `overwrite_output_dir` allows."""
    for path in checkpoints.newest_first(output_dir):
        for inner in sorted(path.iterdir(), key=lambda one: one.name == checkpoints.FOLDER):  # whose it is goes last
            if inner.is_dir():
                shutil.rmtree(inner)
            else:
                inner.unlink()
        path.rmdir()


def _what_is_missing(accelerator: Any, path: Path) -> str | None:
    """What the main process lacks of a checkpoint, or else any process; the same answer on all."""
    answer: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            answer = [checkpoints.read_whole(path)["world_size"]]
        except StateError as error:
            answer = [str(error).removesuffix(".")]  # it becomes the end of another sentence
    broadcast_object_list(answer)
    if isinstance(answer[0], str):
        return answer[0]
    mine = checkpoints.missing_random_state(path, accelerator.process_index, answer[0])
    return next((reason for reason in gather_object([mine]) if reason is not None), None)
