"""What a finished run has logged, as a curve: a value and costs at each point."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..disk.checkpoint import STATE
from ..probes import PrefixEntropy
from ..registry import nearest
from ..report.history import read_history
from ..signals import FloatArray
from .grid import CURRICULUM


READ = 1 / 3  # of what a trained token costs is what a token costs that is only read: a forward without a backward
COSTS = ("step", "trained_tokens", "generated_tokens", "probe_tokens", "discarded_tokens", "seconds")
SIGNAL = {"grpo": "reward", "sft": "loss"}


@dataclass(frozen=True)
class Run:
    """
    What a finished run has left.

    Args:
        log (`list[dict]`):
            Log entries, in order; each has a `step`.
        history (`pandas.DataFrame`):
            Its draws, see [`~trl_curriculum.report.history.read_history`].
        generations (`int`):
            Rollouts of a draw; 0 in SFT.
        generates (`bool`):
            Whether what it probes is generated.
    """

    log: list[dict[str, Any]]
    history: pd.DataFrame
    generations: int
    generates: bool

    @property
    def signal(self) -> str:
        """What its draws have shown: `"reward"` or `"loss"`."""
        return SIGNAL["grpo" if self.generations else "sft"]

    @property
    def training(self) -> list[dict[str, Any]]:
        """What training has logged, without evaluations and what a run ends with."""
        return [entry for entry in self.log if "loss" in entry]

    @property
    def steps(self) -> FloatArray:
        """Optimizer steps at which training has logged."""
        return np.array([entry["step"] for entry in self.training], float)

    @property
    def begun(self) -> FloatArray:
        """Of each of them, the one before it, and 0 before the first."""
        return np.r_[0.0, self.steps][:-1]

    def cumulated(self, key: str) -> tuple[FloatArray, FloatArray]:
        """Steps, and sums so far of a number of tokens that is logged for the steps since the last log."""
        found = [(entry["step"], entry[key]) for entry in self.log if entry.get(key) is not None]
        steps, values = np.array(found, float).reshape(-1, 2).T
        return steps, np.cumsum(values)


def read_run(folder: Path, recipe: Mapping[str, Any], default_generations: int = 0) -> Run:
    """
    Reads what a run has left in its folder.

    Args:
        folder (`Path`):
            Its `output_dir`.
        recipe (`Mapping`):
            What it was run with.
        default_generations (`int`, *optional*):
            Rollouts of a draw where the recipe does not say it; 0 in SFT.

    Raises:
        `ValueError`: where its log cannot be read.
    """
    try:
        log = json.loads((folder / STATE).read_text())["log_history"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder / STATE}, the log of a run, cannot be read ({error}): remove {folder}.") from error
    generations = default_generations and int(recipe.get("num_generations") or default_generations)
    generates = CURRICULUM.of(dict(recipe), folder.name).probe == PrefixEntropy.name
    return Run(log, read_history(folder), generations, generates)


def costs(run: Run, step: FloatArray) -> pd.DataFrame:
    """
    What a run has cost up to some optimizer steps.

    Returns:
        `pandas.DataFrame` with the columns of `COSTS`. `trained_tokens` are, in GRPO, tokens of completions that were
        trained on and, in SFT, input tokens (TRL's `num_tokens`); `generated_tokens` are those of all completions,
        discarded ones, those of prompts that were asked once more and what probes generate included; `seconds` are
        those of optimizer steps, with generation and probes, without evaluation and saving.
    """
    seen = pd.Series([entry.get("curriculum/probe_tokens") for entry in run.training], dtype=float)
    probed = _at(step, run.steps, seen.ffill().fillna(0.0).to_numpy())  # not logged where nothing was drawn since
    discarded, explored = (_at(step, *run.cumulated(f"rollouts/{name}_tokens")) for name in ("discarded", "explored"))
    if run.generations:
        done = run.history.groupby("step")["length"].sum() * run.generations
        generated = np.r_[0.0, done.cumsum()][np.searchsorted(done.index, step)]  # draws of a step begin before it
        trained = generated - discarded
    else:
        generated, trained = np.zeros(len(step)), _at(step, *_num_tokens(run))
    lasted = np.array([entry.get("step_time") or 0.0 for entry in run.training], float)
    seconds = _at(step, run.steps, np.cumsum((run.steps - run.begun) * lasted))
    made = (step, trained, generated + explored + probed * run.generates, probed, discarded, seconds)
    return pd.DataFrame(dict(zip(COSTS, made, strict=True)))


def cost(points: pd.DataFrame, by: str) -> FloatArray:
    """What points have cost, by `steps`, `trained_tokens`, `generated_tokens` or `time`; probes count."""
    if by == "trained_tokens":
        return (points["trained_tokens"] + READ * points["probe_tokens"]).to_numpy(float)
    return points[{"steps": "step", "time": "seconds"}.get(by, by)].to_numpy(float)


def logged(run: Run, metric: str) -> tuple[FloatArray, FloatArray]:
    """
    Steps and values of what was logged under a name; `eval_reward` of several held-out sets is their mean.

    Raises:
        `ValueError`: where nothing was, with the nearest name.
    """
    sets = re.compile(re.sub("^eval_", "eval_.+_", re.escape(metric))) if metric.startswith("eval_") else None
    found: dict[float, list[float]] = {}
    for entry in run.log:
        for key, value in entry.items():
            named = key == metric or (sets is not None and sets.fullmatch(key) is not None)
            if named and isinstance(value, int | float) and np.isfinite(value):
                found.setdefault(float(entry["step"]), []).append(float(value))
    if not found:
        known = sorted({key for entry in run.log for key in entry} - {"step", "epoch"})
        raise ValueError(f"metric={metric!r} was not logged{nearest(metric, known)}: take one of {', '.join(known)}.")
    steps = np.array(sorted(found))
    return steps, np.array([np.mean(found[one]) for one in steps])


def as_uniform(run: Run, share: Mapping[str, float]) -> tuple[FloatArray, FloatArray]:
    """
    Steps at which training has logged, and the mean reward (GRPO) or loss (SFT) of all draws since the last log, arms
    weighted as uniform draws them. An arm that was not drawn since counts with what it showed last, and one that was
    never drawn not at all.

    Args:
        run ([`Run`]):
            A run.
        share (`Mapping[str, float]`):
            Of each arm, its share of uniform's draws.

    Raises:
        `ValueError`: where there is none.
    """
    last: dict[str, float] = {}
    values = []
    for begin, end in zip(run.begun, run.steps, strict=True):
        drawn = run.history[(run.history["step"] >= begin) & (run.history["step"] < end)]
        last |= drawn.groupby("arm")[run.signal].mean().dropna().to_dict()
        weight = np.array([share.get(arm, 0.0) for arm in last])
        seen = weight.sum() > 0
        values.append(float(weight @ np.array(list(last.values())) / weight.sum()) if seen else np.nan)
    known = np.isfinite(values)
    if not known.any():
        raise ValueError(f"no log of training has a {run.signal} of an arm that uniform has drawn: log more often.")
    return run.steps[known], np.array(values, float)[known]


def arm_shares(runs: list[Run]) -> dict[str, float]:
    """Share of each arm among the draws of some runs."""
    return pd.concat([run.history["arm"] for run in runs]).value_counts(normalize=True).to_dict()


def _num_tokens(run: Run) -> tuple[FloatArray, FloatArray]:
    """Steps and tokens that were trained on so far, which evaluations log as well."""
    found = {
        float(entry["step"]): float(value)
        for entry in run.log
        for name, value in entry.items()
        if name == "num_tokens" or (name.startswith("eval_") and name.endswith("_num_tokens"))
    }
    return np.array(list(found)), np.array(list(found.values()))


def _at(step: FloatArray, steps: FloatArray, totals: FloatArray) -> FloatArray:
    """Running totals at some steps: linear from 0, and as they were last after the end."""
    return np.interp(step, np.r_[0.0, steps], np.r_[0.0, totals])
