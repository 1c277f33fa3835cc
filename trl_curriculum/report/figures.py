"""Figures of a run, made with Altair from frames: one function a figure."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..disk.atomic import atomic_write
from .history import read_history
from .over_time import arms_over_time, label_arms, signal_of


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
    try:
        import altair
        import vl_convert  # noqa: F401
    except ImportError:
        return False
    return bool(altair.__version__)


def draws_png(output_dir: str | Path, file: str | Path) -> bool:
    """
    Writes the figure of a model card: each arm's share of the draws, and its mean reward or loss, over the steps.

    Args:
        output_dir (`str` or `Path`):
            The run's.
        file (`str` or `Path`):
            A PNG, written atomically.

    Returns:
        `bool`: whether there is a figure now; `False` where altair is not installed or nothing was drawn.

    Raises:
        [`~trl_curriculum.disk.state.StateError`]: where the history cannot be read. `OSError`: where the file cannot
            be written.
    """
    if not is_installed():
        return False
    history = read_history(output_dir)
    if history.empty:
        return False
    labels, rest = label_arms([history], ON_CARD)
    frame, signal = arms_over_time(history, labels, rest), signal_of(history)
    names = [*labels.values(), *([rest] if rest else [])]
    upper = shares(frame, names, rest).properties(width=560, height=170)
    lower = lines(frame, signal, TITLES[signal], names, rest).properties(width=560, height=170)
    png = io.BytesIO()
    (upper & lower).configure_view(stroke=None).save(png, format="png", scale_factor=2)
    with atomic_write(Path(file)) as draft:
        draft.write_bytes(png.getvalue())
    return True


def shares(frame: pd.DataFrame, names: Sequence[str], rest: str | None) -> Any:
    """Each arm's share of the draws, stacked."""
    import altair as alt

    return (
        alt.Chart(frame)
        .mark_bar(binSpacing=0)
        .encode(
            x=_x("begin").bin("binned"),
            x2="step:Q",
            y=alt.Y("share:Q", title="share of draws", stack=True, scale=alt.Scale(domain=[0, 1])),
            color=_colour("arm", names, rest),
            order=alt.Order("place:Q"),
            tooltip=_tooltip("arm", {"draws": ",", "share": ".1%"}),
        )
    )


def lines(frame: pd.DataFrame, value: str, title: str, names: Sequence[str], rest: str | None = None) -> Any:
    """A value of each arm over time."""
    import altair as alt

    return (
        alt.Chart(frame)
        .mark_line(point={"size": 14}, strokeWidth=1.6)
        .encode(
            x=_x(),
            y=alt.Y(f"{value}:Q", title=title, scale=alt.Scale(zero=False)),
            color=_colour("arm", names, rest),
            tooltip=_tooltip("arm", {value: ".4~f", "draws": ","}),
        )
    )


def _x(field: str = "step") -> Any:
    import altair as alt

    axis = alt.Axis(grid=False, tickCount=6, tickMinStep=1, format="~s")
    return alt.X(f"{field}:Q", title="optimizer steps", scale=alt.Scale(zero=True, nice=False), axis=axis)


def _colour(field: str, names: Sequence[str], rest: str | None = None) -> Any:
    import altair as alt

    colours = [OTHERS if name == rest else COLOURS[k % len(COLOURS)] for k, name in enumerate(names)]
    return alt.Color(f"{field}:N", title=None, scale=alt.Scale(domain=list(names), range=colours))


def _tooltip(field: str, formats: dict[str, str]) -> list[Any]:
    import altair as alt

    found = [alt.Tooltip(f"{field}:N"), alt.Tooltip("step:Q", title="steps", format=",")]
    return found + [alt.Tooltip(f"{name}:Q", format=form) for name, form in formats.items()]
