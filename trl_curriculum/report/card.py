"""The model card of a run: TRL's own, with the curriculum that picked the rows, and without paths of this machine."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import ModelCard

from ..disk.fingerprint import REDACTED, redact
from ..options import Method
from ..version import __version__
from .history import read_history
from .markdown import link, table


SHOWN = 20  # arms in the table
LONGEST = 80  # letters of a name from data
HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}(/[A-Za-z0-9][\w.\-]{0,95})?")
DATA_FILE = re.compile(r"\.(jsonl?|csv|tsv|txt|parquet|arrow|zip|gz|zst|bz2|xz|gguf|yaml|yml|py)$", re.IGNORECASE)
PATH = re.compile(r"^(/|~|\.{1,2}([/\\]|$)|[A-Za-z]:[/\\]|\\\\|file:)|^\S+[/\\]\S*[/\\]\S*$")
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*://\S+")
QUICK_START = re.compile(r"## Quick start\n.*?(?=\n## )", re.DOTALL)


def public_name(name: Any) -> str | None:
    """A name on the Hub as it is; `None` for what is, or may be, a path on this machine."""
    if not isinstance(name, str) or not HUB_ID.fullmatch(name) or DATA_FILE.search(name) or Path(name).exists():
        return None
    return name


def complete(text: str, trainer: Any) -> str:
    """
    TRL's model card with a section on the curriculum.

    Args:
        text (`str`):
            The card that TRL has written, with its front matter.
        trainer ([`~trl_curriculum.trainers.mixin.CurriculumMixin`]):
            Of whom methods, arms and the history of draws are told.
    """
    card = ModelCard(without_local_paths(text), ignore_metadata_errors=True)
    body = card.text
    if trainer.hub_model_id is None:  # TRL's example would load a model called "None"
        body = QUICK_START.sub("", body)
    body = body.replace("\n- TRL: ", f"\n- trl_curriculum: {__version__}\n- TRL: ", 1)
    place = body.index("### Framework versions") if "### Framework versions" in body else len(body)
    card.text = body[:place] + section(trainer) + "\n" + body[place:]
    return str(card)


def without_local_paths(text: str) -> str:
    """A card, of TRL's or PEFT's, without a base model, data set or tag that is a path on this machine."""
    card = ModelCard(text, ignore_metadata_errors=True)
    data = card.data
    base, sets = data.get("base_model"), data.get("datasets")
    given = sets if isinstance(sets, list) else [sets]
    hidden = [name for name in (base, *given) if name is not None and public_name(name) is None]
    if base in hidden:
        data["base_model"] = None
    if sets is not None:
        data["datasets"] = [name for name in given if name not in hidden] or None
    tags = data.get("tags")
    if isinstance(tags, list):  # PEFT's base_model:adapter:<path>
        data["tags"] = [tag for tag in tags if not (tag.startswith("base_model:") and tag.split(":", 2)[-1] in hidden)]
    body = card.text
    for name in (*hidden, "None"):
        body = body.replace(f"a fine-tuned version of [{name}](https://huggingface.co/{name})", "a fine-tuned model")
        body = body.replace(f" on the [{name}](https://huggingface.co/datasets/{name}) dataset", "")
    for name in map(str, hidden):
        body = body.replace(name, Path(name).name)
    card.text = body
    return str(card)


def section(trainer: Any) -> str:
    """The curriculum of a run: its methods with their options and papers, its arms, and what was drawn."""
    method, pool = trainer.curriculum.method, trainer.pool
    paper = link(method.paper)
    named = f"`{_title(method)}` of trl_curriculum {__version__}" if method.name else f"`{type(method).__name__}`"
    source = f", after {paper}" if paper != "-" else ""
    parts = [
        "### Curriculum\n",
        f"A curriculum picked the rows of every step: {named}{source}. {_text(method.summary(), 400)}\n",
        table(("", "method", "options", "paper"), [_method_row(role, one) for role, one in methods_of(trainer)]),
    ]
    size = _drawn(trainer)
    return "\n".join([*parts, _draws(pool, *size) if size else "Nothing was drawn yet.\n"])


def _title(method: Method) -> str:
    return method.name or type(method).__name__


def methods_of(trainer: Any) -> list[tuple[str, Any]]:
    """What each method of a run does there, and the method."""
    args = trainer.args
    found: list[tuple[str, Any]] = [("curriculum", trainer.curriculum.method)]
    if args.arm_source is not None:
        found.append(("arms", args.arm_source))
    probe = args.probe_for(trainer.curriculum.method)
    if probe is not None:
        found.append(("probe", probe))
    found += [("rollouts", one) for one in trainer.refilling.methods]
    return found + [("shaping", one) for one in trainer.shaping.shapers]


def _method_row(role: str, method: Any) -> tuple[str, ...]:
    options = ", ".join(f"{name} = {_value(value)}" for name, value in public_options(method.options).items())
    return role, _text(_title(method)), options or "-", link(method.paper)


def public_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options as they may be published: no secrets, no addresses, and of a path its last part."""
    return {name: _public(value) for name, value in redact(options).items()}


def _public(value: Any) -> Any:
    if isinstance(value, str):
        text = URL.sub(REDACTED, value)
        return re.split(r"[/\\]", text.rstrip("/\\"))[-1] if PATH.search(text) or DATA_FILE.search(text) else text
    if isinstance(value, dict):
        return {name: _public(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_public(one) for one in value]
    if isinstance(value, Path):
        return value.name
    return value


def _value(value: Any) -> str:
    return _text(repr(value), 200)


def _text(value: str, longest: int = LONGEST) -> str:
    """Text from data, to be read as it is: no markup, no control characters, one line."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in value).split())
    text = text if len(text) <= longest else f"{text[:longest]}…"
    return re.sub(r"[^\w\s.,:;=+()/'…-]|(?<!\w)_|_(?!\w)", lambda found: f"&#{ord(found[0])};", text) or "&nbsp;"


def _drawn(trainer: Any) -> tuple[np.ndarray, np.ndarray] | None:
    frame = read_history(trainer.args.output_dir)
    return (frame["row"].to_numpy(), frame["arm"].to_numpy()) if len(frame) else None


def _draws(pool: Any, row: np.ndarray, arm: np.ndarray) -> str:
    arms = f" in {pool.n_arms} arms" if pool.n_arms > 1 else ""
    told = f"{len(row)} rows were drawn, {len(np.unique(row))} different ones of the {pool.size}{arms}.\n"
    if pool.n_arms == 1:
        return told
    names, counts = np.unique(arm.astype(str), return_counts=True)
    sizes = dict(zip(pool.arm_names, pool.arm_size, strict=True))
    order = np.argsort(-counts, kind="stable")
    rows = [
        (_text(names[k]), str(sizes.get(names[k], "-")), str(counts[k]), f"{counts[k] / len(row):.3f}")
        for k in order[:SHOWN]
    ]
    if len(order) > SHOWN:
        rest = counts[order[SHOWN:]].sum()
        rows.append((f"{len(order) - SHOWN} more", "", str(rest), f"{rest / len(row):.3f}"))
    return told + "\n" + table(("arm", "rows", "draws", "share of draws"), rows)
