"""A report of one or several runs: one HTML page that needs nothing else and loads nothing."""

import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from tqdm.auto import tqdm

from ..data.names import shown
from ..disk.atomic import atomic_write
from ..version import __version__
from . import rows_over_time, sections
from .figures import NEEDS, is_installed
from .head import head, number
from .runs import Run, read_runs
from .sections import Figure
from .vegalite import library, script_json
from .waste import Waste, wasted


GENERATOR = "trl_curriculum report"
FILES = Path(__file__).parent
LONG = 1000  # letters of a line of text that are shown
MORE = {  # what else tells a kind of waste
    "again": "solved again {:,} times",
    "others": "other rows of the arm {:.0%}",
    "chance": "chance {:.1g}",
    "cut off": "{:.0%} cut off",
    "deviations above": "{:.1f} deviations above",
}
TABS = {
    "draws": ("Draws", sections.draws),
    "groups": ("Groups and tokens", sections.groups),
    "rows": ("Rows", sections.rows),
    "waste": ("Waste", None),
    "log": ("Log", sections.logs),
}


def write_report(folders: Sequence[str], file: Path, overwrite: bool = False, disable_tqdm: bool = False) -> Path:
    """
    Writes the report of runs.

    Args:
        folders (`Sequence[str]`):
            Their output folders.
        file (`Path`):
            Where to write, atomically.
        overwrite (`bool`, *optional*, defaults to `False`):
            Whether a file there may be replaced that is no such report; reports always are.
        disable_tqdm (`bool`, *optional*, defaults to `False`):
            Whether to show no bar.

    Raises:
        `ImportError`: where altair is missing. `OSError`: where the file cannot be written, or is somebody else's.
        `ValueError`: for a run that cannot be read.
    """
    if not is_installed():
        raise ImportError(NEEDS)
    check_place(file, overwrite)
    runs = read_runs(list(folders))
    text = make_page(runs, disable_tqdm)
    with atomic_write(file) as draft:
        draft.write_text(text, encoding="utf-8", errors="replace")
    return file


def check_place(file: Path, overwrite: bool = False) -> None:
    """
    Refuses a place where a report cannot be written, before anything is read.

    Raises:
        `OSError`: in one sentence.
    """
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder: give --output a file, such as {file / 'report.html'}.")
    if file.exists() and not overwrite and not _is_ours(file):
        raise FileExistsError(f"{file} is no report of ours: use another --output, or --overwrite to replace it.")
    parent = next(one for one in file.absolute().parents if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{file} cannot be written, since {parent} is no folder that takes files.")


def _is_ours(file: Path) -> bool:
    with open(file, "rb") as opened:
        return GENERATOR.encode() in opened.read(1000)


def make_page(runs: Sequence[Run], disable_tqdm: bool = True) -> str:
    """The page as text."""
    specs: dict[str, dict[str, Any]] = {}
    tabs = []
    waste = {run.name: wasted(run.history, run.generations) for run in runs}
    with tqdm(desc="Figures", unit=" figures", leave=False, disable=disable_tqdm) as bar:
        for name, (title, make) in TABS.items():
            figures = [] if make is None else [_figure(one, runs, specs, name, bar) for one in make(runs)]
            kinds = _kinds(runs, waste) if make is None else []
            if figures or kinds:
                one = {"id": name, "title": title, "figures": figures, "kinds": kinds}
                tabs.append(one | {"definitions": _paragraphs(rows_over_time.__doc__ or "") if name == "rows" else []})
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    return environment.from_string((FILES / "page.html").read_text(encoding="utf-8")).render(
        generator=GENERATOR,
        title=f"Curriculum of {runs[0].name}" if len(runs) == 1 else f"Curricula of {len(runs)} runs",
        version=__version__,
        runs=runs,
        facts=head(runs),
        tabs=tabs,
        css=Markup((FILES / "page.css").read_text(encoding="utf-8")),
        script=Markup((FILES / "page.js").read_text(encoding="utf-8")),
        vega=Markup(library()),
        specs=Markup(script_json(specs)),
    )


def _figure(
    figure: Figure, runs: Sequence[Run], specs: dict[str, dict[str, Any]], tab: str, bar: Any
) -> dict[str, Any]:
    """A figure for the template; its specs, one for each run, are added to `specs`."""
    frames = [*figure.frames.values()]
    most = [
        max((_largest(frame[name]) for frame in frames if name in frame), default=0) for name in ("step", "tokens")
    ]
    charts = []
    for run in runs:
        frame, missing = figure.frames.get(run.name), figure.missing.get(run.name, "")
        chart: dict[str, Any] = {"run": run.name, "missing": missing, "id": ""}
        if frame is not None:
            spec = figure.draw(frame).to_dict()
            spec = {name: value for name, value in spec.items() if name not in ("$schema", "config")}
            chart["id"] = f"{tab}-{len(specs)}"
            specs[chart["id"]] = spec | {"usermeta": {"x": most}}
            bar.update()
        if frame is not None or missing:
            charts.append(chart)
    return {
        "title": figure.title,
        "meaning": figure.meaning,
        "charts": charts,
        "small": tab == "log" and len(runs) == 1,
    }


def _largest(column: pd.Series) -> float:
    value = column.to_numpy(float)
    return float(value.max()) if np.isfinite(value).all() else 0.0


def _kinds(runs: Sequence[Run], waste: dict[str, list[Waste]]) -> list[dict[str, Any]]:
    """The kinds of waste, each with the rows of all runs that have it."""
    meanings = {kind.title: kind.meaning for kinds in waste.values() for kind in kinds}
    return [
        {
            "title": title,
            "meaning": meaning,
            "runs": [
                {"run": run.name, "count": _count(kind), "rows": [*_rows(kind, run)]}
                for run in runs
                for kind in waste[run.name]
                if kind.title == title
            ],
        }
        for title, meaning in meanings.items()
    ]


def _count(kind: Waste) -> str:
    if not kind.n:
        return "No row."
    share = "" if math.isnan(kind.share) else f", {kind.share:.1%} of all tokens"
    more = f"; the {len(kind.rows)} dearest" if kind.n > len(kind.rows) else ""
    return f"{kind.n:,} row{'s' * (kind.n > 1)}{share}{more}."


def _rows(kind: Waste, run: Run) -> Iterable[dict[str, Any]]:
    texts: dict[Any, Any] = run.texts[run.texts.index.isin(kind.rows.index)].to_dict("index")
    for row, one in kind.rows.iterrows():
        more = [MORE[name].format(one[name]) for name in kind.rows.columns if name in MORE]
        spent = f"{one['draws']:,} draws", f"{number(one['tokens'])} tokens"
        results = f"{run.signal} {one['first']:.3g} → {one['last']:.3g}"
        text = texts.get(row, {"prompt": "", "gold": ""})
        facts = [f"row {row:,}", f"arm {shown(one['arm'])}", *spent, results, *more]
        yield {"facts": facts, "prompt": visible(text["prompt"]), "gold": visible(text["gold"])}


def _paragraphs(text: str) -> list[list[str]]:
    """A docstring's paragraphs, each as its lines; items of a list are lines of their own."""
    blocks = re.split(r"\n\s*\n", text.replace("*", "").strip())
    return [[" ".join(one.split()) for one in re.split(r"\n(?=- )", block)] for block in blocks]


def visible(text: str) -> str:
    """A text in its lines, without control characters."""
    return "\n".join(shown(line, LONG) if line.strip() else "" for line in str(text).splitlines())
