"""Models and tokenizers that cannot be loaded: one sentence that says which one, and which file is wrong."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import jinja2
import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import render_jinja_template


# What loading raises; errors of JSON and Jinja are ValueErrors
LOADERS: tuple[type[Exception], ...] = (AttributeError, ImportError, LookupError, OSError, RuntimeError)
LOADERS += (SafetensorError, TypeError, ValueError)
MODEL = "model_name_or_path"
ARGUMENTS = ("pretrained_model_name_or_path", "model_id")  # of what loads: a traceback tells what it was given
JSONS = ("config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json", "adapter_config.json")


def check_folder(name: Any, role: str = MODEL) -> None:
    """
    Refuses a name that can be none of a model's, or a folder here without a whole config.

    Args:
        name (`str`):
            Name or path; one that is no path of this machine may be on the Hub.
        role (`str`, *optional*, defaults to `"model_name_or_path"`):
            Argument that gives it.

    Raises:
        `ValueError`, `TypeError` or `OSError`: in one sentence that names the argument, the folder and the file.
    """
    if not isinstance(name, str | Path):
        raise TypeError(f"{role}={name!r} must be a text: the name or the folder of a model.")
    if not str(name).strip():
        raise ValueError(f"{role}={str(name)!r} is empty: give the name or the folder of a model.")
    path, where = Path(name).expanduser(), f"{role}={str(name)!r}"
    if path.is_file() and path.suffix != ".gguf":
        raise NotADirectoryError(f"{where} is a file: give the folder that holds the model.")
    if not path.exists() and (str(name)[0] in "./~" or str(name).count("/") > 1):
        raise FileNotFoundError(f"{where} is not there: there is no such folder.")
    if path.is_dir() and not any((path / file).is_file() for file in ("config.json", "adapter_config.json")):
        if not any(path.glob("*.gguf")):
            raise FileNotFoundError(f"{where} has no config.json: it is no folder of a model.")
    if path.is_dir() and (reason := _damaged(path)):
        raise ValueError(f"{where} cannot be loaded: {reason}.")


@contextmanager
def loading(roles: Mapping[str, Any] | None = None) -> Iterator[None]:
    """
    Turns what a `from_pretrained` in here raises into one sentence; other errors pass as they are.

    Args:
        roles (`Mapping[str, Any]`, *optional*):
            Arguments with the names or paths that they give. Default: what is loaded is the model.

    Raises:
        `ValueError`: which names the argument, the name or path, and the file that is wrong.
    """
    try:
        yield
    except LOADERS as error:
        found = _being_loaded(error.__traceback__)
        if found is None:
            raise
        given = [MODEL] if roles is None else [role for role, name in roles.items() if str(name) == found]
        where = f"{given[0]}={found!r}" if given else f"{found!r}"
        raise ValueError(f"{where} cannot be loaded: {_reason(found, error)}.") from error


def load_tokenizer(name: Any, role: str = MODEL, **options: Any) -> Any:
    """
    The tokenizer of a name or path.

    Raises:
        `ValueError`: in one sentence, where it cannot be loaded.
    """
    check_folder(name, role)
    with loading({role: name}):
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
    return tokenizer


def check_tokenizer(tokenizer: Any, where: str, pads: bool = False, ends: bool = False) -> None:
    """
    Refuses a tokenizer without an end token, or one to pad with, and one whose chat template is no template.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`] or processor):
            The tokenizer.
        where (`str`):
            What the message calls it.
        pads, ends (`bool`, *optional*, defaults to `False`):
            Whether the run's arguments name such a token.

    Raises:
        `ValueError`: in one sentence.
    """
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
    if not ends and getattr(tokenizer, "eos_token", "") is None:
        pad = "" if pads or tokenizer.pad_token is not None else ", nor one to pad with (pad_token)"
        it = "them" if pad else "it"
        raise ValueError(
            f"The tokenizer of {where} has no end token (eos_token){pad}: name {it} in its tokenizer_config.json."
        )
    template = getattr(tokenizer, "chat_template", None)
    for one in template.values() if isinstance(template, dict) else [template]:
        if one is not None:
            check_template(one, f"The chat template of {where}")


def check_template(text: Any, where: str) -> None:
    """Refuses a chat template that is no Jinja, by transformers' own reading of it."""
    if not isinstance(text, str):
        raise TypeError(f"{where} is a {type(text).__name__}, and must be a text.")
    try:
        render_jinja_template([], chat_template=text)  # compiles it, as it will be
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"{where} is no Jinja: line {error.lineno}: {error.message}.") from error


def check_weights(model: Any, where: str) -> None:
    """
    Refuses weights that are no numbers, with which every loss is none.

    Raises:
        `ValueError`: which names the first of them.
    """
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not weight.is_meta and not torch.isfinite(weight.detach()).all():
            raise ValueError(f"{where} has weights that are not finite, the first of them in {name}: load others.")


def _being_loaded(trace: TracebackType | None) -> str | None:
    """What the outermost `from_pretrained` of a traceback was given."""
    while trace is not None:
        if trace.tb_frame.f_code.co_name in ("from_pretrained", "create_model_from_path"):
            given = trace.tb_frame.f_locals
            return next((str(given[name]) for name in ARGUMENTS if name in given), None)
        trace = trace.tb_next
    return None


def _reason(name: str, error: Exception) -> str:
    path, said = Path(name).expanduser(), [line.strip() for line in str(error).splitlines() if line.strip()]
    first = (said or [type(error).__name__])[0].rstrip(".:")
    if path.is_dir():
        if reason := _damaged(path) or _damaged_weights(path):
            return reason
        if "mismatched_sizes" in str(error):
            return "the weights have other sizes than its config.json says (listed above)"
        if "tokenizer" in str(error) and not (path / "tokenizer.json").exists():
            return f"it has no tokenizer.json ({first})"
        return first if isinstance(error, OSError | ValueError | ImportError) else f"{type(error).__name__}: {first}"
    if isinstance(error, OSError):
        return f"it is neither a folder here nor in the cache, and the Hub did not give it ({first})"
    return first if isinstance(error, ValueError | ImportError) else f"{type(error).__name__}: {first}"


def _damaged(folder: Path) -> str | None:
    """The file of a folder that is no JSON mapping, and why."""
    for file in map(folder.joinpath, JSONS):
        if not file.is_file():
            continue
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            return f"{file.name} is empty" if not file.stat().st_size else f"{file.name} is no JSON ({error})"
        if not isinstance(content, dict):
            return f"{file.name} holds a {type(content).__name__}, and must be a mapping"
    return None


def _damaged_weights(folder: Path) -> str | None:
    """The file of weights that cannot be read, and why."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            return f"{file.name} is cut off or damaged ({str(error).splitlines()[0].rstrip('.')})"
    return None
