"""Whether the Hub answers: asked once, before Hugging Face's libraries are imported, which would retry for minutes."""

import os
import queue
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from . import MADE, ROOTS, apart
from .recipes import find_recipe, read_recipe


SECONDS = 4.0
OWN_TASKS = "curriculum_"  # what the names of tasks begin with whose rows are made here
NAMING = {
    "tasks",
    "dataset_name",
    "model_name_or_path",
    "reward_model_name_or_path",
    "path",
    "model",
    "chat_template_path",
}
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def use_the_cache_where_the_hub_is_silent(argv: Sequence[str], command: str | None = None) -> None:
    """
    Sets `HF_HUB_OFFLINE=1` for this process and those that it starts, and says so, where the arguments name something
    that is no local path and the Hub cannot be reached. What is in the cache is then used, and all else is refused at
    once.
    """
    if any(os.environ.get(name) for name in OFFLINE) or not (names := _names(argv, command)) or is_reachable():
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    print(
        f"{_address()[0]} cannot be reached: {', '.join(names)} can only come from the cache. (HF_HUB_OFFLINE=1 "
        "spares this check.)",
        file=sys.stderr,
    )


def is_reachable(seconds: float = SECONDS) -> bool:
    """Whether the Hub takes a connection within so many seconds. Behind a proxy it counts as reachable."""
    address = _address()
    if {"https", "http", "all"} & set(getproxies()):
        return True
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def connect() -> None:  # in a thread: looking a name up knows no time limit
        try:
            socket.create_connection(address, timeout=seconds).close()
            answers.put(True)
        except OSError:
            answers.put(False)

    threading.Thread(target=connect, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return False


def _address() -> tuple[str, int]:
    url = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    return url.hostname or "huggingface.co", url.port or (80 if url.scheme == "http" else 443)


def _names(argv: Sequence[str], command: str | None = None) -> list[str]:
    """Models and datasets that the arguments, and the recipe in them, name and that are no local paths."""
    given: dict[str, Any] = {}
    pairs = [(word.removeprefix("--"), after) for word, after in pairwise(apart(argv))]
    for name, value in pairs:
        if name == "config" and Path(value).is_file():
            with suppress(OSError, ValueError):  # which the parser tells of
                recipe = read_recipe(value, command)
                given |= recipe if isinstance(recipe, dict) else {}
                if isinstance(base := given.get("base"), str):  # of a grid: a recipe too
                    trains = given.get("command", "grpo")
                    given["base"] = read_recipe(find_recipe(base, trains), trains)
    given |= {name: value for name, value in pairs if name in NAMING}
    return [name for name in dict.fromkeys(_walk(given)) if name != MADE and not _is_local(name)]


def _walk(value: Any, key: str = "") -> list[str]:
    if isinstance(value, dict):
        return [name for one, inner in value.items() for name in _walk(inner, str(one))]
    if isinstance(value, list):
        return [name for inner in value for name in _walk(inner, key)]
    return [value] if isinstance(value, str) and key in NAMING else []


def _is_local(name: str) -> bool:
    builders = ("json", "csv", "parquet", "text", "arrow")
    return (
        name in builders
        or not name.strip()
        or name.startswith((OWN_TASKS, "{", "["))
        or any((root / Path(name).expanduser()).exists() for root in (Path(), *ROOTS))
    )
