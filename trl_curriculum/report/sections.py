"""What a report shows of its runs, figure by figure, with the same scales for all of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..data.names import keys
from . import figures
from .measures import OUTCOMES, measures, outcomes, uniform_zero_variance
from .over_time import arms_over_time, label_arms, stretches
from .rows_over_time import OF_LOSSES, OF_REWARDS, migration
from .runs import Run


OF_OUTCOMES = dict(zip(OUTCOMES, ("#54a24b", "#9ecae9", "#d6907f", "#bab0ac", "#dedede"), strict=True))
OF_STATES = {
    "reward": dict(zip(OF_REWARDS, ("#dedede", "#c9a0c0", "#8c4a78", "#eeca3b", "#4c78a8", "#54a24b"), strict=True)),
    "loss": dict(zip(OF_LOSSES, ("#dedede", "#9ecae9", "#e45756", "#eeca3b", "#54a24b"), strict=True)),
}
DRAWN, UNIFORM = "as drawn", "uniform, estimated"
STRETCHES = 100  # of a log
LOGGED = {  # keys of the trainer's log, and what they are
    "entropy": "entropy of the policy (nats)",
    "completions/mean_length": "mean length (tokens)",
    "completions/clipped_ratio": "completions cut off (share)",
    "curriculum/distribution_entropy": "entropy of the draws over arms (nats)",
    "curriculum/staleness": "staleness (batches)",
    "curriculum/unobserved_rollouts": "rollouts without a reward",
    "curriculum/unobserved_rows": "rows without a loss",
    "curriculum/probe_tokens": "probes so far (tokens)",
    "curriculum/probe_seconds": "probes so far (seconds)",
    "rollouts/tries": "refilling: tries per batch",
    "rollouts/generated_per_kept": "refilling: groups generated per group kept",
    "rollouts/tokens_per_kept": "refilling: tokens generated per group kept",
    "rollouts/frac_kept": "refilling: groups kept (share of those generated)",
    "rollouts/reward_kept": "refilling: mean reward of the groups kept",
    "rollouts/reward_dropped": "refilling: mean reward of the others",
    "rollouts/discarded_tokens": "refilling: tokens generated and not trained on",
    "rollouts/frac_carried": "refilling: groups left over from the last batch (share)",
    "rollouts/frac_filled_up": "refilling: groups filled up (share)",
    "rollouts/rows": "different rows of a batch",
    "rollouts/most_rollouts": "rollouts of one row, at most",
    "rollouts/frac_replayed": "rollouts replaced by earlier ones (share)",
    "rollouts/stored": "rollouts stored",
    "rollouts/temperature": "temperature of the rollouts",
    "rollouts/entropy": "entropy of the generation batch (nats)",
    "rollouts/frac_replaced": "rollouts replaced by those of another temperature (share)",
    "rollouts/explored_tokens": "tokens of prompts that were asked once more",
    "rollouts/frac_cut": "rollouts that were cut (share)",
    "reward": "reward, all draws",
    "loss": "loss",
    "kl": "KL to the reference (nats)",
    "grad_norm": "norm of the gradient",
    "mean_token_accuracy": "accuracy per token",
    "eval_loss": "loss on the held-out rows",
    "eval_reward": "reward on the held-out rows",
}


@dataclass(frozen=True)
class Figure:
    """
    One figure of a report, drawn for each run.

    Args:
        title, meaning (`str`):
            What it shows, and how that is worked out.
        frames (`dict[str, pandas.DataFrame]`):
            By the name of the run; a run that lacks it is left out.
        draw (`Callable`):
            Makes the chart of a frame.
        missing (`dict[str, str]`):
            Why runs lack it, where that is to be said.
    """

    title: str
    meaning: str
    frames: dict[str, pd.DataFrame]
    draw: Callable[[pd.DataFrame], Any]
    missing: dict[str, str] = field(default_factory=dict)


def draws(runs: Sequence[Run]) -> Iterator[Figure]:
    """Where the draws went, and what they showed."""
    labels, rest = label_arms([run.history for run in runs])
    colours = figures.of_arms(labels, rest)
    frames = {run.name: arms_over_time(run.history, labels, rest, run.generations) for run in runs}
    of = "" if rest is None else f" The {len(labels)} most drawn arms have names of their own."
    yield Figure(
        "Draws per arm",
        f"Each arm's share of the rows drawn in a stretch of optimizer steps.{of}",
        frames,
        partial(figures.stacked, field="arm", colours=colours, title="share of draws", count="draws"),
    )
    for signal, title in figures.TITLES.items():
        some = {run.name: frames[run.name] for run in runs if run.signal == signal}
        if some:
            yield Figure(
                f"{title.split(' (')[0].capitalize()} per arm",
                "Mean over an arm's draws in a stretch; gaps where it was not drawn, or showed no number.",
                some,
                _lines(some, signal, title, colours, "arm"),
            )
    for what, meaning in (("value", "What the method believes of each arm"), ("probability", "Its probability")):
        tried = {run.name: _per_arm(run, f"curriculum/{what}/", labels) for run in runs}
        logged = {name: frame for name, frame in tried.items() if frame is not None}
        if logged:
            yield Figure(
                f"{what.capitalize()} per arm",
                f"{meaning}, as it was logged (up to 64 arms).",
                logged,
                _lines(logged, what, what, colours, "arm"),
            )


def groups(runs: Sequence[Run]) -> Iterator[Figure]:
    """What the draws met, and what they cost."""
    found = {run.name: measures(run.history, run.rows, run.generations) for run in runs}
    rewarded = [run for run in runs if run.signal == "reward"]
    if rewarded:
        yield Figure(
            "What became of the groups",
            "A group whose rewards are all alike has advantage 0 and teaches nothing. Solved: at least 90 % of the "
            "range of rewards; failed: at most 10 %.",
            {run.name: outcomes(run.history, run.generations) for run in rewarded},
            partial(figures.stacked, field="outcome", colours=OF_OUTCOMES, title="share of groups", count="draws"),
        )
        yield _against_uniform(rewarded, found)
    for value, title, name, meaning in (
        (
            "per_useful",
            "tokens",
            "Tokens per useful group",
            "Tokens of all completions, per group whose rewards differ.",
        ),
        ("coverage", "share of rows", "Coverage", "Share of the pool's rows that were drawn at least once."),
        ("length", "tokens", "Length", "Mean tokens of a completion (GRPO), or trained tokens of a row (SFT)."),
        ("truncated", "share", "Cut off", "Share of completions that did not end by themselves."),
        ("entropy", "nats", "Entropy of the rows drawn", "Of the next token, mean over the trained tokens."),
    ):
        some = {run: frame for run, frame in found.items() if value in frame and frame[value].notna().any()}
        if some:
            yield Figure(name, meaning, some, _lines(some, value, title, {"": figures.COLOURS[0]}))


def rows(runs: Sequence[Run]) -> Iterator[Figure]:
    """What became of the rows of the pool."""
    for signal, colours in OF_STATES.items():
        known = {run.name: run for run in runs if run.signal == signal}
        some = {name: migration(run.history, run.rows, run.generations) for name, run in known.items() if run.rows}
        if known:
            yield Figure(
                f"States of rows ({'GRPO' if signal == 'reward' else 'SFT'})",
                "How many rows of the pool are in which state, judged by each row's own sequence of results.",
                some,
                partial(figures.stacked, field="state", colours=colours, title="share of rows", count="rows"),
                {name: "how many rows the pool has is not known" for name in known if name not in some},
            )


def logs(runs: Sequence[Run]) -> Iterator[Figure]:
    """What the trainer has logged."""
    for key, title in LOGGED.items():
        some = {run.name: _thinned(run, key) for run in runs if key in run.logs and run.logs[key].notna().any()}
        if some:
            yield Figure(
                title[0].upper() + title[1:], f"Logged as {key}.", some, _lines(some, "value", "", {"": "#4c78a8"})
            )


def _against_uniform(runs: Sequence[Run], found: dict[str, pd.DataFrame]) -> Figure:
    frames, missing = {}, {}
    for run in runs:
        when = found[run.name].drop(columns=["length", "coverage", "truncated", "per_useful"], errors="ignore")
        estimate, why = uniform_zero_variance(run.history, run.rows)
        parts = [when.assign(draws=DRAWN)]
        if estimate is None:
            missing[run.name] = f"{UNIFORM}: {why}"
        else:
            parts.append(when.assign(draws=UNIFORM, zero_variance=estimate))
        frames[run.name] = pd.concat(parts)
    return Figure(
        "Groups without variance, and what uniform would have drawn",
        "Share of the scored groups whose rewards are all alike. For uniform draws it is estimated from the same "
        "groups, each weighted by 1 / probability of its row (Hájek): of the same model at the same time, not of a "
        "model that uniform draws would have trained. Nothing is shown where rows were out of the draws' reach.",
        frames,
        _lines(frames, "zero_variance", "share of groups", {DRAWN: "#4c78a8", UNIFORM: "#9d9d9d"}, "draws"),
        missing,
    )


def _lines(
    frames: dict[str, pd.DataFrame], value: str, title: str, colours: dict[str, str], by: str | None = None
) -> Callable[[pd.DataFrame], Any]:
    domain = figures.domain_of([*frames.values()], value)
    return partial(figures.lines, value=value, title=title, colours=colours, field=by, domain=domain)


def _per_arm(run: Run, prefix: str, labels: dict[str, str]) -> pd.DataFrame | None:
    """What was logged of each arm that has a label, in stretches of the log."""
    of = {arm: key for arm, key in keys(labels).items() if f"{prefix}{key}" in run.logs}
    if not of:
        return None
    value = prefix.split("/")[1]
    parts = [_thinned(run, f"{prefix}{key}").rename(columns={"value": value}) for key in of.values()]
    return pd.concat([part.assign(arm=labels[arm]) for arm, part in zip(of, parts, strict=True)])


def _thinned(run: Run, key: str) -> pd.DataFrame:
    """A logged value, mean over stretches of the log."""
    logged = run.logs.loc[run.logs[key].notna(), ["step", key]]
    stretch = np.arange(len(logged)) * min(STRETCHES, len(logged)) // max(len(logged), 1)
    made = logged.groupby(stretch).agg(step=("step", "max"), value=(key, "mean"))
    done = stretches(run.history, run.generations)
    tokens = np.interp(made["step"], np.r_[0, done["step"]], np.r_[0.0, done["tokens"]])
    return made.assign(tokens=tokens)[["step", "tokens", "value"]]
