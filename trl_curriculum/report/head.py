"""The head of a report: what each run is and how it went, side by side."""

from collections.abc import Sequence

import numpy as np

from ..data.names import shown
from .measures import is_scored, uniform_zero_variance
from .over_time import stretch_of
from .rows_over_time import sequences
from .runs import Run


def head(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Facts by their names, in their order, and of each run what is known."""
    table = [_of_run(run) for run in runs]
    names = list(dict.fromkeys(name for one in table for name in one))
    return [(name, [one.get(name, "–") for one in table]) for name in names]


def number(value: float) -> str:
    """A number as it is read: large and whole ones with commas, others with three digits."""
    if not np.isfinite(value):
        return "not known"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time as it is read, such as `2 h 5 min`, `3 min 20 s` or `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _of_run(run: Run) -> dict[str, str]:
    history = run.history
    found = {"trainer": "GRPO" if run.signal == "reward" else "SFT"}
    if isinstance(run.facts.get("model"), str):
        found["model"] = shown(run.facts["model"], 80)
    found |= _methods(run)
    seen, pool = history["row"].nunique(), run.rows
    found["rows of the pool"] = "not known" if pool is None else f"{pool:,}"
    found["rows drawn"] = f"{seen:,}" if pool is None else f"{seen:,} ({seen / pool:.1%} of the pool)"
    found["arms drawn"] = f"{history['arm'].nunique():,}" + (f" of {len(run.arms):,}" if run.arms else "")
    found["steps"], found["draws"] = f"{int(history['step'].max()) + 1:,}", f"{len(history):,}"
    found["tokens"] = number(run.tokens)
    found["time"] = "not known" if run.seconds is None else duration(run.seconds)
    value = history[run.signal].to_numpy(float)
    third = np.arange(len(value)) * 3 // len(value)
    found["first → last third"] = f"{run.signal} {_mean(value[third == 0])} → {_mean(value[third == 2])}"
    if run.signal == "reward":
        found["groups without variance"] = _zero_variance(run)
    states = sequences(history)
    counts = np.bincount(states.after[states.last], minlength=len(states.names))
    told = [f"{count:,} {state}" for state, count in zip(states.names, counts, strict=True) if count]
    found["rows at the end"] = ", ".join(told[::-1]) or "–"
    return found


def _methods(run: Run) -> dict[str, str]:
    """What the run was made with, as its file says: text, whatever it holds."""
    found = {}
    methods = run.facts.get("methods")
    for one in methods if isinstance(methods, list) else []:
        if not isinstance(one, dict):
            continue
        given = one.get("options")
        options = given.items() if isinstance(given, dict) else ()
        told = ", ".join(f"{name} = {value}" for name, value in options if value is not None)
        name = shown(one.get("name"))
        found[shown(one.get("role"))] = f"{name} ({shown(told, 300)})" if told else name
    return found


def _zero_variance(run: Run) -> str:
    """The share as drawn, and what uniform draws would have met in the stretches where that can be estimated."""
    scored = is_scored(run.history)
    zero = run.history["zero_variance"].to_numpy(float)
    estimate, _ = uniform_zero_variance(run.history, run.rows)
    if estimate is None:
        return _mean(zero[scored])
    stretch, _ = stretch_of(run.history)
    known = np.isfinite(estimate)
    counted = scored & known[stretch]
    weight = np.bincount(stretch, counted, minlength=len(estimate))
    where = f" (in {known.sum()} of {len(known)} stretches of steps, where it was {_mean(zero[counted])})"
    of = "" if known.all() else where
    return f"{_mean(zero[scored])}; uniform, estimated: {np.average(estimate[known], weights=weight[known]):.3f}{of}"


def _mean(value: np.ndarray) -> str:
    seen = value[np.isfinite(value)]
    return f"{seen.mean():.3f}" if len(seen) else "–"
