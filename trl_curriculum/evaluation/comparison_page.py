"""A comparison as tables of Markdown, as a page with its curves, and as a file of its points."""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.names import listed
from ..disk.atomic import atomic_write
from ..report.figures import is_installed
from ..report.markdown import table
from ..report.vegalite import library, script_json
from .compare import MATCHES, Comparison, Reached, Row
from .statistics import Difference, coverage, smallest_p


RESULTS, MARKDOWN, PAGE = "results.parquet", "comparison.md", "comparison.html"
DRAWN = 200  # points of a curve on the page
STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { border: 1px solid #ccc; padding: .3rem .6rem }
td { text-align: right } td:first-child { text-align: left; white-space: nowrap }
.wide { overflow-x: auto } #curves { width: 100% }
"""


def write(comparison: Comparison, folder: Path, title: str, failed: dict[str, str]) -> list[Path]:
    """
    Writes what is known of a comparison.

    Args:
        comparison ([`Comparison`]):
            Finished cells at equal cost.
        folder (`Path`):
            Where `results.parquet`, `comparison.md` and, with Altair, `comparison.html` go.
        title (`str`):
            What is compared.
        failed (`dict[str, str]`):
            Cells without a result, and why.

    Returns:
        The files.
    """
    texts = {MARKDOWN: markdown(comparison, title, failed)}
    if is_installed():
        texts[PAGE] = page(comparison, title, failed)
    with atomic_write(folder / RESULTS) as draft:
        comparison.points.to_parquet(draft, index=False)
    for name, text in texts.items():
        with atomic_write(folder / name) as draft:
            draft.write_text(text, encoding="utf-8")
    return [folder / RESULTS, *(folder / name for name in texts)]


def markdown(comparison: Comparison, title: str, failed: dict[str, str]) -> str:
    """The comparison in Markdown."""
    parts = [f"# {title}\n", *(f"{line}\n" for line in said(comparison))]
    parts += [
        f"## {heading}\n\n{table(list(rows[0]), [tuple(row.values()) for row in rows])}"
        for heading, rows in tables(comparison).items()
    ]
    parts += ["## How to read it\n", "".join(f"- {line}\n" for line in notes(comparison, failed))]
    return "\n".join(parts)


def page(comparison: Comparison, title: str, failed: dict[str, str]) -> str:
    """The same with the curves, as one file that needs nothing else."""
    text = html.escape
    parts = [f"<h1>{text(title)}</h1>", *(f"<p>{text(line)}</p>" for line in said(comparison)), curves(comparison)]
    for heading, rows in tables(comparison).items():
        cells = [_html_row("th", list(rows[0])), *(_html_row("td", list(row.values())) for row in rows)]
        parts += [f"<h2>{text(heading)}</h2>", f'<div class="wide"><table>{"".join(cells)}</table></div>']
    items = "".join(f"<li>{text(line)}</li>" for line in notes(comparison, failed))
    parts += ["<h2>How to read it</h2>", f"<ul>{items}</ul>"]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{text(title)}</title><style>{STYLE}</style>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def curves(comparison: Comparison) -> str:
    """Every seed's curve, and the mean of each method over its seeds, up to the cost that all reach."""
    import altair as alt

    matched = comparison.matched
    chosen = np.unique(np.linspace(0, len(matched.cost) - 1, DRAWN).round().astype(int))
    frame = pd.concat(
        [
            pd.DataFrame(
                {"method": method, "seed": seed, "cost": matched.cost[chosen], "value": matched.value[k, chosen]}
            )
            for k, (method, seed) in enumerate(comparison.curves)
        ],
        ignore_index=True,
    )
    methods = [row.method for row in comparison.rows]
    legend = alt.Legend(orient="top", columns=3, symbolOpacity=1, symbolStrokeWidth=3)
    shared = {
        "x": alt.X("cost:Q", title=MATCHES[comparison.by].split(",")[0]),
        "color": alt.Color("method:N", sort=methods, legend=legend),
    }
    axis = alt.Scale(zero=frame["value"].nunique() == 1)  # an axis of one value alone would be labelled 0
    every = alt.Chart(frame).mark_line(opacity=0.25, strokeWidth=1)
    every = every.encode(y=alt.Y("value:Q", title=comparison.metric.name, scale=axis), detail="seed:N", **shared)
    mean = alt.Chart(frame).mark_line(strokeWidth=3)
    mean = mean.encode(y=alt.Y("mean(value):Q", scale=axis), tooltip=["method", "mean(value)"], **shared)
    chart = alt.layer(every, mean).properties(width="container", height=360).interactive()
    with alt.data_transformers.enable("default", max_rows=None):
        spec = script_json(chart.to_dict())
    drawn = f'vegaEmbed("#curves", {spec}, {{actions: false}});'
    return f'<div id="curves"></div>\n<script>{library()}</script>\n<script>{drawn}</script>'


def said(comparison: Comparison) -> list[str]:
    """What is compared, by what it is matched, and where it ends."""
    metric, matched = comparison.metric, comparison.matched
    better = "less" if metric.less_is_better else "more"
    last = {f"{method}/seed-{seed}": float(cost[-1]) for (method, seed), (cost, _) in comparison.curves.items()}
    first, largest = min(last, key=last.__getitem__), max(last.values())
    end = f"{matched.end:,.6g}, which all cells reach"
    if last[first] < largest:
        end = (
            f"{matched.end:,.6g}, the smallest total, of {first}, which all cells reach; the largest is {largest:,.6g}"
        )
    return [
        f"{metric.name} ({metric.about}; {better} is better), matched by {MATCHES[comparison.by]}.",
        f"Compared from {matched.cost[0]:,.6g} to {end}.",
    ]


def tables(comparison: Comparison) -> dict[str, list[dict[str, str]]]:
    """The rows of both tables, by their headings, each with the names of its columns."""
    headings = {"Over the run (area under the curve)": "area", "At the end": "final"}
    return {
        heading: [_row(comparison, row, getattr(row, name)) for row in comparison.rows]
        for heading, name in headings.items()
    }


def _row(comparison: Comparison, row: Row, reached: Reached) -> dict[str, str]:
    cells = {"method": row.method, "seeds": str(row.seeds), "mean": f"{reached.mean:.4g}"}
    cells[f"minus {comparison.baseline}"] = _difference(reached.baseline)
    if comparison.has_placebos:
        cells["minus its placebo"] = _difference(reached.placebo)
    if comparison.counts_shares:
        cells |= {"probes": f"{row.probes:.0%}", "refills": f"{row.refills:.0%}"}
    return cells


def notes(comparison: Comparison, failed: dict[str, str]) -> list[str]:
    """What the numbers mean, and what is missing."""
    pairs = max((row.area.baseline.pairs for row in comparison.rows if row.area.baseline is not None), default=0)
    paired = f"Differences are paired: a method's seed n minus the same seed of {comparison.baseline}"
    if comparison.has_placebos:
        paired += ", or of its placebo, which draws as unevenly as the method, from the wrong rows or arms"
    lines = [
        "Every number is over seeds; means are of the metric, averaged over the costs (area) or at the end.",
        f"{paired}.",
    ]
    if pairs < 2:
        lines.append(
            "With one seed there are no intervals and no p-values: how far seeds lie apart is not known. Give more "
            "`seeds`."
        )
    else:
        enough = "" if smallest_p(pairs) <= 0.05 else ", so no difference can fall below .05: that takes six seeds"
        lines += [
            f"[ , ] is a 95 % bootstrap interval of the mean over {pairs} pairs. Intervals of so few values are too "
            f"narrow: were differences normal, it would hold the true one in about {coverage(pairs):.0%} of cases.",
            "n/m seeds is on how many a method was better.",
            f"p is two-sided, from all flips of the differences' signs. With {pairs} pairs it is at least "
            f"{smallest_p(pairs):.2g}{enough}.",
        ]
    if comparison.counts_shares:
        lines.append(
            "probes and refills are shares of a run's tokens: those that probes have read or generated, and "
            "completions that were generated and not trained on."
        )
    if comparison.baseline not in {row.method for row in comparison.rows}:
        lines.append(f"No cell of {comparison.baseline} is finished, so nothing is compared with it.")
    if failed:
        lines.append(f"Without a result: {listed((f'{name} ({why})' for name, why in failed.items()), 20, '; ')}.")
    return lines


def _difference(found: Difference | None) -> str:
    """Such as `+0.12 [+0.02, +0.21], p = .062, 5/5 seeds`."""
    if found is None:
        return "–"
    wins = f"{found.wins}/{found.pairs} seeds"
    if found.pairs < 2:
        return f"{found.mean:+.3g}, {wins}"
    p = f"{found.p:.3f}".lstrip("0") if found.p < 1 else "1"
    return f"{found.mean:+.3g} [{found.low:+.3g}, {found.high:+.3g}], p = {p}, {wins}"


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
