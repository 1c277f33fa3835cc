"""Compares methods at equal cost over seeds: values and areas, differences to the baseline and to placebos."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..signals import FloatArray
from .curves import Run, arm_shares, as_uniform, cost, costs, logged
from .grid import UNIFORM, Cell, Entry
from .matching import Curve, Matched, match
from .statistics import Difference, difference


MATCHES = {
    "steps": "optimizer steps",
    "trained_tokens": "tokens trained on, those that probes read counted by a third",
    "generated_tokens": "tokens generated, discarded completions and probes included",
    "time": "seconds of optimizer steps, generation and probes included",
}


@dataclass(frozen=True)
class Metric:
    """
    What is compared.

    Args:
        name (`str`):
            As in the log, or `reward_as_uniform` (`loss_as_uniform`).
        about (`str`):
            What it is, in words.
    """

    name: str
    about: str

    @property
    def less_is_better(self) -> bool:
        """Whether smaller values are better: those of losses."""
        return "loss" in self.name


@dataclass(frozen=True)
class Reached:
    """
    What a method has reached over seeds.

    Args:
        mean (`float`):
            Over its seeds.
        baseline, placebo ([`Difference`], *optional*):
            To both on the same seeds, where there are any.
    """

    mean: float
    baseline: Difference | None
    placebo: Difference | None


@dataclass(frozen=True)
class Row:
    """
    A method in the table.

    Args:
        method (`str`):
            Its name.
        seeds (`int`):
            Of its finished cells.
        final, area ([`Reached`]):
            At the end, and on average over the costs (the area under the curve over their range).
        probes, refills (`float`):
            Share of all tokens that probes have read or generated, and that were generated and discarded.
    """

    method: str
    seeds: int
    final: Reached
    area: Reached
    probes: float
    refills: float


@dataclass(frozen=True)
class Comparison:
    """
    Finished cells at equal cost.

    Args:
        entries (`tuple` of [`Entry`]):
            Methods.
        points (`pandas.DataFrame`):
            One row a cell and point: `method`, `seed`, the columns of [`~trl_curriculum.evaluation.curves.costs`],
            `value` and `cost`, by which they are matched.
        metric ([`Metric`]):
            What `value` is.
        by (`str`):
            What `cost` is, a key of `MATCHES`.
        baseline (`str`, *optional*, defaults to `"uniform"`):
            Name of the method that all are compared with.
    """

    entries: tuple[Entry, ...]
    points: pd.DataFrame
    metric: Metric
    by: str
    baseline: str = UNIFORM

    @property
    def has_placebos(self) -> bool:
        """Whether any method has one."""
        return any(entry.placebo_of is not None for entry in self.entries)

    @property
    def counts_shares(self) -> bool:
        """Whether its runs have probes and refills to count; rounds do not."""
        return bool(self.points["probe_tokens"].notna().any())

    @cached_property
    def curves(self) -> dict[tuple[str, int], Curve]:
        """Costs and values by method and seed."""
        grouped = self.points.groupby(["method", "seed"], sort=False)
        return {
            (str(key[0]), int(key[1])): (part["cost"].to_numpy(float), part["value"].to_numpy(float))  # type: ignore
            for key, part in grouped
        }

    @cached_property
    def matched(self) -> Matched:
        """All curves at the same costs."""
        return match({f"{method}/seed-{seed}": curve for (method, seed), curve in self.curves.items()})

    @cached_property
    def rows(self) -> list[Row]:
        """One row a method that has finished cells."""
        known = {method for method, _ in self.curves}
        return [self._row(entry) for entry in self.entries if entry.name in known]

    def _row(self, entry: Entry) -> Row:
        last = self.points[self.points["method"] == entry.name].groupby("seed").last()
        generated = last["trained_tokens"] + last["discarded_tokens"]
        every = generated + last["probe_tokens"]
        return Row(
            entry.name,
            len(last),
            self._reached(entry, self.matched.final),
            self._reached(entry, self.matched.area),
            _ratio(last["probe_tokens"].sum(), every.sum()),
            _ratio(last["discarded_tokens"].sum(), generated.sum()),
        )

    def _reached(self, entry: Entry, reached: FloatArray) -> Reached:
        values = dict(zip(self.curves, reached, strict=True))
        own = {seed: value for (method, seed), value in values.items() if method == entry.name}
        placebo = next((one.name for one in self.entries if one.placebo_of == entry.name), None)

        def to(baseline: str | None) -> Difference | None:
            if baseline is None or baseline == entry.name:
                return None
            pairs = [(value, values[baseline, seed]) for seed, value in own.items() if (baseline, seed) in values]
            values_of, of_baseline = np.array(pairs).reshape(-1, 2).T
            return difference(values_of, of_baseline, self.metric.less_is_better) if pairs else None

        return Reached(float(np.mean(list(own.values()))), to(self.baseline), to(placebo))


def measure(runs: dict[Cell, Run], metric: str | None, by: str) -> tuple[pd.DataFrame, Metric]:
    """
    The points of finished cells.

    Args:
        runs (`dict[Cell, Run]`):
            What each has left.
        metric (`str`, *optional*):
            A name in the log, or `reward_as_uniform` (GRPO), `loss_as_uniform` (SFT). Default: `eval_reward`
            (`eval_loss`) where every cell has logged it, else the latter.
        by (`str`):
            A key of `MATCHES`.

    Raises:
        `ValueError`: where a cell has not logged the metric, or nothing to match by.
    """
    signal = next(iter(runs.values())).signal
    weighted = f"{signal}_as_uniform"
    if metric is None:
        metric = f"eval_{signal}" if all(_has(run, f"eval_{signal}") for run in runs.values()) else weighted
    about = (
        "as logged; of several held-out sets, their mean" if metric.startswith("eval_") else "as logged in training"
    )
    share: dict[str, float] = {}
    if metric == weighted:
        about = f"{signal} of all draws since the last log, arms weighted as uniform has drawn them"
        share = arm_shares([run for cell, run in runs.items() if cell.entry.name == UNIFORM] or _none(metric))
    parts = []
    for cell, run in runs.items():
        try:
            step, value = as_uniform(run, share) if metric == weighted else logged(run, metric)
        except ValueError as error:
            raise ValueError(f"{cell.name}: {error}") from error
        points = costs(run, step).assign(value=value)
        points.insert(0, "seed", cell.seed)
        points.insert(0, "method", cell.entry.name)
        parts.append(points)
    made = pd.concat(parts, ignore_index=True)
    made["cost"] = cost(made, by)
    if not (made["cost"] > 0).any():
        raise ValueError(f"match={by}: these runs have not logged any {MATCHES[by].split(',')[0]}: match by steps.")
    return made, Metric(metric, about)


def _has(run: Run, metric: str) -> bool:
    try:
        return len(logged(run, metric)[0]) > 0
    except ValueError:
        return False


def _none(metric: str) -> list[Run]:
    raise ValueError(f"metric={metric} weighs arms as uniform draws them, and no cell of uniform is finished.")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
