"""Vega-Lite's JavaScript, run by vl-convert in a process of its own: a figure must not cost the run that it is of."""

import json
import subprocess
import sys
from functools import cache
from typing import Any


LONGEST = 120  # seconds that a figure may take, on a machine that may be busy
CONVERT = """
import json, sys, vl_convert
name, given = json.load(sys.stdin)
made = getattr(vl_convert, name)(**given)
sys.stdout.buffer.write(made if isinstance(made, bytes) else made.encode())
"""


class FigureError(OSError):
    """What kept a figure from being drawn."""


def png(chart: Any, scale: float = 2) -> bytes:
    """
    A chart of Altair's as PNG.

    Raises:
        [`FigureError`]: where it cannot be drawn.
    """
    return _convert("vegalite_to_png", vl_spec=chart.to_dict(), vl_version=_version(), scale=scale)


@cache
def library() -> str:
    """
    The library that draws, as JavaScript that can stand between script tags and leaves one name behind, `vegaEmbed`.

    Raises:
        [`FigureError`]: where vl-convert does not hand it out.
    """
    bundle = _convert("javascript_bundle", snippet="window.vegaEmbed = vegaEmbed;", vl_version=_version()).decode()
    return "(() => {" + bundle.replace("</script", "<\\/script") + "})();"


def script_json(value: Any) -> str:
    """JSON that can stand between script tags."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _version() -> str:
    import altair as alt

    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def _convert(name: str, **given: Any) -> bytes:
    asked = json.dumps([name, given]).encode()
    try:  # a JavaScript engine in this process would not survive its forks
        done = subprocess.run(
            [sys.executable, "-P", "-c", CONVERT], input=asked, capture_output=True, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FigureError(f"vl-convert did not draw a figure in {LONGEST} seconds.") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise FigureError(f"vl-convert could not draw a figure ({lines[-1][:200] if lines else done.returncode}).")
    return done.stdout
