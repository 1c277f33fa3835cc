"""Which checkpoint folders are whole: a process can be killed, or a disk fill up, in the middle of writing one."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .atomic import check_kind
from .state import StateError, checksum, read_state, write_json


FOLDER = "curriculum"
STATE = "trainer_state.json"
SUMS = "curriculum_files.json"  # sizes and checksums of the other files
LARGEST = 1 << 30  # bytes of a file that is read again for its checksum; of a larger one the size tells
NOT_NEEDED = "generation_buffer_"  # rollouts that are made anew where they are missing
OF_EACH = (NOT_NEEDED, "rng_state", ".")  # what each process writes, and what is being written

# What holds the weights, and what the optimizer: of plain runs, of adapters, and of FSDP and DeepSpeed
INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
LOADED = ("model.safetensors", "pytorch_model.bin", "adapter_model.safetensors", "adapter_model.bin", *INDICES)
SHARDS = ("pytorch_model_fsdp*", "global_step*/*")
WEIGHTS = (*LOADED, "*/adapter_model.safetensors", "*/adapter_model.bin", *SHARDS)
OPTIMIZER = ("optimizer.pt", "optimizer.bin", "optimizer_*", "rank*-of-*-optimizer.pt", "global_step*/*")


def newest_first(output_dir: str | Path) -> list[Path]:
    """All checkpoint folders of a run, whole or not."""
    found = [path for path in Path(output_dir).glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted((path for path in found if path.is_dir()), key=lambda path: int(path.name[11:]), reverse=True)


def read_whole(checkpoint: Path) -> dict[str, Any]:
    """
    The state in a checkpoint that is whole as far as the process sees it.

    The curriculum's state is written first and `trainer_state.json` last, so a save that was cut off lacks one of
    them. Files of weights, optimizer and schedule must be there, with all that their ends or headers speak of.

    Raises:
        [`StateError`]: if one is missing, cut off or damaged; the message names it.
    """
    if not checkpoint.is_dir():
        raise StateError("there is no such folder")
    state = read_state(checkpoint / FOLDER)
    if not isinstance(state.get("world_size"), int):
        raise StateError(f"its {FOLDER} does not say how many processes saved it")
    if not isinstance(_json(checkpoint / STATE), dict):
        raise StateError(f"{STATE} is missing or cut off")
    scheduler = [] if any(checkpoint.glob("global_step*")) else [("scheduler.pt",)]  # DeepSpeed may keep it itself
    for names in (WEIGHTS, OPTIMIZER, *scheduler):
        if not any(any(checkpoint.glob(name)) for name in names):
            kind = {WEIGHTS: "a file of weights", OPTIMIZER: "optimizer.pt"}.get(names, names[0])
            raise StateError(f"{kind} is missing{' (save_only_model=True leaves it out)' if names != WEIGHTS else ''}")
    for path in sorted(checkpoint.rglob("*")):
        if not path.name.startswith(NOT_NEEDED) and not is_readable(path):
            raise StateError(f"{path.relative_to(checkpoint)} is cut off or damaged")
    for name, sums in (_json(checkpoint / SUMS) or {}).items():  # a save may be killed before it has written them
        if (checkpoint / name).is_file() and _sums(checkpoint / name) != sums:
            raise StateError(f"{name} is not as it was saved: its checksum differs")
    for reason in _missing_shards(checkpoint):
        raise StateError(reason)
    for folder in checkpoint.glob("pytorch_model_fsdp_*"):
        if folder.is_dir() and not (folder / ".metadata").exists():
            raise StateError(f"{folder.name}/.metadata is missing")
    if any(checkpoint.glob("global_step*")) and not (checkpoint / "latest").exists():
        raise StateError("latest, the file that DeepSpeed writes last, is missing")
    return state


def what_weights_lack(folder: Path) -> str | None:
    """Says what a folder lacks to be loaded as a model, whatever else a resume would need, or `None`."""
    if not any((folder / name).is_file() for name in LOADED):
        if any(any(folder.glob(name)) for name in SHARDS):
            return "it holds the shards of FSDP or DeepSpeed alone: merge them first"
        return "it has no file of weights"
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("model", "pytorch_model", "adapter_model")) and not is_readable(path):
            return f"{path.name} is cut off or damaged"
    return next(_missing_shards(folder), None)


def write_checksums(checkpoint: Path) -> None:
    """
    Notes the sizes and checksums of a checkpoint's files, once all are written: by the process that writes them.

    Left out are files that other processes write, and folders, in which FSDP and DeepSpeed check their own.
    """
    files = [path for path in checkpoint.iterdir() if path.is_file() and not path.name.startswith(OF_EACH)]
    write_json(checkpoint / SUMS, {path.name: _sums(path) for path in sorted(files) if path.name != SUMS})


def forget_checksums(checkpoint: Path) -> None:
    """Marks a checkpoint as not whole, before its files are written again."""
    for name in (STATE, SUMS):
        (checkpoint / name).unlink(missing_ok=True)


def check_places(checkpoint: Path) -> None:
    """Refuses a folder in the place of a file of a checkpoint: it could not be written anew."""
    for path in sorted(checkpoint.iterdir()) if checkpoint.is_dir() else ():
        if path.suffix in (".json", ".pt", ".pth", ".bin", ".safetensors"):
            check_kind(path)
    check_kind(checkpoint / FOLDER, folder=True)


def missing_random_state(checkpoint: Path, rank: int, world_size: int) -> str | None:
    """Says whether a process lacks its own random state, of which each writes one, possibly on a disk of its own."""
    name = f"rng_state_{rank}.pth" if world_size > 1 else "rng_state.pth"
    if rank >= world_size or zipfile.is_zipfile(checkpoint / name):
        return None
    return f"{name} is missing (save_only_model=True leaves it out) or cut off"


def what_is_missing(checkpoint: Path) -> str | None:
    """Says what a checkpoint lacks to be resumed from, or `None` where it is whole; for runs on one disk."""
    try:
        world_size = read_whole(checkpoint)["world_size"]
    except StateError as error:
        return str(error)
    reasons = (missing_random_state(checkpoint, rank, world_size) for rank in range(world_size))
    return next((reason for reason in reasons if reason is not None), None)


def is_ours(checkpoint: Path) -> bool:
    """Whether this package has written a checkpoint folder, or was about to."""
    names = [path.name for path in checkpoint.iterdir()]
    return FOLDER in names or all(name.startswith(f".{FOLDER}~") for name in names)


def _missing_shards(folder: Path) -> Iterator[str]:
    for index in (folder / name for name in INDICES):
        shards = set(_json(index)["weight_map"].values()) if index.exists() else set()
        for name in sorted(shards):
            if not (folder / name).exists():
                yield f"{name}, of which {index.name} speaks, is missing"


def _sums(path: Path) -> list[Any]:
    size = path.stat().st_size
    return [size, checksum(path) if size <= LARGEST else None]


def is_readable(path: Path) -> bool:
    """Whether a file of a known kind is as long as it says itself."""
    if path.suffix in (".pt", ".pth", ".bin"):
        return zipfile.is_zipfile(path)  # its directory stands at the end
    if path.name.endswith(".index.json"):
        index = _json(path)
        return isinstance(index, dict) and isinstance(index.get("weight_map"), dict)
    return _has_all_tensors(path) if path.suffix == ".safetensors" else True


def _has_all_tensors(path: Path) -> bool:
    """Whether a safetensors file has the bytes of which its header speaks."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            return False
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return False
    return size == 8 + length + max(ends, default=0)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
