"""Figures of a run, made with Altair from frames: one function a kind of figure."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..disk.atomic import atomic_write
from .over_time import arms_over_time, label_arms, signal_of
from .vegalite import png


NEEDS = "Figures need altair and vl-convert-python: pip install 'trl_curriculum[report]'."
COLOURS = (
    *("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#eeca3b", "#b279a2", "#ff9da6", "#9d755d", "#2f4b7c"),
    *("#88b04b", "#c05a8e", "#3b8f8a", "#d9a441", "#7f6bb3", "#a34a3a", "#5c8a3a", "#c9789b", "#6b7f99", "#8c6239"),
    "#5f6b7a",
)
OTHERS = "#c7c7c7"
TITLES = {"reward": "mean reward", "loss": "mean loss (nats per token)"}
ON_CARD = 8  # arms in the figure of a model card


def is_installed() -> bool:
    """Whether figures can be made."""
    return all(importlib.util.find_spec(name) is not None for name in ("altair", "vl_convert"))


def draws_png(history: pd.DataFrame, file: str | Path) -> bool:
    """
    Writes the figure of a model card: each arm's share of the draws, and its mean reward or loss, over the steps.

    Args:
        history (`pandas.DataFrame`):
            Draws as [`~trl_curriculum.report.history.read_history`] returns them.
        file (`str` or `Path`):
            A PNG, written atomically.

    Returns:
        `bool`: whether there is a figure now; `False` where altair is not installed or nothing was drawn.

    Raises:
        `OSError`: where the file cannot be written. [`~trl_curriculum.report.vegalite.FigureError`]: where it cannot
            be drawn.
    """
    if history.empty or not is_installed():
        return False
    labels, rest = label_arms([history], ON_CARD)
    frame, signal = arms_over_time(history, labels, rest), signal_of(history)
    colours = of_arms(labels, rest)
    upper = stacked(frame, "arm", colours, "share of draws", "draws").properties(width=560, height=170)
    lower = lines(frame, signal, TITLES[signal], colours, "arm").properties(width=560, height=170)
    drawn = png((upper & lower).configure_view(stroke=None))
    with atomic_write(Path(file)) as draft:
        draft.write_bytes(drawn)
    return True


def of_arms(labels: Mapping[str, str], rest: str | None) -> dict[str, str]:
    """A colour for the label of each arm, and for that of the others."""
    colours = {label: COLOURS[k % len(COLOURS)] for k, label in enumerate(labels.values())}
    return colours if rest is None else {**colours, rest: OTHERS}


def stacked(frame: pd.DataFrame, field: str, colours: Mapping[str, str], title: str, count: str) -> Any:
    """
    Shares that add up to 1, a bar for each stretch of steps.

    Args:
        frame (`pandas.DataFrame`):
            With `begin`, `step`, `place`, `share`, `field` and `count`.
        field, count (`str`):
            Columns: of what, and how many.
        colours (`Mapping[str, str]`):
            Of the values of `field`, in their order.
        title (`str`):
            Of the axis.
    """
    import altair as alt

    return (
        alt.Chart(frame)
        .mark_bar(binSpacing=0)
        .encode(
            x=_steps("begin").bin("binned"),
            x2="step:Q",
            y=alt.Y("share:Q", title=title, stack=True, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
            color=_colour(field, colours),
            order=alt.Order("place:Q"),
            tooltip=_tooltip(field, {"share": ".1%", count: ","}),
        )
    )


def lines(
    frame: pd.DataFrame,
    value: str,
    title: str,
    colours: Mapping[str, str],
    field: str | None = None,
    domain: tuple[float, float] | None = None,
) -> Any:
    """
    A value over the steps, one line for each value of `field`; gaps where there is none.

    Args:
        frame (`pandas.DataFrame`):
            With `step`, `value` and `field`.
        value, title (`str`):
            Column, and the title of its axis.
        colours (`Mapping[str, str]`):
            Of the values of `field`; without that, the first is that of the line.
        field (`str`, *optional*):
            Column that tells lines apart.
        domain (`tuple[float, float]`, *optional*):
            Least and largest value of the axis, so that several figures have the same. Default: those of the frame.
    """
    import altair as alt

    domain = domain or domain_of([frame], value)  # an axis of one value alone would be labelled 0
    scale = alt.Scale(zero=True) if domain is None else alt.Scale(domain=list(domain), nice=True)
    return (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=14), strokeWidth=1.6)
        .encode(
            x=_steps("step"),
            y=alt.Y(f"{value}:Q", title=title, scale=scale),
            color=_colour(field, colours) if field else alt.value(next(iter(colours.values()))),
            tooltip=_tooltip(field, {value: ".4~g"}),
        )
    )


def domain_of(frames: Sequence[pd.DataFrame], value: str) -> tuple[float, float] | None:
    """Least and largest value of several frames; `None` where there is none, or only one."""
    seen = np.concatenate([frame[value].to_numpy(float) for frame in frames])
    seen = seen[np.isfinite(seen)]
    return (float(seen.min()), float(seen.max())) if len(seen) and seen.min() < seen.max() else None


def _steps(field: str) -> Any:
    import altair as alt

    axis = alt.Axis(grid=False, tickCount=6, tickMinStep=1, format="~s")
    return alt.X(f"{field}:Q", title="optimizer steps", scale=alt.Scale(zero=True, nice=False), axis=axis)


def _colour(field: str, colours: Mapping[str, str]) -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color(f"{field}:N", title=None, scale=scale)


def _tooltip(field: str | None, formats: dict[str, str]) -> list[Any]:
    import altair as alt

    found = [alt.Tooltip(f"{field}:N")] if field else []
    found += [alt.Tooltip("step:Q", title="steps", format=",")]
    return found + [alt.Tooltip(f"{name}:Q", format=form) for name, form in formats.items()]
