"""What is printed: data is text, long lists are cut, and nothing that is printed ends a run."""

import io
import logging
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trl_curriculum.report.history import print_summary, summary
from trl_curriculum.report.rounds import print_selection, scores_table
from trl_curriculum.report.terminal import say, show, table


NAMES = ["[/INST] code", "[math]", "[bold]x[/bold]", "", "\x1b[31mred", "two\nlines", "z" * 300]


def history(arms: list[str]) -> pd.DataFrame:
    n = len(arms)
    columns: dict[str, Any] = {"step": range(n), "draw": range(n), "row": range(n), "arm": arms}
    return pd.DataFrame(columns | {"probability": 0.1, "length": 2.0, "loss": np.arange(n) / n, "entropy": 0.5})


def test_the_closing_table_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(history(NAMES), "[/x]")
    out = capsys.readouterr().out
    for text in ("[/INST] code", "[math]", "[bold]x[/bold]", "(blank)", "\\x1b[31mred", "two lines", "([/x])"):
        assert text in out, text
    assert "\x1b" not in out and max(map(len, out.splitlines())) <= 110


def test_many_arms_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(history([f"row-{k}" for k in range(30_000)]), "uniform")
    out = capsys.readouterr().out
    assert len(out) < 8_000 and "30 of 30,000" in out


def test_the_summary_counts(capsys: pytest.CaptureFixture[str]) -> None:
    frame = summary(history(["grade 10", "grade 2", "grade 10"]))
    assert frame.index.tolist() == ["grade 2", "grade 10"]
    assert frame["draws"].tolist() == [1, 2]
    assert frame["loss, first third"].tolist() == pytest.approx([np.nan, 0], nan_ok=True)
    assert frame["share of tokens"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert summary(history([]).drop(columns=[])).empty


def test_sources_of_a_selection_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    kept = {"kept": 2, "candidates": 4, "transport": 0.5, "vendi": 2.0}
    print_selection([{"selection": kept | {"shares": {name: 1 / len(NAMES) for name in NAMES}}}])
    out = capsys.readouterr().out
    assert "[/INST] code" in out and "[math]" in out and "\x1b" not in out
    print_selection([{"selection": kept | {"shares": {f"source {k}": 1 / 9999 for k in range(9999)}}}])
    assert "(9,999 in all)" in " ".join(capsys.readouterr().out.split())
    assert scores_table([{"loss": {"[/x] add": 1.0}}])["task"].tolist() == ["[/x] add"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_spelled_out(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    show(table("title", {"arm": "name", "n": "number"}, [("\u5b66", 1.0), ("caf\u00e9", float("nan"))], boxed=True))
    say("lone \ud83d surrogate")
    text = raw.getvalue().decode(encoding)
    assert ("\u5b66" in text) == (encoding == "utf-8") and "\\ud83d" in text


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("closed", [False, True])
def test_what_cannot_be_printed_is_a_warning(
    closed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.StringIO() if closed else Broken()
    if closed:
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        say("x")
    assert "Standard output cannot be written to" in caplog.text


def test_thirds_leave_no_draw_out() -> None:
    """Of five draws the first third has two and the last one; of seven three and two."""
    for n, first, last in ((5, [0, 1], [4]), (7, [0, 1, 2], [5, 6])):
        frame = summary(history(["a"] * n))
        assert frame["loss, first third"].tolist() == pytest.approx([np.mean(first) / n])
        assert frame["loss, last third"].tolist() == pytest.approx([np.mean(last) / n])
