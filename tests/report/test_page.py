"""The page: data stays text, it loads nothing, and it stays small."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import command
from report_runs import ARMS, HOSTILE, history

from trl_curriculum.report import figures, page
from trl_curriculum.report.kept import write_facts
from trl_curriculum.report.over_time import STRETCHES
from trl_curriculum.report.page import GENERATOR, check_place, visible, write_report


class Elements(HTMLParser):
    """Elements of a page with their attributes, and its text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] not in ("script", "style"):
            self.texts.append(data)


def specs_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="specs">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


@pytest.fixture(scope="module")
def both(tiny_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of both tiny runs, made by the command."""
    folder = tmp_path_factory.mktemp("page")
    done = command(["report", str(tiny_runs / "grpo"), str(tiny_runs / "sft")], folder)
    assert done.code == 0, done.said
    assert re.fullmatch(r"report\.html written \(\d\.\d MB\)\.\n", done.out)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_everything_is_there_and_nothing_is_loaded(both: str) -> None:
    page_of = Elements(both)
    text = " ".join(" ".join(page_of.texts).split())
    for words in ("Curricula of 2 runs", "Draws per arm", "Mean reward per arm", "Mean loss per arm", "Value per arm"):
        assert words in text, words
    for words in ("Probability per arm", "What became of the groups", "Groups without variance", "Coverage"):
        assert words in text, words
    for words in (
        "Tokens per useful group",
        "States of rows (GRPO)",
        "States of rows (SFT)",
        "Cut off",
        "Rising loss",
    ):
        assert words in text, words
    assert "sec (alpha = 0.5, tau = 0.3" in text and "Staleness (batches)" in text
    tags = [tag for tag, _ in page_of.found]
    assert not {"link", "img", "iframe", "object", "base"} & {*tags}
    assert not any({"src", "href", "action"} & {*attributes} for _, attributes in page_of.found)
    assert tags.count("script") == 3 and "connect-src" not in both and "default-src 'none'" in both


def test_names_and_texts_are_text(both: str) -> None:
    assert HOSTILE not in both and "<img src=x" not in both
    assert "\x1b" not in both.split('<script type="application/json"')[0]
    drawn = json.dumps(specs_of(both))
    for arm in ARMS.values():
        assert json.dumps(visible(arm))[1:40] in drawn
    golds = [text for text in Elements(both).texts if "onerror=alert(1)" in text]
    assert golds and all("\\x1b[31m {{ 7*7 }}" in text for text in golds)  # nor is it a template


def test_each_chart_has_its_data_and_the_scales_are_the_same(both: str) -> None:
    specs = specs_of(both)
    charts = [attributes["data-spec"] for _, attributes in Elements(both).found if "data-spec" in attributes]
    assert sorted({*charts}) == sorted(specs) and len(charts) == 2 * len(specs)
    for spec in specs.values():
        (rows,) = spec["datasets"].values()
        assert rows and spec["encoding"]["x"]["field"] in rows[0]
    draws = [spec for spec in specs.values() if spec["encoding"]["y"].get("title") == "share of draws"]
    assert len(draws) == 2 and draws[0]["usermeta"] == draws[1]["usermeta"]
    assert draws[0]["encoding"]["color"] == draws[1]["encoding"]["color"]


def test_thousands_of_arms_and_draws_stay_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n, arms = 300_000, 30_000
    arm = np.minimum(rng.zipf(1.5, n), arms) - 1
    reward = rng.integers(0, 9, n) / 8
    frame = history(
        tmp_path / "run",
        step=np.arange(n) // 100,
        row=arm * 4 + rng.integers(0, 4, n),
        arm=[f"<b>arm {k}</b>" for k in arm],
        probability=1 / 120_000,
        reward=reward,
        zero_variance=(reward == 0) | (reward == 1),
    )
    write_facts(tmp_path / "run", {"rows": 4 * arms, "arms": {f"<b>arm {k}</b>": 4 for k in range(arms)}})
    file = write_report([str(tmp_path / "run")], tmp_path / "report.html", disable_tqdm=True)
    assert file.stat().st_size < 4e6
    text = file.read_text()
    others = f"{frame['arm'].nunique() - 20:,} other arms"
    spec = next(spec for spec in specs_of(text).values() if spec["encoding"]["y"].get("title") == "share of draws")
    (rows,) = spec["datasets"].values()
    table = pd.DataFrame(rows)
    assert len(table) == 21 * STRETCHES and table["draws"].sum() == n
    assert spec["encoding"]["color"]["scale"]["domain"][-1] == others
    assert table.groupby("step")["share"].sum().to_numpy() == pytest.approx(1)
    assert f"of {arms:,}" in text


@pytest.mark.parametrize("what", ["one draw", "no number", "one loss"])
def test_runs_with_next_to_nothing(tmp_path: Path, what: str) -> None:
    columns: dict[str, Any] = {"loss": [np.nan]} if what == "one loss" else {"reward": [0.5]}
    if what == "no number":
        columns = {"reward": [np.nan] * 3, "length": [np.nan] * 3, "scored": 0, "probability": np.nan}
    history(tmp_path / "run", **columns)
    file = write_report([str(tmp_path / "run")], tmp_path / "report.html", disable_tqdm=True)
    assert "not known" in file.read_text()


class TestPlace:
    def test_a_report_is_replaced_and_what_is_none_is_not(self, tmp_path: Path) -> None:
        history(tmp_path / "run", reward=[0.5])
        file = tmp_path / "mine.html"
        file.write_text("<h1>mine</h1>")
        with pytest.raises(FileExistsError, match="is no report of ours: use another --output, or --overwrite"):
            write_report([str(tmp_path / "run")], file)
        assert file.read_text() == "<h1>mine</h1>"
        for overwrite in (True, False):
            write_report([str(tmp_path / "run")], file, overwrite, disable_tqdm=True)
            assert GENERATOR in file.read_text()[:1000]

    def test_places_that_take_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError, match=r"is a folder: give --output a file, such as .*report\.html"):
            check_place(tmp_path)
        (tmp_path / "file").write_text("")
        with pytest.raises(PermissionError, match=r"cannot be written, since .*file is no folder that takes files"):
            check_place(tmp_path / "file/report.html")

    def test_after_a_full_disk_the_earlier_report_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        history(tmp_path / "run", reward=[0.5])
        file = write_report([str(tmp_path / "run")], tmp_path / "report.html", disable_tqdm=True)
        before = file.read_text()
        real = Path.write_text

        def full(self: Path, text: str, *args: Any, **kwargs: Any) -> int:
            real(self, text[:100], *args, **kwargs)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match=r"No space left on device: report\.html was not written in .* make room"):
            write_report([str(tmp_path / "run")], file, disable_tqdm=True)
        assert file.read_text() == before and [*tmp_path.glob(".report*")] == []


class TestCommand:
    def test_a_mistake_is_one_sentence(self, tmp_path: Path) -> None:
        done = command(["report", "nowhere"], tmp_path)
        assert done.sentence == ("trl-curriculum report: There is no folder nowhere: give the output_dir of a run.")

    def test_without_altair_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(page, "is_installed", lambda: False)
        done = command(["report", "nowhere"], tmp_path)
        assert done.sentence == f"trl-curriculum report: {figures.NEEDS}"
