"""Which files of a run's folder are sent: those on a list. Whatever else lies there stays where it is."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..disk.checkpoint import INDICES, STATE, SUMS, is_readable
from ..disk.fingerprint import redact
from ..report.history import FOLDER
from ..report.public import public_name


CARD = "README.md"
FIGURE = "curriculum_draws.png"
EVALS = ".eval_results"
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin", "adapter_model.safetensors", "adapter_model.bin", *INDICES)
ADAPTER = "adapter_config.json"
PATHS_IN = {ADAPTER: "base_model_name_or_path", STATE: "best_model_checkpoint"}
CONFIGS = ("config.json", ADAPTER, "generation_config.json")
CODE = ("configuration_*.py", "modeling_*.py", "tokenization_*.py", "processing_*.py")  # a model's own
TOKENIZER: tuple[str, ...] = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
TOKENIZER += ("vocab.json", "vocab.txt", "merges.txt", "*.model", "*.tiktoken", "chat_template.jinja")
TOKENIZER += ("chat_template.json", "additional_chat_templates/*.jinja")
TOKENIZER += ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
HISTORY = f"{FOLDER}/draws-*.parquet"
SENT = (CARD, FIGURE, *CONFIGS, *WEIGHTS, *CODE, *TOKENIZER, HISTORY, f"{EVALS}/*.yaml")
# The arguments, among them the token; rollouts; and checksums of files of which some change on the way
NOT_OF_CHECKPOINTS = ("training_args.bin", "generation_buffer_*", SUMS)
REPLACED = (*WEIGHTS, HISTORY)  # an earlier model's would be loaded with the new ones, or in their place


@dataclass(frozen=True)
class PublicFile:
    """
    A file to be sent.

    Args:
        path (`str`):
            Its place in the repository, and in the folder.
        file (`Path`):
            Where it lies.
        content (`bytes`, *optional*):
            What is sent in its place.
    """

    path: str
    file: Path
    content: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes that are sent."""
        return self.file.stat().st_size if self.content is None else len(self.content)


def is_listed(path: str, patterns: Iterable[str] = SENT) -> bool:
    """Whether a place in a folder is on a list; a `*` of a pattern stands for no `/`."""
    return any(path.count("/") == one.count("/") and fnmatchcase(path, one) for one in patterns)


def public_files(folder: Path) -> list[PublicFile]:
    """
    The files of a run's folder that are sent, in the order of their names.

    The base model of an adapter, where it is a folder of this machine, is sent as its last part; so is the best
    checkpoint in the state of a trainer.
    """
    return [one for one in _files(folder) if is_listed(one.path)]


def checkpoint_files(folder: Path) -> list[PublicFile]:
    """All files of a checkpoint that a resume elsewhere needs, in the same way."""
    return [one for one in _files(folder) if not any(fnmatchcase(one.file.name, name) for name in NOT_OF_CHECKPOINTS)]


def _files(folder: Path) -> list[PublicFile]:
    places = [(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*"))]
    found = [PublicFile(place, path) for place, path in places if path.is_file()]
    return [_without_path(one) if one.path in PATHS_IN else one for one in found]


def check_files(folder: Path, files: list[PublicFile]) -> None:
    """
    Refuses a folder that nobody could load a model from, and texts in which a secret stands.

    Raises:
        `FileNotFoundError`: where there is no model, or a part of it is missing.
        `ValueError`: where a file is cut off, or holds what looks like a token to log in with.
    """
    there = {one.path for one in files}
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there: give the output folder of a run.")
    if not any(is_listed(name, WEIGHTS) for name in there) or not there & {"config.json", ADAPTER}:
        newest = max(folder.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime, default=None)
        hint = f"give a checkpoint, such as {newest}" if newest is not None else "give the folder of a finished run"
        raise FileNotFoundError(f"{folder} holds no model (weights and their config.json): {hint}.")
    for index in there & {*INDICES}:
        if not is_readable(folder / index):
            raise ValueError(f"{folder / index} is cut off or damaged: save the model again.")
        for shard in sorted(set(json.loads((folder / index).read_text())["weight_map"].values())):
            if shard not in there:
                raise FileNotFoundError(
                    f"{folder / shard}, of which {index} speaks, is missing: save the model again."
                )
    for one in files:
        if is_listed(one.path, WEIGHTS) and not is_readable(one.file):
            raise ValueError(f"{one.file} is cut off or damaged: save the model again.")
        if one.path in (CARD, *CONFIGS) or one.path.startswith(EVALS):
            text = (one.content or one.file.read_bytes()).decode(errors="replace")
            if redact(text) != text:
                raise ValueError(f"{one.file} holds what looks like a token or a password: remove it.")


def _without_path(one: PublicFile) -> PublicFile:
    """A file of JSON in which a path may stand, with the last part of that where it is on this machine."""
    key = PATHS_IN[one.path]
    try:
        found = json.loads(one.file.read_text(encoding="utf-8"))
        path = found.get(key)
    except (ValueError, AttributeError):
        return one
    if not isinstance(path, str) or public_name(path) is not None:
        return one
    last = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    text = json.dumps(found | {key: last}, indent=2, sort_keys=True)  # as PEFT and transformers write it
    return PublicFile(one.path, one.file, text.encode())
