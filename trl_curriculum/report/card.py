"""The model card of a run: TRL's own, with the curriculum that picked the rows, and without paths of this machine."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from huggingface_hub import ModelCard

from ..options import Method
from ..publish.files import FIGURE
from ..version import __version__
from .card_run import RunFacts, cost, evaluation, hyperparameters, reproduce, versions
from .figures import draws_png
from .history import read_history
from .markdown import link, table
from .papers import citations
from .public import public_name, public_options, public_text, public_value


logger = logging.getLogger(__name__)

SHOWN = 20  # arms in the table
VERSIONS = "### Framework versions"
QUICK_START = re.compile(r"## Quick start\n.*?(?=\n## )", re.DOTALL)


def complete(text: str, trainer: Any, facts: RunFacts, with_figure: bool = True) -> str:
    """
    TRL's model card with the curriculum and what its run was.

    Args:
        text (`str`):
            The card that TRL has written, with its front matter.
        trainer ([`~trl_curriculum.trainers.mixin.CurriculumMixin`]):
            Of whom methods, arms and the history of draws are told.
        facts ([`RunFacts`]):
            What it knows of its run.
        with_figure (`bool`, *optional*, defaults to `True`):
            Whether the figure of the draws is made anew.
    """
    card = ModelCard(without_local_paths(text), ignore_metadata_errors=True)
    body, history = card.text, read_history(trainer.args.output_dir)
    if trainer.hub_model_id is None:  # TRL's example would load a model called "None"
        body = QUICK_START.sub("", body)
    model = public_name(card.data.get("base_model"))
    told = (
        section(trainer, history),
        figure(history, Path(trainer.args.output_dir)) if with_figure else "",
        evaluation(facts),
        hyperparameters(facts),
        cost(facts, history),
        reproduce(facts, model),
    )
    body = body.replace("\n- TRL: ", f"\n- trl_curriculum: {__version__}\n- TRL: ", 1)
    body = re.sub(r"(?<=\n)- Tokenizers: .*\n", lambda found: found[0] + versions(facts), body)
    place = body.index(VERSIONS) if VERSIONS in body else len(body)
    papers = citations((_title(one), one.paper) for _, one in methods_of(trainer))
    card.text = body[:place] + "\n".join(filter(None, told)) + f"\n{body[place:].rstrip()}\n"
    if papers:
        card.text += f"\n{papers}"
    return str(card)


def figure(history: pd.DataFrame, folder: Path) -> str:
    """The figure of what was trained on, made in the folder of the card; nothing where it cannot be drawn."""
    try:
        if not draws_png(history, folder / FIGURE):
            return ""
    except (OSError, ValueError) as error:  # a checkpoint that is being saved must not be lost by it
        logger.warning("The card has no figure: %s", error)
        return ""
    return f"![Draws of each arm over the steps of training]({FIGURE})\n"


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


def section(trainer: Any, history: pd.DataFrame) -> str:
    """The curriculum of a run: its methods with their options and papers, its arms, and what was drawn."""
    method, pool = trainer.curriculum.method, trainer.pool
    paper = link(method.paper)
    named = f"`{_title(method)}` of trl_curriculum {__version__}" if method.name else f"`{type(method).__name__}`"
    source = f", after {paper}" if paper != "-" else ""
    parts = [
        "### Curriculum\n",
        f"A curriculum picked the rows of every step: {named}{source}. {public_text(method.summary(), 400)}\n",
        table(("", "method", "options", "paper"), [_method_row(role, one) for role, one in methods_of(trainer)]),
    ]
    drawn = (history["row"].to_numpy(), history["arm"].to_numpy())
    return "\n".join([*parts, _draws(pool, *drawn) if len(history) else "Nothing was drawn yet.\n"])


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
    options = ", ".join(f"{name} = {public_value(value)}" for name, value in public_options(method.options).items())
    return role, public_text(_title(method)), options or "-", link(method.paper)


def _draws(pool: Any, row: np.ndarray, arm: np.ndarray) -> str:
    arms = f" in {pool.n_arms} arms" if pool.n_arms > 1 else ""
    of = "streams" if pool.is_stream else f"the {pool.size}{arms}"
    told = f"{len(row)} rows were drawn, {len(np.unique(row))} different ones of {of}.\n"
    if pool.n_arms == 1:
        return told
    names, counts = np.unique(arm.astype(str), return_counts=True)
    sizes = {} if pool.is_stream else dict(zip(pool.arm_names, pool.arm_size, strict=True))
    order = np.argsort(-counts, kind="stable")
    rows = [
        (public_text(names[k]), str(sizes.get(names[k], "-")), str(counts[k]), f"{counts[k] / len(row):.3f}")
        for k in order[:SHOWN]
    ]
    if len(order) > SHOWN:
        rest = counts[order[SHOWN:]].sum()
        rows.append((f"{len(order) - SHOWN} more", "", str(rest), f"{rest / len(row):.3f}"))
    return told + "\n" + table(("arm", "rows", "draws", "share of draws"), rows)
