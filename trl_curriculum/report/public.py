"""What may be published: texts without markup, and values without secrets, addresses and folders."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..disk.fingerprint import REDACTED, redact
from ..scripts import apart


LONGEST = 80  # letters of a name from data
HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}(/[A-Za-z0-9][\w.\-]{0,95})?")
DATA_FILE = re.compile(r"\.(jsonl?|csv|tsv|txt|parquet|arrow|zip|gz|zst|bz2|xz|gguf|yaml|yml|py)$", re.IGNORECASE)
PATH = re.compile(r"^(/|~|\.{1,2}([/\\]|$)|[A-Za-z]:[/\\]|\\\\|file:)|^\S+[/\\]\S*[/\\]\S*$")
PATH_INSIDE = re.compile(r"(?<![\w./\\:~*])(?:~?/|[A-Za-z]:[/\\])[^\s'\",;:()\[\]{}<>|]*[/\\]")
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*://\S+")


def public_name(name: Any) -> str | None:
    """A name on the Hub as it is; `None` for what is, or may be, a path on this machine."""
    if not isinstance(name, str) or not HUB_ID.fullmatch(name) or DATA_FILE.search(name) or Path(name).exists():
        return None
    return name


def public_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options as they may be published: no secrets, no addresses, and of a path its last part."""
    return {name: _public(value) for name, value in redact(options).items()}


def public_command(words: Sequence[str]) -> str:
    """A command line as it may be published, to be pasted into a shell; an option a line."""
    shown = [_public_word(word) for word in redact(apart(words))]
    lines = [""]
    for word in shown:
        if word.startswith("--") and lines[-1]:
            lines.append("")
        lines[-1] += f" {shlex.quote(word)}" if lines[-1] else shlex.quote(word)
    return " \\\n  ".join(lines)


def public_value(value: Any, longest: int = 200) -> str:
    """A value of Python as text."""
    return public_text(repr(value), longest)


def public_text(value: str, longest: int = LONGEST) -> str:
    """Text from data, to be read as it is: no markup, no control characters, one line."""
    text = one_line(value)
    text = text if len(text) <= longest else f"{text[:longest]}…"
    return re.sub(r"[^\w\s.,:;=+()/'…-]|(?<!\w)_|_(?!\w)", lambda found: f"&#{ord(found[0])};", text) or "&nbsp;"


def one_line(value: str) -> str:
    """A text without line breaks and control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in value).split())


def _public(value: Any) -> Any:
    if isinstance(value, str):
        text = URL.sub(REDACTED, value)
        if PATH.search(text) or DATA_FILE.search(text) or ("/" in text and _is_here(text)):
            return re.split(r"[/\\]", text.rstrip("/\\"))[-1]
        return PATH_INSIDE.sub("", text)
    if isinstance(value, dict):
        return {name: _public(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_public(one) for one in value]
    if isinstance(value, Path):
        return value.name
    return value


def _public_word(word: str) -> str:
    """A word of a command line, which may be JSON."""
    if word[:1] in ("[", "{"):
        try:
            return json.dumps(_public(redact(json.loads(word))), ensure_ascii=False)
        except ValueError:
            pass
    return one_line(_public(word))


def _is_here(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a path
        return False
