"""What lm-eval loads: a model of the Hub, a folder, or one whose adapters (LoRA) lie in a folder."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..disk import checkpoint as checkpoints
from ..disk.fingerprint import weights_key


BACK_ENDS = ("hf", "vllm")  # by lm-eval's names
ADAPTER = {"hf": "peft", "vllm": "lora_local_path"}  # what lm-eval calls the folder of adapters
ALL = "all"


def find_checkpoints(run: str, wanted: Sequence[str]) -> tuple[list[Path], list[str]]:
    """
    The checkpoints of a run.

    Args:
        run (`str`):
            Its output folder.
        wanted (`Sequence[str]`):
            `["all"]`, or their steps.

    Returns:
        Those that can be loaded, in the order of their steps, and for each of `all` that cannot be why not.

    Raises:
        `ValueError` or `OSError`: where there are none, or one that is wanted by its step cannot be loaded.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise FileNotFoundError(f"model_name_or_path={run!r} is no folder: with `checkpoints` give that of a run.")
    found = {path.name.removeprefix("checkpoint-"): path for path in reversed(checkpoints.newest_first(folder))}
    if not found:
        raise FileNotFoundError(
            f"{run} holds no checkpoint-*: give the output_dir of a run, or leave out `checkpoints`."
        )
    if list(wanted) == [ALL]:
        lacks = {path: checkpoints.what_weights_lack(path) for path in found.values()}
        usable = [path for path, reason in lacks.items() if reason is None]
        if not usable:
            raise FileNotFoundError(f"{run} holds no checkpoint with weights: {next(iter(lacks.values()))}.")
        return usable, [f"{path} is left out: {reason}." for path, reason in lacks.items() if reason is not None]
    for step in wanted:
        if step not in found:
            raise FileNotFoundError(f"{run} holds no checkpoint-{step}, but those of the steps {', '.join(found)}.")
        check_weights_are_there(found[step])
    return [found[step] for step in wanted], []


def check_weights_are_there(folder: Path) -> None:
    """Refuses a checkpoint without whole weights."""
    if (reason := checkpoints.what_weights_lack(folder)) is not None:
        raise FileNotFoundError(f"{folder} cannot be evaluated: {reason}.")


def check_back_end(back_end: str) -> None:
    """Refuses a back end whose package is missing."""
    if back_end == "vllm" and importlib.util.find_spec("vllm") is None:
        raise ImportError("back_end 'vllm' needs the package vllm: run `pip install 'trl_curriculum[vllm]'`.")


def model_args(name: str, back_end: str, given: dict[str, Any]) -> dict[str, Any]:
    """
    Arguments by which lm-eval makes a model.

    Args:
        name (`str`):
            Model of the Hub, or a folder; one with adapters alone says in its `adapter_config.json` what they adapt.
        back_end (`str`):
            Of [`BACK_ENDS`].
        given (`dict`):
            Further arguments of lm-eval's model.
    """
    folder = Path(name)
    arguments = {"pretrained": name} | given
    config = folder / "adapter_config.json"
    if config.is_file() and not (folder / "config.json").is_file():
        base = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path")
        if not base:
            raise ValueError(f"{config} does not say which model it adapts (base_model_name_or_path).")
        arguments |= {"pretrained": base, ADAPTER[back_end]: name}
        if (folder / "tokenizer_config.json").is_file():
            arguments["tokenizer"] = name
    return arguments


def weights_keys(name: str) -> list[str]:
    """Tells a model's weights from others; of adapters first what they adapt, then themselves."""
    return [weights_key(one) for one in dict.fromkeys([model_args(name, "hf", {})["pretrained"], name])]


def make_model(back_end: str, arguments: dict[str, Any], batch_size: int) -> Any:
    """lm-eval's model, `lm_eval.api.model.LM`."""
    from lm_eval.api.registry import get_model

    return get_model(back_end)(**arguments, batch_size=batch_size)
