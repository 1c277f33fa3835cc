"""What the model card tells of a run besides its curriculum: arguments, evaluation, what it took, how to repeat it."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from .head import duration
from .markdown import table
from .public import one_line, public_command, public_options, public_text, public_value


SCRIPTS = {"grpo": "grpo", "sft": "sft", "evolve": "evolve", "select_rows": "select"}  # of recipes, and their commands
NO_SCORE = re.compile(r"(_runtime|_per_second|_time|num_tokens|/share_of_time)$")
STDERR = "_stderr"
LM_EVAL = "lm_eval/"
SHOWN = 60  # scores in the table


@dataclass(frozen=True)
class RunFacts:
    """
    What a trainer knows of its run that the card tells.

    Args:
        trainer (`str`):
            Name of its class.
        hyperparameters (`dict[str, Any]`):
            Arguments on which draws, tokens and weights depend and that are not as TRL and transformers declare them.
        arguments (`dict[str, Any]`):
            All that are not, as a script would spell them.
        versions (`dict[str, str]`):
            Of packages.
        processes (`int`), device (`str`):
            What it ran on.
        steps (`int`):
            Optimizer steps.
        seconds (`float`, *optional*):
            Of training, over all resumes; `None` where an earlier part is not known.
        log (`list[dict[str, Any]]`):
            The trainer's `log_history`.
        eval_sets (`tuple[str, ...]`):
            Names of the evaluation sets, where there are several.
        rollouts (`int`, *optional*):
            Completions of a drawn prompt, in GRPO.
    """

    trainer: str
    hyperparameters: dict[str, Any]
    arguments: dict[str, Any]
    versions: dict[str, str]
    processes: int
    device: str
    steps: int
    seconds: float | None
    log: list[dict[str, Any]]
    eval_sets: tuple[str, ...] = ()
    rollouts: int | None = None
    argv: tuple[str, ...] = field(default_factory=lambda: tuple(sys.argv))


def hyperparameters(facts: RunFacts) -> str:
    """The arguments that are not the defaults."""
    rows = [(f"`{name}`", public_value(value)) for name, value in public_options(facts.hyperparameters).items()]
    head = "### Hyperparameters\n\nThose that are not the defaults of TRL and transformers:\n"
    return f"{head}\n{table(('argument', 'value'), rows)}" if rows else ""


def evaluation(facts: RunFacts) -> str:
    """The first and the last value of every score of the evaluation, by dataset."""
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for entry in facts.log:
        for name, value in entry.items():
            place = _place(name, facts.eval_sets)
            if place is not None and isinstance(value, Real) and not isinstance(value, bool):
                error = entry.get(f"{name}{STDERR}") if name.startswith(LM_EVAL) else None
                told = f"{value:.4g} ± {error:.2g}" if isinstance(error, Real) else f"{value:.4g}"
                found.setdefault(place, []).append((int(entry.get("step", 0)), told))
    if not found:
        return ""
    rows = []
    for (dataset, metric), values in sorted(found.items())[:SHOWN]:
        (first_step, first), (last_step, last) = values[0], values[-1]
        later = (last, str(last_step)) if last_step > first_step else ("-", "-")
        name = public_text(dataset) if dataset else "-"
        rows.append((name, public_text(metric), first, str(first_step), *later))
    more = f"\n{len(found) - SHOWN} more scores are in the log.\n" if len(found) > SHOWN else ""
    names = ("dataset", "score", "first", "at step", "last", "at step")
    return f"### Evaluation\n\n{table(names, rows)}{more}"


def _place(name: str, sets: Iterable[str]) -> tuple[str, str] | None:
    """Dataset and score of a name in the log; `None` for what is no score."""
    if not name.startswith(("eval_", LM_EVAL)) or NO_SCORE.search(name):
        return None
    if name.startswith(LM_EVAL):
        return None if name.endswith(STDERR) else ("lm-eval", name.removeprefix(LM_EVAL))
    metric = name.removeprefix("eval_")
    for one in sorted(sets, key=len, reverse=True):
        if metric.startswith(f"{one}_"):
            return one, metric.removeprefix(f"{one}_")
    return "", metric


def cost(facts: RunFacts, history: pd.DataFrame) -> str:
    """Steps, tokens, hours and processes."""
    rows = [("optimizer steps", f"{facts.steps:,}")]
    seen = [entry["num_tokens"] for entry in facts.log if isinstance(entry.get("num_tokens"), Real)]
    if seen:
        rows.append(("tokens that the model was given", f"{int(max(seen)):,}"))
    if len(history) and facts.rollouts:
        explored = sum(entry.get("rollouts/explored_tokens", 0.0) for entry in facts.log)
        rows.append(("generated tokens", f"{round(float(history['length'].sum() * facts.rollouts + explored)):,}"))
    elif len(history):
        rows.append(("tokens of the loss", f"{round(float(history['length'].sum())):,}"))
    if facts.seconds is not None:
        rows.append(("time of training, over all resumes", duration(facts.seconds)))
    rows.append(("processes", f"{facts.processes} on {public_text(facts.device)}"))
    return f"### What it took\n\n{table(('', ''), rows)}"


def reproduce(facts: RunFacts, model: str | None) -> str:
    """The command of the run or, where a script of the user's made it, the arguments that it gave."""
    head = "### To train it again\n\nPaths are shortened to their last part, secrets and addresses are `***`.\n\n"
    script = Path(facts.argv[0]) if facts.argv else Path()
    if script.stem in SCRIPTS and script.parent.name == "recipes":
        words = ["trl-curriculum", SCRIPTS[script.stem], *facts.argv[1:]]
        if facts.processes > 1 and "--num_processes" not in words:
            words += ["--num_processes", str(facts.processes)]
        return f"{head}```bash\n{public_command(words)}\n```\n"
    config = facts.trainer.replace("Trainer", "Config")
    options = "".join(
        f"    {name}={one_line(repr(value))},\n" for name, value in public_options(facts.arguments).items()
    )
    made = [f"from trl_curriculum import {config}, {facts.trainer}\n", f"args = {config}(\n{options})"]
    given = ", ".join(filter(None, (f"model={model!r}" if model else "model=…", "args=args", "train_dataset=…")))
    given += ", reward_funcs=…" if facts.rollouts else ""
    made.append(f"{facts.trainer}({given}).train()")
    return f"{head}```python\n" + "\n".join(made) + "\n```\n"


def versions(facts: RunFacts) -> str:
    """Versions that TRL's list does not have."""
    return "".join(f"- {name}: {version}\n" for name, version in facts.versions.items())
